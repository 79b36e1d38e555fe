"""What SQL may ask: nothing is written, nothing else is read, and what is asked wrongly is told."""

import contextlib

import pandas as pd
import pytest

from dni_jax.app.query import open_runs
from tests.support.made_runs import copy_run, snapshot


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
    with pytest.raises(ValueError, match="does not exist") as error:
        runs.query("SHOW nothing")
    assert "dni_" not in str(error.value)
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


@pytest.mark.parametrize("sql", ["FROM enable_logging(storage = 'file', storage_path = 'new')", "FROM checkpoint()"])
def test_functions_that_could_write_do_not(made, tmp_path, monkeypatch, sql):
    copy_run(made, tmp_path)
    monkeypatch.chdir(tmp_path)
    opened, before = open_runs("small"), snapshot(tmp_path)
    with contextlib.suppress(ValueError):  # which of them are refused is DuckDB's matter
        opened.query(sql)
    assert snapshot(tmp_path) == before


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
    folder = copy_run(made, tmp_path)
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
