"""The table of findings that ends a run: what its columns mean, its rows, and what it leaves out."""

from __future__ import annotations

import textwrap

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

_MAX_ROWS = 24
_WIDTH = 100  # characters of a definition
_WEAK = 0.2  # strength, 2 AUC - 1 or R²: below it (AUC .6), a neuron does not count as encoding the feature


def define_columns(k: int, least_p: float) -> list[str]:
    """Return the definitions of the table's columns.

    Parameters
    ----------
    k
        Number of neurons that were ablated together.
    least_p
        The smallest possible p-value of an effect.
    """
    definitions = {
        "neurons": "the best neurons for the feature, best first; the scores are those of the first one alone",
        "AUC": "how well it separates characters with the feature from the others, on held-out text (0.5: not at all)",
        "score, base": "its held-out accuracy (R² where marked), and that of the best guess without any neuron",
        "same symbol": "its AUC (for R²: its squared correlation) among equal characters only; 0.5 if the neuron "
        "merely echoes its input",
        "p": "how often chance does as well: the best of all neurons, on labels of other strings (of files: shifted "
        "labels)",
        f"top {k}": f"rise of the loss where the feature holds, with the {k} best neurons set to 0 (in nats)",
        "random": f"the same for {k} random neurons (97.5th percentile)",
        "p of use": f"how often random neurons do as much harm as the best; at least {least_p:.2f}, and not corrected "
        "for the number of features",
    }
    indent = 2 + max(map(len, definitions))
    return [
        textwrap.fill(text, _WIDTH, initial_indent=f"{name:{indent}}", subsequent_indent=" " * indent)
        for name, text in definitions.items()
    ]


def make_findings_table(findings: pd.DataFrame, k: int) -> Table:
    """Lay out the best-encoded features as a table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("feature", no_wrap=True, overflow="ellipsis")
    table.add_column("neurons", no_wrap=True, min_width=11)
    widths = {"AUC": 5, "score": 5, "base": 5, "same\nsymbol": 6, "p": 5, f"top {k}": 6, "random": 6, "p of\nuse": 5}
    for name, width in widths.items():
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in _select_shown(findings).head(_MAX_ROWS).itertuples():
        effect = ("-", "-", "-")
        if pd.notna(row.effect):
            effect = (f"{row.effect:+.3f}", f"{row.random_high:+.3f}", f"{row.p_effect:.2f}")
        name = f"{row.feature} (R²)" if row.kind == "continuous" else str(row.feature)
        auc = "-" if pd.isna(row.auc) else f"{row.auc:.3f}"
        within = "-" if pd.isna(row.auc_within_symbol) else f"{row.auc_within_symbol:.3f}"
        scores = (auc, f"{row.score:.3f}", f"{row.baseline:.3f}", within, f"{row.p_family:.3f}")
        table.add_row(Text(name), " ".join(map(str, row.neurons)), *scores, *effect)
    return table


def _select_shown(findings: pd.DataFrame) -> pd.DataFrame:
    return findings[(findings["strength"] > _WEAK) & (findings["same_as"] == "") & ~_is_rare(findings)]


def _is_rare(findings: pd.DataFrame) -> pd.Series:
    """Return which features cannot be scored in most folds, because they never (or always) hold there."""
    return 2 * findings["folds"] < findings["folds"].max()


def describe_omitted(findings: pd.DataFrame) -> list[str]:
    """Return sentences about the features that the table leaves out."""
    sentences = []
    shown = _select_shown(findings)
    if len(shown) > _MAX_ROWS:
        sentences.append(f"{len(shown) - _MAX_ROWS} more features are encoded by a neuron: see relevance.parquet.")
    varies = (findings["kind"] == "continuous") | ((findings["share"] > 0) & (findings["share"] < 1))
    weak = findings[(findings["strength"] <= _WEAK) & varies & ~_is_rare(findings)]
    if len(weak):
        sentences.append(
            f"Barely encoded by any single neuron (AUC below {(1 + _WEAK) / 2:.1f}): {', '.join(weak['feature'])}."
        )
    rare = findings[_is_rare(findings) & varies]
    if len(rare):
        sentences.append(f"Too rare to score, missing in most folds: {', '.join(rare['feature'])}.")
    same = findings[(findings["same_as"] != "") & varies]
    if len(same):
        pairs = (f"{row.feature!r} as {row.same_as!r}" for row in same.itertuples())
        sentences.append(f"Same labels (or their complement): {', '.join(pairs)}.")
    if not varies.all():
        sentences.append(f"Constant in this text: {', '.join(findings[~varies]['feature'])}.")
    return sentences
