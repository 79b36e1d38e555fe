"""SQL over run folders, against pandas on the same tables."""

import numpy as np
import pandas as pd
import pytest
from flax import nnx

import dni_jax as dni
from dni_jax.app.query import open_runs
from dni_jax.inspection import relevance_table
from dni_jax.models._network import CharNetwork
from dni_jax.text._vocabulary import Vocabulary
from tests.support.made_runs import FEATURES, FOLDS, LARGE, SMALL, VIEWS, copy_run, write_run


def test_settings_and_results_stand_in_one_row(runs):
    table = runs.query("FROM runs ORDER BY run").set_index("run")
    assert list(table.index) == ["cut", "large", "small"]
    assert table["finished"].tolist() == [False, True, True]
    assert table["hidden"].tolist() == [2, 2, 2]
    assert table["layers"].tolist() == [1, 2, 1]
    assert table["seed"].tolist() == [2, 1, 0]
    assert table["cell"].tolist() == ["lstm"] * 3
    assert table["learning_rate"].isna().all()
    assert table["clip"].tolist() == [1.0] * 3
    assert table["inspect_every"].tolist() == [100] * 3
    assert table.loc["small", "gap"] == 0.66 / 0.6 - 1
    assert pd.isna(table.loc["cut", "loss"])
    assert table["positions"].dropna().tolist() == [20_000] * 2
    assert not {"out", "force", "resume", "train"} & set(table.columns)


def test_scores_are_the_means_over_folds(made, runs):
    for name in ("small", "large"):
        table = relevance_table(made[1][name].relevance).assign(run=name)
        numbers = ["score", "accuracy", "auc", "r2", "baseline", "share", "p_family", "auc_within_symbol"]
        expected = table.astype(dict.fromkeys(numbers, "float64")).groupby(["neuron", "feature"])[numbers].mean()
        got = runs.query(f"FROM scores WHERE run = '{name}'").set_index(["neuron", "feature"]).sort_index()
        pd.testing.assert_frame_equal(got[numbers], expected.sort_index(), check_dtype=False, rtol=1e-12)
        assert (got["folds"] == FOLDS).all()


def test_what_has_no_fold_is_exact(runs):
    assert set(runs.query("SELECT DISTINCT p_family FROM scores")["p_family"]) == {0.005, 0.4}


def test_a_fold_that_cannot_judge_is_not_counted(made, tmp_path):
    folder = copy_run(made, tmp_path)
    table = pd.read_parquet(folder / "relevance.parquet")
    table.loc[(table["feature"] == "rare") & (table["fold"] > 0), "auc"] = np.nan
    table.to_parquet(folder / "relevance.parquet")
    rare = open_runs(folder).query(
        "SELECT DISTINCT folds, auc = 0.51::FLOAT AS first FROM scores WHERE feature = 'rare'"
    )
    assert rare["folds"].tolist() == [1, 1]
    assert open_runs(folder).query("SELECT DISTINCT folds FROM scores WHERE feature = 'depth'")["folds"].tolist() == [4]


def test_grouped_maximum_is_pandas(made, runs):
    tables = [relevance_table(made[1][name].relevance).assign(run=name) for name in ("small", "large")]
    expected = pd.concat(tables).groupby(["run", "feature"])["score"].max()
    got = runs.query("SELECT run, feature, max(score) AS score FROM relevance GROUP BY ALL").set_index(
        ["run", "feature"]
    )
    pd.testing.assert_series_equal(got["score"].sort_index(), expected.sort_index(), check_index_type=False)


def test_effects_and_findings_keep_their_lists(made, runs):
    effects = runs.query("SELECT * EXCLUDE (run) FROM effects WHERE run = 'large' ORDER BY intervention, feature, k")
    expected = made[1]["large"].effects.sort_values(["intervention", "feature", "k"], ignore_index=True)
    pd.testing.assert_frame_equal(effects, expected)
    findings = runs.query("SELECT neurons, same_as FROM findings WHERE run = 'large' AND feature = 'digit'")
    assert findings["neurons"].tolist() == [[2]]
    assert findings["same_as"].isna().all()


def test_whole_numbers_stay_whole(runs):
    answer = runs.query("SELECT sum(k) AS total, count(*) AS n, list(NULL::INT) AS none FROM effects")
    assert answer["total"].dtype.kind == "i"
    assert answer.iloc[0].tolist() == [60, 40, [None] * 40]


def test_an_order_is_kept(runs):
    answer = runs.query("SELECT neuron FROM relevance ORDER BY auc DESC NULLS LAST, neuron, run")
    assert answer["neuron"].iloc[0] == 1
    assert len(answer) == (len(SMALL) + len(LARGE)) * len(FEATURES) * FOLDS


def test_tables_tell_their_columns(runs):
    assert set(runs.tables) == set(VIEWS)
    assert all(columns["run"] == "VARCHAR" for columns in runs.tables.values())
    assert runs.tables["effects"]["neurons"] == "BIGINT[]"
    assert set(runs.query("SHOW TABLES")["name"]) == set(VIEWS)


def test_runs_are_a_sequence_of_names(runs):
    assert len(runs) == 3
    assert list(runs) == ["cut", "large", "small"]
    assert repr(runs) == "3 runs (cut, large, small)"


def test_a_run_gives_its_arrays(made, runs):
    again = runs.relevance("large")
    np.testing.assert_array_equal(again["auc"].values, made[1]["large"].relevance["auc"].values)
    with pytest.raises(ValueError, match=r"cut.relevance\.parquet"):
        runs.relevance("cut")
    with pytest.raises(ValueError, match=r"one of the runs cut, large, small, got 'larg'"):
        runs.relevance("larg")
    with pytest.raises(ValueError, match="saved model"):
        runs.model("large")


def test_a_run_gives_its_network(made, tmp_path):
    folder = copy_run(made, tmp_path)
    network = CharNetwork(4, sizes=(3,), rngs=nnx.Rngs(0))
    dni.models.TrainedModel(network, Vocabulary(("a", "b", "c")), None, (), True).save(folder / "checkpoint")
    assert open_runs(folder).model("small").n_neurons == 3


def test_the_table_for_notebooks(tmp_path):
    write_run(tmp_path / "<b>&", SMALL)
    shown = open_runs(tmp_path / "<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>" not in shown
    assert "0.63" in shown


def test_no_temporary_folder_is_left(made, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    opened = open_runs(made[0] / "small")
    opened.query("SELECT 1")
    with pytest.raises(ValueError, match="expected"):
        opened.query("SELECT nothing")
    assert list(tmp_path.iterdir()) == []


def test_the_best_neurons_are_those_of_top(runs):
    for run in ("small", "large"):
        relevance = runs.relevance(run)
        for feature in ("digit", "space", "depth=1"):
            sql = f"SELECT neuron FROM scores WHERE run = '{run}' AND feature = '{feature}' ORDER BY auc DESC, neuron"
            assert runs.query(sql)["neuron"].tolist()[:2] == dni.top(relevance, feature, 2, by="auc")["neuron"].tolist()
