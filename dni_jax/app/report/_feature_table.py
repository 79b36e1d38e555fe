"""The table of features: names in words, columns with their definitions, and rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from dni_jax.app.report._numbers import MISSING
from dni_jax.app.report._run_files import RunFiles
from dni_jax.app.report._sentences import format_p, signed
from dni_jax.app.report._verdicts import knowledge, use
from dni_jax.features import CHARACTER_CLASSES, FAMILIES, feature_family

_WHITE_SPACE = {" ": "a space", "\n": "a line break", "\t": "a tab", "\r": "a carriage return"}
_KNOWN_ORDER = ("known", "echo", "untested", "chance", "weak", "rare", "same", "constant")
_USE_ORDER = ("used", "harm", "not shown", "")


def describe(name: str) -> str:
    """Return in words what a built-in feature says of a character; empty for the name of any other feature.

    Examples
    --------
    >>> describe("range:e3"), describe("depth=1"), describe("symbol: ")
    ('the character lies inside e3', 'exactly 1 pair of brackets is open', 'the character is a space')
    """
    if name.startswith("symbol:"):
        character = name.removeprefix("symbol:")
        return f"the character is {_WHITE_SPACE.get(character, character)}"
    if name.startswith("range:"):
        return f"the character lies inside {_node(name)}"
    if name.startswith("impulse:"):
        return f"the character is the first or last one of {_node(name)}"
    if name in CHARACTER_CLASSES:
        return f"the character's class is {name}"
    level = re.fullmatch(r"depth=(\d+)", name)
    if level:
        pairs = {"0": "no bracket is open", "1": "exactly 1 pair of brackets is open"}
        return pairs.get(level[1], f"exactly {level[1]} pairs of brackets are open")
    return "how many pairs of brackets are open, scaled so that the deepest is 1" if name == "depth" else ""


def _node(name: str) -> str:
    return name.partition(":")[2].replace("->", "\u2192")


def families(names: list[str]) -> list[str]:
    """Return the families of some features, each once, in a fixed order."""
    present = {feature_family(name) for name in names}
    return [one for one in FAMILIES if one in present]


class Column(NamedTuple):
    """A column of numbers: its key in the findings, heading, definition, number format, and sorting direction."""

    key: str
    head: str
    about: str
    format: Callable[[float], str]
    ascending: bool = False


def _three(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


# Every column that the table may have. In headings and definitions, {k} stands for the number of neurons set to 0.
_COLUMNS = (
    Column("share", "share", "Fraction of the characters for which the feature holds.", _percent),
    Column(
        "auc",
        "AUC",
        "How well the best neuron alone predicts where the feature holds, on unseen text: the probability that it "
        "ranks a character where the feature holds above one where it does not. 0.5 is chance, 1 is perfect.",
        _three,
    ),
    Column(
        "score",
        "score",
        "Accuracy of a probe of the same neuron on unseen text; R² for a continuous feature.",
        _three,
    ),
    Column(
        "baseline",
        "baseline",
        "The same without any neuron: the accuracy of always predicting the more frequent label, or the R² of "
        "predicting the mean.",
        _three,
    ),
    Column(
        "auc_within_symbol",
        "AUC within symbol",
        "AUC of the same neuron among positions with the same character (squared correlation for a continuous "
        "feature). At 0.5 (or 0) the neuron merely echoes the character just read. Missing if each character "
        "determines the feature.",
        _three,
    ),
    Column(
        "untrained_strength",
        "untrained",
        "AUC (or R²) of the best neuron of an untrained network: what is possible without learning.",
        _three,
    ),
    Column(
        "selectivity",
        "selectivity",
        "The score minus the score on control tasks, which label symbols at random (Hewitt & Liang 2019). Near 0, "
        "a high accuracy says little.",
        signed,
    ),
    Column(
        "p_family",
        "p",
        "How often the best of all neurons scores as high on labels of other text. Corrected for the number of "
        "neurons, not of features.",
        format_p,
        True,
    ),
    Column(
        "effect",
        "top {k}",
        "Change of the loss where the feature holds, in nats per character, with its {k} best neurons set to 0.",
        signed,
    ),
    Column(
        "random_high",
        "random {k}",
        "97.5th percentile of the same change over random sets of {k} neurons.",
        signed,
    ),
    Column(
        "p_effect",
        "p of use",
        "Fraction of the sets, the top set included, that raise the loss at least as much as the top set. Not "
        "corrected for the number of features.",
        format_p,
        True,
    ),
)


def table_columns(run: RunFiles) -> list[Column]:
    """Return the columns for which a run has numbers."""
    present = [column for column in _COLUMNS if any(column.key in row for row in run.findings)]
    return [column._replace(head=column.head.format(k=run.k), about=column.about.format(k=run.k)) for column in present]


def table_rows(run: RunFiles, columns: list[Column]) -> list[dict[str, Any]]:
    """Return one mapping per feature; ``cells`` holds for each column the number to sort by and the text to show."""
    return [_row(at, row, columns) for at, row in enumerate(run.findings)]


def _row(at: int, row: dict[str, Any], columns: list[Column]) -> dict[str, Any]:
    name, state, used = str(row["feature"]), knowledge(row), use(row)
    return {
        "at": at,
        "name": name,
        "meaning": describe(name),
        "family": feature_family(name),
        "kind": row["kind"],
        "knowledge": state,
        "use": used,
        "known_rank": _KNOWN_ORDER.index(state),
        "use_rank": _USE_ORDER.index(used),
        "neurons": [] if state == "constant" else row["neurons"],
        "same_as": row["same_as"],
        "cells": [_cell(column, row) for column in columns],
    }


def _cell(column: Column, row: dict[str, Any]) -> tuple[str, str]:
    value = row.get(column.key)
    if value is None or math.isnan(value):
        return "", MISSING
    if column.key == "untrained_strength" and row["kind"] == "binary":
        value = (1 + value) / 2  # the strength of a binary feature is 2 AUC - 1
    if column.key == "share" and row["kind"] == "continuous":
        return "", MISSING
    return f"{value:.6g}", column.format(value)
