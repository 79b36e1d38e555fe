"""Tables that grow step by step, the number of their format, and files that are broken."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dni_jax.files import FORMAT
from dni_jax.inspection._store import (
    continue_table,
    dynamics_table,
    read_relevance,
    read_table,
    table_columns,
    write_table,
)


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


def table_with_attrs():
    table = pd.DataFrame({"step": [1, 2], "auc": [0.5, np.nan], "neurons": [[1, 2], []]})
    table.attrs["dims"] = {"auc": ["step"]}
    return table


def test_a_table_carries_the_number_of_its_format(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(table_with_attrs(), path)
    assert pq.read_metadata(path).metadata[b"dni_jax.format"] == str(FORMAT).encode()
    for again in (read_table(path), pd.read_parquet(path)):
        assert again.attrs == {"dims": {"auc": ["step"]}}
        assert again["step"].tolist() == [1, 2]
        assert [list(one) for one in again["neurons"]] == [[1, 2], []]
    assert pq.read_table(path)["auc"].null_count == 1
    assert table_columns(path) == ["step", "auc", "neurons"]


def test_a_table_without_a_number_is_read(tmp_path):
    path = tmp_path / "table.parquet"
    table_with_attrs().to_parquet(path, index=False)
    pd.testing.assert_frame_equal(read_table(path).drop(columns="neurons"), table_with_attrs().drop(columns="neurons"))
    continue_table(path, pd.DataFrame({"step": [2], "auc": [1.0]}))
    assert read_table(path)["auc"].tolist() == [0.5, 1.0]
    assert pq.read_metadata(path).metadata[b"dni_jax.format"] == str(FORMAT).encode()


@pytest.mark.parametrize("number", [b"3", b"two", b"0"])
def test_a_table_of_another_format_is_named(tmp_path, number):
    path = tmp_path / "table.parquet"
    arrow = pa.table({"step": [1]}).replace_schema_metadata({b"dni_jax.format": number})
    pq.write_table(arrow, path)
    with pytest.raises(ValueError, match=r"table\.parquet.*" + ("update it" if number == b"3" else "broken")):
        read_table(path)


@pytest.mark.parametrize("cut", [0, 3, 10, -1, -9, -200])
def test_a_table_that_was_cut_off_is_named(tmp_path, cut):
    path = tmp_path / "table.parquet"
    write_table(table_with_attrs(), path)
    path.write_bytes(path.read_bytes()[:cut])
    for read in (read_table, table_columns, read_relevance):
        with pytest.raises(ValueError, match=r"table\.parquet'?, got a broken one"):
            read(path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"table\.parquet', got no such file"):
        read_table(tmp_path / "table.parquet")


def test_a_table_with_spoilt_data_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(pd.DataFrame({"text": [f"{place} words" for place in range(1_000)]}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 500 + whole[504:])
    with pytest.raises(ValueError, match=r"table\.parquet', got a broken one"):
        read_table(path)
