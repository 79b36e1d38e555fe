"""The commands that need no run: labels of a text, built-in languages, a benchmark of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from dni_jax.app.cli._pipeline import enable_compilation_cache
from dni_jax.app.config import OutputConfig, RunConfig
from dni_jax.settings import Described, ProbeName

if TYPE_CHECKING:
    from rich.table import Table

    from dni_jax.app.benchmark import Rate


def label(
    language: Positional[Annotated[str, arg(metavar="LANGUAGE")]],
    text: Positional[Annotated[str, arg(metavar="TEXT")]],
    grammar: Described[str | None] = None,
    start: str = "start",
    features: Described[tuple[str, ...]] = (),
    width: int = 100,
    parser_states: bool = False,
    out: Described[Path | None] = None,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Show the labels of a text, one row per feature, as in Figure 1 of Lin & Wu (2017).

    Examples
    --------
        dni label parentheses '0(1((3(44))2))'
        dni label c 'int f(int x) { return x + 1; }' --features 'range:*' depth
        dni label json '{"a": [1, 2]}' --grammar examples/json.lark --start value --out labels.png

    Args:
        language: A built-in language (see `dni languages`). With --grammar, any name.
        text: The text to label, or - for standard input.
        grammar: Path of a Lark grammar.
        start: Start rule of the grammar.
        features: Names or patterns of features. Default: all that hold somewhere in the text.
        width: Number of characters to show.
        parser_states: Include features of a shift-reduce parser.
        out: Write a figure (PNG) to this path instead.
        output: What to print.
    """
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.report import save
    from dni_jax.app.texts import get_features, get_language
    from dni_jax.plot import labeling_figure, labeling_text

    name = language if grammar is None else RunConfig.language
    config = RunConfig(name, grammar=grammar, start=start, parser_states=parser_states)
    parser = get_language(config)
    source = sys.stdin.read() if text == "-" else text
    corpus = parser.corpus([source])
    if parser_states:
        corpus = parser.add_parser_states(corpus)
    labels = get_features(config, parser).label(corpus)
    names = list(dict.fromkeys(name for pattern in features for name in labels.select(pattern).names)) or None
    with open_console(output) as console:
        if out is not None:
            save(labeling_figure(labels, corpus, string=0, width=width, features=names), out)
            console.show({"figure": out}, f"Figure: {out}")
            return
        selected = labels if names is None else labels.select(names)
        rows = {name: column.tolist() for name, column in zip(selected.names, selected.columns, strict=True)}
        shown = labeling_text(labels, corpus, string=0, width=width, features=names)
        console.show({"text": source, "labels": rows}, shown)


def languages(output: OutputConfig = OutputConfig()) -> None:  # noqa: B008
    """List the built-in languages.

    Examples
    --------
        dni languages
        dni languages --json

    Args:
        output: What to print.
    """
    from dni_jax import languages as built_in
    from dni_jax.app.cli._console import open_console

    about = {name: built_in.describe(name) for name in built_in.list_languages()}
    with open_console(output) as console:
        console.show(about, "\n".join(f"{name:14}{words}" for name, words in about.items()))


def bench(
    positions: int = 20_000,
    neurons: int = 128,
    features: int = 50,
    folds: int = 20,
    probe: ProbeName = "svm",
    repeats: int = 3,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Benchmark this machine: fitting probes, compared with scikit-learn, and training, recording and generating.

    Examples
    --------
        dni bench
        dni bench --positions 100000 --neurons 512 --probe logistic --json

    Args:
        positions: Number of characters to score.
        neurons: Number of neurons to score, and of the network.
        features: Number of features.
        folds: Number of cross-validation folds.
        probe: Probe to fit.
        repeats: Number of measurements. Those of dni_jax and scikit-learn alternate.
        output: What to print.
    """
    enable_compilation_cache()
    from dni_jax.app.benchmark import ProbeGrid, measure_rates
    from dni_jax.app.cli._console import open_console

    with open_console(output) as console:
        rates = measure_rates(ProbeGrid(positions, neurons, features, folds, probe), repeats, console.log)
        console.show({"rates": [asdict(rate) for rate in rates]}, _make_rates_table(rates))


def _make_rates_table(rates: Sequence[Rate]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("task", "rate", "compared with", "times as fast"):
        table.add_column(name, justify="left" if name in ("task", "compared with") else "right", no_wrap=True)
    for rate in rates:
        ratio = "" if rate.ratio is None else f"{rate.ratio:,.0f} ({rate.ratio_low:,.0f} to {rate.ratio_high:,.0f})"
        table.add_row(rate.task, f"{rate.per_second:,.0f} {rate.unit}", rate.reference, ratio)
    return table


COMMANDS: dict[str, Callable[..., None]] = {"label": label, "languages": languages, "bench": bench}
