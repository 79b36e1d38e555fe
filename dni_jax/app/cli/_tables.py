"""The table that ends a run, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dni_jax.app.benchmark import Rate

_ROWS = 24  # features in the table that ends a run
_WEAK = 0.2  # a neuron that separates a feature less well than this (AUC .6) does not know it


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
        given = "-" if pd.isna(row.auc_within_symbol) else f"{row.auc_within_symbol:.3f}"
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


def rates_table(rates: Sequence[Rate]) -> Table:
    """Lay measured rates out for a person."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("what", "rate", "beside", "times as fast"):
        table.add_column(name, justify="left" if name in ("what", "beside") else "right", no_wrap=True)
    for rate in rates:
        ratio = "" if rate.ratio is None else f"{rate.ratio:,.0f} ({rate.ratio_low:,.0f} to {rate.ratio_high:,.0f})"
        table.add_row(rate.what, f"{rate.per_second:,.0f} {rate.unit}", rate.beside, ratio)
    return table
