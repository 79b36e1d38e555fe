"""Tables that grow step by step, and what an interrupted training left in them."""

import pandas as pd
import pytest

from dni_jax.inspection.store import continue_table, dynamics_table


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_later_steps_are_replaced(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    for step, value in ((10, 1.0), (20, 2.0), (30, 3.0), (20, 5.0)):
        continue_table(path, pd.DataFrame({"step": [step, step], "value": [value, -value]}))
    table = (pd.read_csv if suffix == ".csv" else pd.read_parquet)(path)
    assert table["step"].tolist() == [10, 10, 20, 20]
    assert table["value"].tolist() == [1.0, -1.0, 5.0, -5.0]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_dynamics_hold_the_mean_over_folds(relevance):
    table = dynamics_table(relevance, 70)
    assert list(table.columns) == ["step", "neuron", "feature", "score", "auc", "baseline"]
    row = table[(table["neuron"] == 3) & (table["feature"] == "digit")].iloc[0]
    assert row["auc"] == pytest.approx(float(relevance["auc"].sel(neuron=3, feature="digit").mean()))
    assert row["step"] == 70
