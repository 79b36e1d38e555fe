"""A DuckDB connection that can read the tables of some runs and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from dni_jax.app.query._folders import CSV, PARQUET, RunContents, row_types
from dni_jax.settings import RENAMED_COLUMNS, RENAMED_MEASURES

# Columns of a view when no run has written its table yet.
_EMPTY = {
    "relevance": {"neuron": "BIGINT", "feature": "VARCHAR", "fold": "BIGINT", "score": "FLOAT", "accuracy": "FLOAT",
                  "auc": "FLOAT", "r2": "FLOAT", "baseline": "FLOAT", "kind": "VARCHAR", "share": "DOUBLE"},
    "effects": {"intervention": "VARCHAR", "feature": "VARCHAR", "measure": "VARCHAR", "k": "BIGINT",
                "intact": "DOUBLE", "top": "DOUBLE", "bottom": "DOUBLE", "top_effect": "DOUBLE",
                "random_effect": "DOUBLE", "p": "DOUBLE", "neurons": "BIGINT[]"},
}  # fmt: skip
_CSV_TYPES = {
    **dict.fromkeys(("feature", "kind", "same_as"), "VARCHAR"),
    **dict.fromkeys(("step", "characters", "folds"), "BIGINT"),
    "neurons": "BIGINT[]",
}  # all others are DOUBLE
_ARROW_TYPES = {
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
}
_FILES = "dni_files.files"  # the run of each file; a schema of its own hides it from SHOW TABLES
_FILE = "dni_file"
_QUERY = "dni_query"


@contextmanager
def connect(runs: Sequence[RunContents]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with views over these runs. It can read their tables and no other file.

    The tables stay on disk until a query reads them. The connection is closed when the block ends.

    Raises
    ------
    ValueError
        If a table was removed or replaced since the runs were opened.
    """
    with TemporaryDirectory(prefix="dni_jax_query_") as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": spill,
            "python_enable_replacements": "false",  # or queries could read Python variables as tables
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            try:
                _make_tables(connection, runs)
                _make_views(connection, runs)
            except duckdb.Error as error:
                raise ValueError(
                    f"expected the tables that existed when the runs were opened, got: {str(error).splitlines()[0]}: "
                    "open the runs again"
                ) from error
            files = [str(run.file(view)) for run in runs for view in run.tables]
            # DuckDB checks names with wildcards twice: as the escaped pattern, and as the file that it matches.
            allowed = dict.fromkeys([*files, *(_glob_escape(file) for file in files)])
            connection.execute(f"SET allowed_paths = {_list(allowed)}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection


def check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the one statement in `sql`, after checking that it only reads.

    The type of a statement is not enough: a SELECT can write a file in its WITH clause. A view cannot, so the
    statement must be accepted as a view first; creating a view executes nothing.

    Raises
    ------
    ValueError
        If there is not exactly one statement, or it is not a query.
    duckdb.Error
        If DuckDB cannot parse or bind it.
    """
    # With a line break in front, DuckDB's messages quote the user's own lines and nothing of the statement below.
    text = f"\n{sql}"
    kinds = [statement.type for statement in connection.extract_statements(text)]
    if kinds != [duckdb.StatementType.SELECT]:
        named = ", ".join(kind.name for kind in kinds) or "nothing"
        raise ValueError(
            "expected one SQL query (SELECT, WITH ... SELECT, FROM, DESCRIBE, SUMMARIZE, SHOW TABLES, "
            f"PIVOT ... IN (...)), got {named}: runs are read-only; a PIVOT needs its values in IN (...)"
        )
    query = _strip_semicolon(connection, text)
    connection.execute(f"CREATE TEMP VIEW {_QUERY} AS FROM ({query}\n)")
    connection.execute(f"DROP VIEW {_QUERY}")
    return query


def _strip_semicolon(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the one statement of a text without a final semicolon and the comments after it."""

    def count(part: str) -> int:
        try:
            return len(connection.extract_statements(part))
        except duckdb.Error:
            return -1  # the semicolon is inside a string, a name or a comment

    ends = (match.start() for match in re.finditer(";", text))
    return next((text[:end] for end in ends if (count(text[:end]), count(text[end:])) == (1, 0)), text)


def format_error(error: duckdb.Error) -> str:
    """Return DuckDB's message about a statement of `check_query`, with the line numbers of the user's query."""
    message = re.sub(rf"^LINE 1: .*{_QUERY}.*\n.*$", "", str(error), flags=re.MULTILINE)
    message = re.sub(r"^LINE (\d+):", lambda match: f"LINE {int(match[1]) - 1}:", message, flags=re.MULTILINE)
    return re.sub(r"\n\s*\n", "\n", message).strip("\n")


def list_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return the views, each with its columns and their SQL types."""
    columns: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal "
        "ORDER BY table_oid, column_index"
    )
    for view, column, kind in rows.fetchall():
        columns.setdefault(view, {})[column] = kind
    return columns


def _make_tables(connection: duckdb.DuckDBPyConnection, runs: Sequence[RunContents]) -> None:
    types = row_types()
    rows = {name: pa.array([run.row[name] for run in runs], _ARROW_TYPES[kind]) for name, kind in types.items()}
    places = [(str(run.file(view)), run.name) for run in runs for view in run.tables]
    files = {_FILE: [file for file, _ in places], "run": [name for _, name in places]}
    for name, columns in (("runs", rows), (_FILES, {key: pa.array(held, pa.string()) for key, held in files.items()})):
        connection.execute("CREATE SCHEMA IF NOT EXISTS dni_files")
        connection.register("dni_given", pa.table(columns))
        connection.execute(f"CREATE TABLE {name} AS FROM dni_given")
        connection.unregister("dni_given")


def _make_views(connection: duckdb.DuckDBPyConnection, runs: Sequence[RunContents]) -> None:
    for view in (*PARQUET, *CSV):
        holding = [run for run in runs if view in run.tables]
        if holding:
            source = _parquet_query(view, holding) if view in PARQUET else _csv_query(view, holding)
            connection.execute(
                f"CREATE VIEW {view} AS SELECT files.run, rows.* EXCLUDE ({_FILE}) "
                f"FROM ({source}) AS rows JOIN {_FILES} AS files USING ({_FILE})"
            )
        elif view in _EMPTY:
            columns = ", ".join(f"NULL::{kind} AS {_name(name)}" for name, kind in _EMPTY[view].items())
            connection.execute(f"CREATE VIEW {view} AS SELECT NULL::VARCHAR AS run, {columns} WHERE false")
        if view == "relevance":
            connection.execute(f"CREATE VIEW scores AS {_mean_query(list_columns(connection)['relevance'])}")


def _mean_query(columns: dict[str, str]) -> str:
    """Return the query for means of `relevance` over folds. A value that is equal in all folds is kept exactly."""
    keys = ("run", "neuron", "feature")
    chosen = list(keys)
    for name, kind in columns.items():
        column = _name(name)
        if name in (*keys, "fold"):
            continue
        if kind == "VARCHAR":
            chosen.append(f"any_value({column}) AS {column}")
        else:
            is_equal = f"min({column}) = max({column})"
            chosen.append(f"CASE WHEN {is_equal} THEN min({column}) ELSE avg({column}) END AS {column}")
    scored = "CASE WHEN any_value(kind) = 'binary' THEN count(auc) ELSE count(score) END"
    chosen.append(f"{scored if {'kind', 'auc'} <= columns.keys() else 'count(score)'} AS folds")
    return f"SELECT {', '.join(chosen)} FROM relevance GROUP BY {', '.join(keys)}"


def _parquet_query(view: str, runs: Sequence[RunContents]) -> str:
    files = _list(_glob_escape(str(run.file(view))) for run in runs)
    table = f"FROM read_parquet({files}, union_by_name = true, hive_partitioning = false, filename = '{_FILE}')"
    if view == "effects":
        cases = " ".join(f"WHEN {_text(old)} THEN {_text(new)}" for old, new in RENAMED_MEASURES.items())
        return f"SELECT * REPLACE (CASE measure {cases} ELSE measure END AS measure) {table}"
    columns = {column for run in runs for column in run.tables[view]}
    for old in RENAMED_COLUMNS.keys() & columns:
        new = RENAMED_COLUMNS[old]
        value = f"coalesce({_name(new)}, {_name(old)})" if new in columns else _name(old)
        excluded = ", ".join(_name(name) for name in (old, new) if name in columns)
        table = f"SELECT * EXCLUDE ({excluded}), {value} AS {_name(new)} FROM ({table})"
    return table


def _csv_query(view: str, runs: Sequence[RunContents]) -> str:
    """Return the query that reads CSV files with given types: one read for each set of columns, united by name."""
    by_header: dict[tuple[str, ...], list[Path]] = {}
    for run in runs:
        by_header.setdefault(run.tables[view], []).append(run.file(view))
    parts = []
    for header, files in by_header.items():
        columns = ", ".join(f"{_text(name)}: {_text(_CSV_TYPES.get(name, 'DOUBLE'))}" for name in map(_rename, header))
        paths = _list(_glob_escape(str(file)) for file in files)
        parts.append(
            f"FROM read_csv({paths}, columns = {{{columns}}}, header = true, "
            "auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = '', parallel = false, "
            f"hive_partitioning = false, filename = '{_FILE}')"
        )
    return " UNION ALL BY NAME ".join(f"({part})" for part in parts)


def _rename(column: str) -> str:
    return RENAMED_COLUMNS.get(column, column)


def _glob_escape(path: str) -> str:
    """Return a pattern that matches only this path, even if it contains wildcards."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _list(values: Iterator[str] | Sequence[str] | dict[str, None]) -> str:
    return f"[{', '.join(map(_text, values))}]"
