"""The commands for the results of runs: reports, SQL queries, generated text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from dni_jax.app.cli._pipeline import Run, enable_compilation_cache
from dni_jax.app.config import OutputConfig
from dni_jax.settings import Described
from dni_jax.status_line import pause_status

Runs = Positional[Described[Annotated[tuple[str, ...], arg(metavar="RUN...")]]]
RunsAndSql = Positional[Described[Annotated[tuple[str, ...], arg(metavar="RUN... SQL")]]]


def report(runs: Runs, out: Described[Path | None] = None, output: OutputConfig = OutputConfig()) -> None:  # noqa: B008
    """Write the HTML report of a run. For several runs, also write an overview that compares them.

    Examples
    --------
        dni report runs/parentheses
        dni report runs/small runs/large --out runs/sizes.html

    A report is one self-contained file that a browser opens from disk.

    Args:
        runs: Folders of runs, or quoted patterns.
        out: Path of the overview. Default: overview.html next to the first run.
        output: What to print.
    """
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.pipeline import write_reports
    from dni_jax.app.query import find_runs

    with open_console(output) as console:
        pages = write_reports(find_runs(runs), out, console.log)
        console.show({"pages": pages}, *(f"Report:  {page}" for page in pages))


def query(
    words: RunsAndSql,
    format: Literal["table", "csv", "json", "parquet"] = "table",
    out: Described[Path | None] = None,
) -> None:
    """Query the results of runs with SQL.

    Examples
    --------
        dni query 'runs/*' "SELECT run, feature, neuron, auc FROM scores ORDER BY auc DESC LIMIT 10"
        dni query runs/small runs/large "SELECT run, hidden, loss, gap FROM runs" --format csv
        dni query 'runs/*' "DESCRIBE relevance"
        dni query 'runs/*' "FROM effects WHERE p < .05" --format parquet --out used.parquet

    The tables are runs (one row per run, with its settings), relevance (neuron x feature x fold), scores (means over
    folds), effects and, if the runs have them, findings, training and dynamics. See docs/queries.md for more examples.

    Args:
        words: Folders of runs or quoted patterns, followed by the query.
        format: Use table for reading. The other formats have all rows, columns and digits.
        out: File to write the answer to.
    """
    if len(words) < 2:
        raise ValueError(f"expected one or more runs and a query, got {list(words)}: dni query 'runs/*' \"SELECT ...\"")
    from dni_jax.app.query import open_runs, render

    *paths, sql = words
    try:
        answer = open_runs(paths).query(sql)
        with pause_status():
            render(answer, format, out)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def generate(
    run: Run,
    feature: Described[str | None] = None,
    k: Described[int | None] = None,
    neurons: Described[tuple[int, ...]] = (),
    value: float = 1.0,
    n: int = 4,
    length: int = 200,
    prime: str = "",
    temperature: float = 1.0,
    seed: int = 0,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Generate text with a run's network, optionally with neurons held at a value, and measure the text.

    Examples
    --------
        dni generate runs/parentheses
        dni generate runs/parentheses --feature digit --k 5
        dni generate runs/parentheses --neurons 3 17 --value -1 --json

    Args:
        run: The folder of a run with a trained network.
        feature: Hold the top neurons for this feature.
        k: Number of top neurons to hold. Default: 10, or all if the network has fewer.
        neurons: Hold these neurons instead.
        value: Value to hold them at. The states of an LSTM, GRU, RNN or sLSTM lie between -1 and 1.
        n: Number of texts.
        length: Number of characters per text.
        prime: Text that the network reads first.
        temperature: Sampling temperature. Below 1, likely characters become more likely.
        seed: Random seed.
        output: What to print.
    """
    if feature is not None and neurons:
        raise ValueError(f"expected --feature or --neurons, got both: {feature} and {list(neurons)}")
    if k is not None and k < 1:
        raise ValueError(f"expected k of at least 1, got {k}")
    enable_compilation_cache()
    import dni_jax as dni
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.pipeline import RANK_BY, Job, load_relevance

    with open_console(output) as console:
        job = Job.open(run, console.log)
        held = list(neurons)
        if feature is not None:
            held = dni.top(load_relevance(job), feature, k=k, by=RANK_BY)["neuron"].tolist()
        if held:
            console.log(f"neurons {' '.join(map(str, held))} held at {value:g}")
        intervention = dni.clamp(held, value) if held else None
        texts = dni.generate(
            job.model, n, length, seed, intervention=intervention, temperature=temperature, prime=prime
        )
        measures = dni.verification.measure_texts(texts, job.model.vocabulary.boundary_text, job.language)
        classes = ", ".join(f"{name} {share:.0%}" for name, share in measures.shares.items())
        summary = f"matched brackets {measures.matched:.1%}, whole strings that parse {measures.parses:.1%}; {classes}"
        lines = [line for text in texts for line in (text, "")]
        console.show({"neurons": held, "value": value, "texts": texts, "measures": asdict(measures)}, *lines, summary)


COMMANDS: dict[str, Callable[..., None]] = {"report": report, "query": query, "generate": generate}
