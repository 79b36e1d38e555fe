"""The command line: ``dni ...``."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence

import pandas as pd
import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dni_jax.config import RunConfig

_ROWS = 24  # features in the table that ends a run
_WEAK = 0.2  # a neuron that separates a feature less well than this (AUC .6) does not know it


def run_command(config: RunConfig) -> None:
    """Train a network on a language, find the neurons that know its features, test what the network uses them for.

    `dni run parentheses` or `dni run python` need nothing else; `dni run arithmetic --hidden 64 --out runs/small` keeps
    the results where you say; `dni run --grammar json.lark --start value --text data --glob '**/*.json'` reads your
    own files in your own language.
    """
    console = Console(highlight=False, soft_wrap=True)
    began = time.perf_counter()
    from dni_jax.devices import use_compilation_cache  # JAX takes a second: --help and wrong flags need not wait for it
    from dni_jax.languages.cache import cache_folder
    from dni_jax.pipeline import run

    use_compilation_cache(cache_folder() / "xla")

    def say(line: object) -> None:
        console.print(f"[dim]{time.perf_counter() - began:6.1f} s[/dim]  ", end="")
        console.print(str(line), markup=False)

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(message)
        result = run(config, say)
    console.print()
    console.print(findings_table(result.findings, result.k))
    for line in reading_guide(result.findings, result.k, result.least_p):
        console.print(line, markup=False)
    console.print(
        f"\nResults: [bold]{result.path}[/bold]  (relevance.png, effects.png, findings.csv, samples.json, *.parquet)"
    )


def languages_command() -> None:
    """List the built-in languages."""
    from dni_jax import languages

    for name in languages.names():
        print(f"{name:14}{languages.about(name)}")


def findings_table(findings: pd.DataFrame, k: int) -> Table:
    """Lay the findings out for a person: the features that are known best."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("feature", no_wrap=True, overflow="ellipsis")
    table.add_column("neurons", no_wrap=True, min_width=11)
    widths = {"AUC": 5, "score": 5, "base": 5, "given": 5, "p": 5, f"top {k}": 6, "random": 6, "p used": 6}
    for name, width in widths.items():
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in _shown(findings).head(_ROWS).itertuples():
        effect = ("-", "-", "-")
        if pd.notna(row.effect):
            effect = (f"{row.effect:+.3f}", f"{row.random_high:+.3f}", f"{row.p_effect:.2f}")
        name = f"{row.feature} (R²)" if row.kind == "continuous" else str(row.feature)
        auc = "-" if pd.isna(row.auc) else f"{row.auc:.3f}"
        given = "-" if pd.isna(row.given_symbol) else f"{row.given_symbol:.3f}"
        known = (auc, f"{row.score:.3f}", f"{row.baseline:.3f}", given, f"{row.p_family:.3f}")
        table.add_row(Text(name), " ".join(map(str, row.neurons)), *known, *effect)
    return table


def _shown(findings: pd.DataFrame) -> pd.DataFrame:
    return findings[(findings["strength"] > _WEAK) & (findings["same_as"] == "") & ~_rare(findings)]


def _rare(findings: pd.DataFrame) -> pd.Series:
    """Features that most folds cannot judge, because they never (or always) hold there."""
    return 2 * findings["folds"] < findings["folds"].max()


def reading_guide(findings: pd.DataFrame, k: int, least: float) -> list[str]:
    """Say what the columns are, and what the table leaves out; `least` is the smallest p there can be."""
    lines = [
        "AUC     how well the best neuron alone tells where the feature holds, on unseen text (.5: not at all)",
        "score   its held-out accuracy (R² where it says so);  base  the same without looking at any neuron",
        "given   its AUC (squared correlation for R²) among positions with the same character: .5 for a mere echo",
        "p       whether any neuron is better than chance on this feature, by labels of other strings (or, for files,",
        "        labels turned in a circle): how often the best of all neurons does as well on those",
        f"top {k:<3} change of the loss where the feature holds, in nats a character, with the {k} best silenced",
        f"random  the 97.5th percentile of the same for {k} random neurons",
        f"p used  share of random sets that do at least as much harm; {least:.2f} at best, not corrected for the",
        "        number of features",
        "",
    ]
    shown = _shown(findings)
    if len(shown) > _ROWS:
        lines.append(f"{len(shown) - _ROWS} more features are known to a neuron: see relevance.parquet.")
    varies = (findings["kind"] == "continuous") | ((findings["share"] > 0) & (findings["share"] < 1))
    unknown = findings[(findings["strength"] <= _WEAK) & varies & ~_rare(findings)]
    if len(unknown):
        lines.append(
            f"Hardly known to any single neuron (AUC below {(1 + _WEAK) / 2:.1f}): {', '.join(unknown['feature'])}."
        )
    rare = findings[_rare(findings) & varies]
    if len(rare):
        lines.append(f"Too rare to judge, missing in most folds: {', '.join(rare['feature'])}.")
    same = findings[(findings["same_as"] != "") & varies]
    if len(same):
        pairs = (f"{row.feature!r} as {row.same_as!r}" for row in same.itertuples())
        lines.append(f"The same labels (or their opposite): {', '.join(pairs)}.")
    if not varies.all():
        lines.append(f"The same at every character of this text: {', '.join(findings[~varies]['feature'])}.")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; wrong input ends with a message and exit code 2."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    app = tyro.extras.SubcommandApp()
    app.command(name="run")(run_command)
    app.command(name="languages")(languages_command)
    try:
        app.cli(
            prog="dni",
            description="Which neurons of a recurrent network know X, how sure are we, and does the network use it?",
            args=None if arguments is None else list(arguments),
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
        )
    except ValueError as error:
        _stop(str(error))
    except OSError as error:
        _stop(_explain(error))
    except KeyboardInterrupt:
        _say_error("stopped; `--resume` goes on where it was cut off")
        sys.stdout.flush()
        # A compiler thread may still be at work, and must not find the interpreter gone.
        os._exit(130)


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"expected room for the results, but the disk is full{where}: free some, then go on with --resume"
    if error.errno in (errno.EACCES, errno.EROFS):
        return f"expected a folder that can be written to, got {error.strerror}{where}: try another --out"
    return f"{error.strerror or error}{where}"


def _say_error(message: str) -> None:
    Console(stderr=True, highlight=False).print(Text.assemble(("dni: ", "bold red"), message), soft_wrap=True)


def _stop(message: str) -> None:
    _say_error(message)
    sys.exit(2)


if __name__ == "__main__":
    main()
