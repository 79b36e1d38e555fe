"""SQL over run folders, against pandas on the same tables; odd names, old and broken files, and what is refused."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_runs import FEATURES, FOLDS, LARGE, SMALL, write_run, write_three

import dni_jax as dni
from dni_jax.inspection import relevance_table
from dni_jax.querying import open_runs

TABLES = {"runs", "relevance", "scores", "effects", "findings", "training", "dynamics"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return root, write_three(root)


@pytest.fixture(scope="module")
def runs(made):
    return open_runs(made[0] / "*")


def copy_of(made, tmp_path, name="small"):
    return shutil.copytree(made[0] / name, tmp_path / name)


def snapshot(root):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


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
        numbers = ["score", "accuracy", "auc", "r2", "baseline", "share", "p_family", "given_symbol"]
        expected = table.astype(dict.fromkeys(numbers, "float64")).groupby(["neuron", "feature"])[numbers].mean()
        got = runs.query(f"FROM scores WHERE run = '{name}'").set_index(["neuron", "feature"]).sort_index()
        pd.testing.assert_frame_equal(got[numbers], expected.sort_index(), check_dtype=False, rtol=1e-12)
        assert (got["folds"] == FOLDS).all()


def test_what_has_no_fold_is_exact(runs):
    assert set(runs.query("SELECT DISTINCT p_family FROM scores")["p_family"]) == {0.005, 0.4}


def test_a_fold_that_cannot_judge_is_not_counted(made, tmp_path):
    folder = copy_of(made, tmp_path)
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
    assert set(runs.tables) == TABLES
    assert all(columns["run"] == "VARCHAR" for columns in runs.tables.values())
    assert runs.tables["effects"]["neurons"] == "BIGINT[]"
    assert set(runs.query("SHOW TABLES")["name"]) == TABLES


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


def test_a_run_gives_its_network(made, tmp_path, model):
    folder = copy_of(made, tmp_path)
    model.save(folder / "checkpoint")
    assert open_runs(folder).model("small").n_neurons == model.n_neurons


@pytest.mark.parametrize(
    "name",
    ["o'clock", 'a "b"', "[ab]*?", "*", "hidden=64", "run=x", "é ünï 東", "back\\slash", "line\nbreak", "a,b", "{a,b}"],
)
def test_names_with_odd_signs(made, tmp_path, name):
    copy_of(made, tmp_path)  # what a pattern would find
    for other in ("a", "b", "ab"):
        shutil.copytree(made[0] / "large", tmp_path / other)
    shutil.copytree(made[0] / "large", tmp_path / name)
    odd = open_runs(tmp_path / name)
    assert odd.names == (name,)
    for view in sorted(TABLES):
        assert set(odd.query(f"SELECT run FROM {view}")["run"]) == {name}
    assert odd.query("SELECT count(*) AS n FROM relevance")["n"].tolist() == [len(LARGE) * len(FEATURES) * FOLDS]
    assert "run_1" not in odd.tables["relevance"]
    assert odd.tables["relevance"]["neuron"] == "BIGINT"
    assert "hidden" not in odd.tables["relevance"]
    both = open_runs([tmp_path / name, tmp_path / "small"])
    assert set(both.query("SELECT DISTINCT run FROM scores")["run"]) == {name, "small"}
    assert both.query("SELECT run FROM training WHERE step = 100 ORDER BY run")["run"].tolist() == sorted(
        [name, "small"]
    )


def test_features_with_odd_signs_come_through_csv(made, tmp_path):
    folder = copy_of(made, tmp_path)
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
    for path, told in (("notes", "holds no run"), ("file", "no folder"), ("nothing", "got nothing")):
        with pytest.raises(ValueError, match=f"'{path}', .*{told}.*in quotes"):
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
    folder = copy_of(made, tmp_path)
    without_number(folder)
    table = pd.read_parquet(folder / "relevance.parquet")
    del table.attrs["dims"]["given_symbol"]
    table.drop(columns="given_symbol").astype({"auc": "float64", "neuron": "int32"}).to_parquet(
        folder / "relevance.parquet", index=False
    )
    findings = pd.read_csv(folder / "findings.csv").drop(columns="same_as")[["neurons", "feature", "auc"]]
    findings.to_csv(folder / "findings.csv", index=False)
    both = open_runs([folder, made[0] / "large"])
    assert both.query("SELECT layers, cell, parser_states FROM runs WHERE run = 'small'").values.tolist() == [
        [1, "lstm", False]
    ]
    rows = both.query(
        "SELECT run, count(*) AS n, count(given_symbol) AS given, max(auc) AS auc FROM scores GROUP BY run"
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
    folder = copy_of(made, tmp_path)
    rewrite(folder / name, how)
    told = "newer dni_jax: update it" if how == "newer" else "expected"
    with pytest.raises(ValueError, match=re.escape(str(folder / name))) as error:
        open_runs([made[0] / "large", folder])
    assert told in str(error.value)


@pytest.mark.parametrize("line", ['hidden = "many"', "hidden = true", "hidden = 2.5"])
def test_a_setting_of_another_kind_is_named(made, tmp_path, line):
    file = copy_of(made, tmp_path) / "config.toml"
    file.write_text(file.read_text().replace("hidden = 2", line))
    with pytest.raises(ValueError, match=r"hidden of type int in '.*config\.toml'"):
        open_runs(file.parent)


@pytest.mark.parametrize("name", PARQUET[:2])
def test_a_file_that_breaks_later_is_named(made, tmp_path, name):
    folder = copy_of(made, tmp_path)
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
    assert set(cut.tables) == TABLES - {"findings"}
    for view in ("relevance", "scores", "effects"):
        assert len(cut.query(f"SELECT run, feature FROM {view}")) == 0
    assert len(cut.query("FROM dynamics")) == 2 * 2 * len(FEATURES)


def test_what_is_asked_wrongly_is_told(runs):
    with pytest.raises(ValueError, match='Did you mean "scores"') as error:
        runs.query("SELECT *\nFROM scorse")
    assert "LINE 2: FROM scorse" in str(error.value)
    assert "  effects: run, intervention, feature" in str(error.value)
    assert "dni_" not in str(error.value)
    with pytest.raises(ValueError, match=r'Candidate bindings: "auc"'):
        runs.query("SELECT aucc FROM scores")
    with pytest.raises(ValueError, match=r"LINE 3: +frm"):
        runs.query("SELECT\n 1\n  frm scores x y")
    with pytest.raises(ValueError, match="Conversion Error"):
        runs.query("SELECT feature::INT FROM scores")
    for nothing in ("", "  ", "-- a note"):
        with pytest.raises(ValueError, match="got nothing"):
            runs.query(nothing)


@pytest.mark.parametrize(
    "sql",
    [
        "-- a note\nSELECT ';' AS one; -- another; and\n",
        "SELECT ';' AS one;;",
        "SELECT ';' AS one -- ;",
        "FROM (SELECT ';' AS one)",
    ],
)
def test_semicolons_and_notes_are_no_part_of_a_question(runs, sql):
    assert runs.query(sql)["one"].tolist() == [";"]


TARGET = "TARGET"  # one of the runs' own tables, which DuckDB may open


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'TARGET'",
        "COPY (SELECT 1) TO 'new.csv'",
        "COPY (SELECT 1) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)",
        "WITH x AS (COPY (SELECT 1) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)) SELECT * FROM x",
        "FROM (WITH x AS (COPY (SELECT 1) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)) SELECT * FROM x)",
        "FROM query('WITH x AS (COPY (SELECT 1) TO ''TARGET'' (USE_TMP_FILE false)) FROM x')",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)",
        "COPY (PIVOT scores ON neuron USING count(*)) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)",
        "SELECT 1; COPY (SELECT 1) TO 'TARGET' (FORMAT csv, USE_TMP_FILE false)",
        "ATTACH 'new.db'",
        "EXPORT DATABASE 'new'",
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE runs",
        "DELETE FROM runs",
        "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "FROM enable_logging(storage = 'file', storage_path = 'new')",
        "INSTALL spatial",
        "LOAD spatial",
        "FROM 'secret.csv'",
        "FROM read_csv('secret.csv')",
        "FROM read_text('secret.csv')",
        "FROM glob('*')",
        "FROM read_parquet('../*/relevance.parquet')",
        "FROM secret",
        "PIVOT scores ON feature USING max(auc)",
    ],
)
def test_nothing_else_is_read_and_nothing_written(made, tmp_path, monkeypatch, sql):
    folder = copy_of(made, tmp_path)
    monkeypatch.chdir(tmp_path)
    secret = pd.DataFrame({"word": ["hush"]})
    secret.to_csv("secret.csv")
    opened, before = open_runs("small"), snapshot(tmp_path)
    with pytest.raises(ValueError, match="expected"):
        opened.query(sql.replace(TARGET, str(folder / "relevance.parquet")))
    assert snapshot(tmp_path) == before
    assert opened.query("SELECT count(*) AS n FROM runs")["n"].tolist() == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "WITH a AS (SELECT 1) FROM a",
        "FROM scores",
        "VALUES (1)",
        "DESCRIBE scores",
        "SUMMARIZE scores",
        "SHOW TABLES",
        "PIVOT scores ON feature IN ('digit', 'space') USING max(auc) GROUP BY run",
        "UNPIVOT (SELECT run, loss, ideal FROM runs) ON loss, ideal",
    ],
)
def test_questions_are_let_through(runs, sql):
    assert len(runs.query(sql)) > 0


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
