"""Folders and files of runs: odd names, patterns, old ones beside new ones, newer and broken ones."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dni_jax.app.query import open_runs
from tests.support.made_runs import FEATURES, FOLDS, LARGE, VIEWS, copy_run


@pytest.mark.parametrize(
    "name",
    ["o'clock", 'a "b"', "[ab]*?", "*", "hidden=64", "run=x", "é ünï 東", "back\\slash", "line\nbreak", "a,b", "{a,b}"],
)
def test_names_with_odd_signs(made, tmp_path, name):
    copy_run(made, tmp_path)  # what a pattern would find
    for other in ("a", "b", "ab"):
        shutil.copytree(made[0] / "large", tmp_path / other)
    shutil.copytree(made[0] / "large", tmp_path / name)
    odd = open_runs(tmp_path / name)
    assert odd.names == (name,)
    every = " UNION ALL ".join(
        f"SELECT '{view}' AS view, run, count(*) AS n FROM {view} GROUP BY run" for view in VIEWS
    )
    answer = odd.query(every)
    assert sorted(answer["view"]) == sorted(VIEWS)
    assert set(answer["run"]) == {name}
    assert answer.set_index("view").loc["relevance", "n"] == len(LARGE) * len(FEATURES) * FOLDS
    assert {"hidden", "run_1"}.isdisjoint(odd.tables["relevance"])
    both = open_runs([tmp_path / name, tmp_path / "small"]).query(every)
    assert len(both) == 2 * len(VIEWS)
    assert set(both["run"]) == {name, "small"}


def test_features_with_odd_signs_come_through_csv(made, tmp_path):
    folder = copy_run(made, tmp_path)
    names = ["symbol:,", 'symbol:"', "symbol:\n", "symbol: ", "NA", "it's", "é"]
    pd.DataFrame({"feature": names, "neurons": [[1, 2]] * 7, "auc": [0.5] * 6 + [np.nan]}).to_csv(
        folder / "findings.csv", index=False
    )
    got = open_runs(folder).query("SELECT feature, neurons, auc FROM findings")
    assert got["feature"].tolist() == names
    assert got["neurons"].tolist() == [[1, 2]] * 7
    assert got["auc"].isna().tolist() == [False] * 6 + [True]


def test_patterns_paths_and_names(made, tmp_path, monkeypatch):
    for place in ("a/one", "a/two", "b/two"):
        shutil.copytree(made[0] / "small", tmp_path / place)
    (tmp_path / "a" / "notes").mkdir()
    (tmp_path / "a" / "file.txt").touch()
    assert open_runs(tmp_path / "a" / "*").names == ("one", "two")
    assert open_runs(f"{tmp_path}/**/").names == ("one", "a/two", "b/two")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_runs("~/b/*").paths == (tmp_path / "b" / "two",)
    assert open_runs(["b/two", "a/*", "./b/../b/two", "b/*"]).names == ("b/two", "one", "a/two")
    assert open_runs("b/two").names == ("two",)
    (tmp_path / "b" / "last").symlink_to(tmp_path / "b" / "two")
    assert len(open_runs("b/*")) == 1


def test_what_is_no_run(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    for path, told in (("notes", "holds no run"), ("file", "got a file"), ("nothing", "got nothing")):
        with pytest.raises(ValueError, match=f"'{path}', .*{told}.*quoted pattern"):
            open_runs([made[0] / "small", path])
    for paths in ("*", [], "a[b]*"):
        with pytest.raises(ValueError, match="at least one run"):
            open_runs(paths)


def without_number(folder):
    """Bring a run folder to what it was before files had a number."""
    for file in folder.glob("*.parquet"):
        pd.read_parquet(file).to_parquet(file, index=False)
    config = (folder / "config.toml").read_text()
    for line in ("format = 2\n", "layers = 1\n", 'cell = "lstm"\n', "parser_states = false\n"):
        assert line in config
        config = config.replace(line, "")
    (folder / "config.toml").write_text(config)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.pop("format") == 2
    (folder / "summary.json").write_text(json.dumps(summary))


def test_old_runs_stand_beside_new_ones(made, tmp_path):
    folder = copy_run(made, tmp_path)
    without_number(folder)
    table = pd.read_parquet(folder / "relevance.parquet")
    del table.attrs["dims"]["auc_within_symbol"]
    table.drop(columns="auc_within_symbol").astype({"auc": "float64", "neuron": "int32"}).to_parquet(
        folder / "relevance.parquet", index=False
    )
    findings = pd.read_csv(folder / "findings.csv").drop(columns="same_as")[["neurons", "feature", "auc"]]
    findings.to_csv(folder / "findings.csv", index=False)
    both = open_runs([folder, made[0] / "large"])
    assert both.query("SELECT layers, cell, parser_states FROM runs WHERE run = 'small'").values.tolist() == [
        [1, "lstm", False]
    ]
    rows = both.query(
        "SELECT run, count(*) AS n, count(auc_within_symbol) AS given, max(auc) AS auc FROM scores GROUP BY run"
    )
    rows = rows.set_index("run")
    assert rows["n"].to_dict() == {"small": 10, "large": 20}
    assert rows["given"].to_dict() == {"small": 0, "large": 20}
    assert rows.loc["small", "auc"] == pytest.approx(0.98, abs=1e-6)
    neurons = both.query("SELECT run, neurons FROM findings WHERE feature = 'digit' ORDER BY run")["neurons"]
    assert neurons.tolist() == [[2], [0]]
    np.testing.assert_array_equal(both.relevance("small")["auc"], made[1]["small"].relevance["auc"])


def rewrite(file, how):
    """Spoil a file, or give it the number of a format to come."""
    if how == "newer" and file.suffix == ".parquet":
        table = pq.read_table(file)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"dni_jax.format": b"3"}), file)
    elif how == "newer":
        file.write_text(file.read_text().replace("format = 2", "format = 3").replace('"format": 2', '"format": 3'))
    elif how == "cut off":
        file.write_bytes(file.read_bytes()[:-9])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "something else":
        other = pd.DataFrame({"some": [1], "thing": [2]})
        other.to_parquet(file) if file.suffix == ".parquet" else file.write_bytes(b"\xff\xfe\x00")


PARQUET = ("relevance.parquet", "effects.parquet", "dynamics.parquet")


@pytest.mark.parametrize(
    ("name", "how"),
    [(name, "newer") for name in (*PARQUET, "config.toml", "summary.json")]
    + [(name, how) for name in (*PARQUET, "summary.json") for how in ("cut off", "empty", "something else")]
    + [(name, how) for name in ("config.toml", "findings.csv", "training.csv") for how in ("empty", "something else")],
)
def test_newer_and_broken_files_are_named(made, tmp_path, name, how):
    folder = copy_run(made, tmp_path)
    rewrite(folder / name, how)
    told = "newer dni_jax: update it" if how == "newer" else "expected"
    with pytest.raises(ValueError, match=re.escape(str(folder / name))) as error:
        open_runs([made[0] / "large", folder])
    assert told in str(error.value)


@pytest.mark.parametrize("line", ['hidden = "many"', "hidden = true", "hidden = 2.5"])
def test_a_setting_of_another_kind_is_named(made, tmp_path, line):
    file = copy_run(made, tmp_path) / "config.toml"
    file.write_text(file.read_text().replace("hidden = 2", line))
    with pytest.raises(ValueError, match=r"config\.toml'.*train\.hidden to be int"):
        open_runs(file.parent)


@pytest.mark.parametrize("name", PARQUET[:2])
def test_a_file_that_breaks_later_is_named(made, tmp_path, name):
    folder = copy_run(made, tmp_path)
    opened = open_runs(folder)
    view = name.removesuffix(".parquet")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(b"PAR1" + b"\0" * (len(whole) - 4))
    with pytest.raises(ValueError, match=re.escape(name)):
        opened.query(f"SELECT * FROM {view}")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=re.escape(name)):
        opened.query(f"SELECT * FROM {view}")


def test_tables_that_no_run_has_written_are_empty(made):
    cut = open_runs(made[0] / "cut")
    assert set(cut.tables) == set(VIEWS) - {"findings"}
    for view in ("relevance", "scores", "effects"):
        assert len(cut.query(f"SELECT run, feature FROM {view}")) == 0
    assert len(cut.query("FROM dynamics")) == 2 * 2 * len(FEATURES)


def test_columns_under_earlier_names_are_read(made, tmp_path):
    folder = copy_run(made, tmp_path)
    for file in ("relevance.parquet", "findings.csv"):
        table = pd.read_parquet(folder / file) if file.endswith("parquet") else pd.read_csv(folder / file)
        table = table.assign(auc_within_symbol=0.75).rename(columns={"auc_within_symbol": "given_symbol"})
        if file.endswith("parquet"):
            del table.attrs["dims"]["auc_within_symbol"]
            table.to_parquet(folder / file, index=False)
        else:
            table.to_csv(folder / file, index=False)
    both = open_runs([folder, made[0] / "large"])
    assert "given_symbol" not in both.tables["relevance"]
    assert both.query("SELECT DISTINCT auc_within_symbol FROM scores WHERE run = 'small'").values.tolist() == [[0.75]]
    assert both.query("SELECT count(auc_within_symbol) AS n FROM scores WHERE run = 'large'")["n"].tolist() == [20]
    alone = open_runs(folder)
    assert alone.query("SELECT DISTINCT auc_within_symbol FROM relevance").values.tolist() == [[0.75]]
    assert alone.query("SELECT DISTINCT auc_within_symbol FROM findings").values.tolist() == [[0.75]]


def test_measures_under_earlier_names_are_read(made, tmp_path):
    """Earlier versions called the probability of a class its mass."""
    folder = copy_run(made, tmp_path)
    effects = pd.read_parquet(folder / "effects.parquet")
    names = ["class_probability", "class_probability_on", "loss_on"]
    some = pd.concat([effects.head(1).assign(measure=name) for name in ("mass", "mass_on", "loss_on")])
    some.to_parquet(folder / "effects.parquet", index=False)
    both = open_runs([folder, made[0] / "large"])
    assert both.query("SELECT measure FROM effects WHERE run = 'small' ORDER BY measure")["measure"].tolist() == names
    assert both.query("SELECT count(*) AS n FROM effects WHERE measure = 'mass'")["n"].tolist() == [0]
