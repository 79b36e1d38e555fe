"""The table of findings that ends a run: what its columns mean, its rows, and what it leaves out."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

_MAX_ROWS = 24
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
    return [
        "neurons  the best neurons for the feature, best first; the scores are those of the first one alone",
        "AUC      how well it separates positions with and without the feature, on held-out text (0.5: not at all)",
        "  within symbol   the same among positions with the same character: 0.5 if the neuron only echoes its input",
        "                  (for R²: squared correlation)",
        "score    its held-out accuracy (R² where marked);  baseline: the score without any neuron",
        "p        family-wise p-value: how often the best of all neurons scores as high on labels of other strings",
        "         (for text from files: on shifted labels)",
        "loss     change of the loss in nats per character, where the feature holds",
        f"  top {k:<13}with the {k} best neurons ablated (held at 0)",
        f"  random          with {k} random neurons ablated: the 97.5th percentile",
        f"  p               share of random sets that raise the loss as much; at least {least_p:.2f}, not corrected",
        "                  for the number of features",
    ]


def make_findings_table(findings: pd.DataFrame, k: int) -> Table:
    """Lay out the best-encoded features as a table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("feature", no_wrap=True, overflow="ellipsis")
    table.add_column("neurons", no_wrap=True, min_width=11)
    widths = {"AUC": 5, "within\nsymbol": 6, "score": 5, "base-\nline": 5, "p": 5}
    widths |= {f"loss\ntop {k}": 6, "loss\nrandom": 6, "loss\np": 4}
    for name, width in widths.items():
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in _select_shown(findings).head(_MAX_ROWS).itertuples():
        effect = ("-", "-", "-")
        if pd.notna(row.effect):
            effect = (f"{row.effect:+.3f}", f"{row.random_high:+.3f}", f"{row.p_effect:.2f}")
        name = f"{row.feature} (R²)" if row.kind == "continuous" else str(row.feature)
        auc = "-" if pd.isna(row.auc) else f"{row.auc:.3f}"
        within = "-" if pd.isna(row.auc_within_symbol) else f"{row.auc_within_symbol:.3f}"
        scores = (auc, within, f"{row.score:.3f}", f"{row.baseline:.3f}", f"{row.p_family:.3f}")
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
