"""A DuckDB connection that sees the tables of some runs, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from dni_jax.app.query._contents import CSV, PARQUET, Contents, row_types
from dni_jax.settings import RENAMED_MEASURES

# What a view holds before any run has written its table.
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
_FILES = "dni_files.files"  # which run a file belongs to; in a schema of its own, out of sight
_FILE = "dni_file"
_QUESTION = "dni_question"


@contextmanager
def connected(runs: Sequence[Contents]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the views over these runs; it can read their tables, and no other file.

    The tables stay on disk until a query reads them. Closed when the block ends.

    Raises
    ------
    ValueError
        Where a table has gone, or has changed into something else, since the runs were opened.
    """
    with TemporaryDirectory(prefix="dni_jax_query_") as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": spill,
            "python_enable_replacements": "false",  # no variables of the caller as tables
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            try:
                _make_tables(connection, runs)
                _make_views(connection, runs)
            except duckdb.Error as error:
                raise ValueError(
                    f"expected the tables as they were when the runs were opened, got: {str(error).splitlines()[0]}: "
                    "open the runs again"
                ) from error
            files = [str(run.file(view)) for run in runs for view in run.tables]
            # A name with a pattern's signs is asked for twice: as the pattern, and as the file that it is.
            allowed = dict.fromkeys([*files, *(_literal(file) for file in files)])
            connection.execute(f"SET allowed_paths = {_list(allowed)}")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection


def bind(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Give the one statement in `sql`, once it is known to change nothing.

    Its type alone does not say so: a SELECT may write a file in its WITH clause. A view may not, so the statement has
    to make a view first, which runs nothing.

    Raises
    ------
    ValueError
        Where there is not exactly one statement, or one that is no question.
    duckdb.Error
        Where DuckDB does not understand it.
    """
    # DuckDB's messages show the asker's own line, without the words before it.
    text = f"\n{sql}"
    kinds = [statement.type for statement in connection.extract_statements(text)]
    if kinds != [duckdb.StatementType.SELECT]:
        named = ", ".join(kind.name for kind in kinds) or "nothing"
        raise ValueError(
            "expected one question in SQL (SELECT, WITH ... SELECT, FROM, DESCRIBE, SUMMARIZE, SHOW TABLES, "
            f"PIVOT ... IN (...)), got {named}: runs are only read; a PIVOT needs its values in IN (...)"
        )
    question = _without_semicolon(connection, text)
    connection.execute(f"CREATE TEMP VIEW {_QUESTION} AS FROM ({question}\n)")
    connection.execute(f"DROP VIEW {_QUESTION}")
    return question


def _without_semicolon(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """The one statement of a text, without the semicolon that may end it, and what comes behind."""

    def count(part: str) -> int:
        try:
            return len(connection.extract_statements(part))
        except duckdb.Error:
            return -1  # a semicolon within a text or a name

    ends = (found.start() for found in re.finditer(";", text))
    return next((text[:end] for end in ends if (count(text[:end]), count(text[end:])) == (1, 0)), text)


def message_of(error: duckdb.Error) -> str:
    """DuckDB's message about a statement that `bind` was given, with the asker's lines and their numbers."""
    message = re.sub(rf"^LINE 1: .*{_QUESTION}.*\n.*$", "", str(error), flags=re.MULTILINE)
    message = re.sub(r"^LINE (\d+):", lambda found: f"LINE {int(found[1]) - 1}:", message, flags=re.MULTILINE)
    return re.sub(r"\n\s*\n", "\n", message).strip("\n")


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The views, and the columns of each with their types in SQL."""
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal "
        "ORDER BY table_oid, column_index"
    )
    for view, column, kind in rows.fetchall():
        found.setdefault(view, {})[column] = kind
    return found


def _make_tables(connection: duckdb.DuckDBPyConnection, runs: Sequence[Contents]) -> None:
    types = row_types()
    rows = {name: pa.array([run.row[name] for run in runs], _ARROW_TYPES[kind]) for name, kind in types.items()}
    places = [(str(run.file(view)), run.name) for run in runs for view in run.tables]
    files = {_FILE: [file for file, _ in places], "run": [name for _, name in places]}
    for name, columns in (("runs", rows), (_FILES, {key: pa.array(held, pa.string()) for key, held in files.items()})):
        connection.execute("CREATE SCHEMA IF NOT EXISTS dni_files")
        connection.register("dni_given", pa.table(columns))
        connection.execute(f"CREATE TABLE {name} AS FROM dni_given")
        connection.unregister("dni_given")


def _make_views(connection: duckdb.DuckDBPyConnection, runs: Sequence[Contents]) -> None:
    for view in (*PARQUET, *CSV):
        holding = [run for run in runs if view in run.tables]
        if holding:
            source = _parquet(view, holding) if view in PARQUET else _csv(view, holding)
            connection.execute(
                f"CREATE VIEW {view} AS SELECT files.run, rows.* EXCLUDE ({_FILE}) "
                f"FROM ({source}) AS rows JOIN {_FILES} AS files USING ({_FILE})"
            )
        elif view in _EMPTY:
            columns = ", ".join(f"NULL::{kind} AS {_name(name)}" for name, kind in _EMPTY[view].items())
            connection.execute(f"CREATE VIEW {view} AS SELECT NULL::VARCHAR AS run, {columns} WHERE false")
        if view == "relevance":
            connection.execute(f"CREATE VIEW scores AS {_means(columns_of(connection)['relevance'])}")


def _means(columns: dict[str, str]) -> str:
    """Fold means of `relevance`; what is the same in every fold stays as it is, to the last digit."""
    keys = ("run", "neuron", "feature")
    chosen = list(keys)
    for name, kind in columns.items():
        column = _name(name)
        if name in (*keys, "fold"):
            continue
        if kind == "VARCHAR":
            chosen.append(f"any_value({column}) AS {column}")
        else:
            same = f"min({column}) = max({column})"
            chosen.append(f"CASE WHEN {same} THEN min({column}) ELSE avg({column}) END AS {column}")
    judged = "CASE WHEN any_value(kind) = 'binary' THEN count(auc) ELSE count(score) END"
    chosen.append(f"{judged if {'kind', 'auc'} <= columns.keys() else 'count(score)'} AS folds")
    return f"SELECT {', '.join(chosen)} FROM relevance GROUP BY {', '.join(keys)}"


def _parquet(view: str, runs: Sequence[Contents]) -> str:
    files = _list(_literal(str(run.file(view))) for run in runs)
    table = f"FROM read_parquet({files}, union_by_name = true, hive_partitioning = false, filename = '{_FILE}')"
    if view != "effects":
        return table
    # Runs of earlier versions hold earlier names of some measures.
    cases = " ".join(f"WHEN {_text(old)} THEN {_text(new)}" for old, new in RENAMED_MEASURES.items())
    return f"SELECT * REPLACE (CASE measure {cases} ELSE measure END AS measure) {table}"


def _csv(view: str, runs: Sequence[Contents]) -> str:
    """Files with the same columns are read together, and all of them by name; no type is guessed."""
    alike: dict[tuple[str, ...], list[Path]] = {}
    for run in runs:
        alike.setdefault(run.tables[view], []).append(run.file(view))
    parts = []
    for header, files in alike.items():
        columns = ", ".join(f"{_text(name)}: {_text(_CSV_TYPES.get(name, 'DOUBLE'))}" for name in header)
        parts.append(
            f"FROM read_csv({_list(_literal(str(file)) for file in files)}, columns = {{{columns}}}, header = true, "
            "auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = '', parallel = false, "
            f"hive_partitioning = false, filename = '{_FILE}')"
        )
    return " UNION ALL BY NAME ".join(f"({part})" for part in parts)


def _literal(path: str) -> str:
    """A pattern that means this path alone, whatever signs of patterns it holds."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _list(values: Iterator[str] | Sequence[str] | dict[str, None]) -> str:
    return f"[{', '.join(map(_text, values))}]"
