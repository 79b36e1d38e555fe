"""The commands that look at finished runs: their pages, and questions in SQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from dni_jax.app.cli._output import Output, speaking

Runs = Positional[Annotated[tuple[str, ...], arg(metavar="RUN...")]]
Words = Positional[Annotated[tuple[str, ...], arg(metavar="RUN... SQL")]]


def report(runs: Runs, out: Path | None = None, output: Output = Output()) -> None:  # noqa: B008
    """Write the page that shows what a run has found; for several runs also one that compares them.

    Examples
    --------
        dni report runs/parentheses
        dni report runs/small runs/large --out runs/sizes.html

    A page is one file without anything from elsewhere; a browser opens it from disk.

    Args:
        runs: Folders of runs, or patterns in quotes.
        out: Where the comparison goes; by default overview.html beside the first run.
        output: How to speak.
    """
    from dni_jax.app.pipeline import report_all
    from dni_jax.app.query import find_runs

    with speaking(output) as voice:
        pages = report_all(find_runs(runs), out, voice.say)
        voice.show({"pages": pages}, *(f"Report:  {page}" for page in pages))


def query(
    words: Words,
    format: Literal["table", "csv", "json", "parquet"] = "table",
    out: Path | None = None,
) -> None:
    """Ask runs a question in SQL.

    Examples
    --------
        dni query 'runs/*' "SELECT run, feature, neuron, auc FROM scores ORDER BY auc DESC LIMIT 10"
        dni query runs/small runs/large "SELECT run, hidden, loss, gap FROM runs" --format csv
        dni query 'runs/*' "DESCRIBE relevance"
        dni query 'runs/*' "FROM effects WHERE p < .05" --format parquet --out used.parquet

    The tables are runs (one row a run, with its settings), relevance (neuron x feature x fold), scores (its means over
    folds), effects, and where runs have them findings, training and dynamics; docs/queries.md has more examples.

    Args:
        words: Folders of runs, or patterns in quotes; last, the question.
        format: table is for reading, the others hold everything.
        out: A file to write to.
    """
    if len(words) < 2:
        raise ValueError(
            f"expected one or more runs and a question, got {list(words)}: dni query 'runs/*' \"SELECT ...\""
        )
    from dni_jax.app.query import open_runs, render

    *paths, sql = words
    try:
        render(open_runs(paths).query(sql), format, out)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


COMMANDS: dict[str, Callable[..., None]] = {"report": report, "query": query}
