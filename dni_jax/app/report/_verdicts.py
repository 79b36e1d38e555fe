"""Whether a feature is known and used: what each number must be before it is said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

WEAK = 0.2  # 2 AUC - 1, or R^2: below it no neuron is said to know a feature
LEVEL = 0.05  # of every p
TOLD = ("known", "echo")  # a neuron tells where the feature holds, by its score and its p
STRANGE = 5.0  # percentile of a network's own states below which overridden ones are called strange
ECHO = 0.05  # so near to chance, given the current character, a score is an echo of it

KNOWLEDGE = {
    "known": "known: a neuron tells where it holds (AUC above 0.6 or R² above 0.2, p at most 0.05), and more than "
    "which character was just read",
    "echo": "echo: a neuron tells where it holds, but no more than the current character tells is shown",
    "untested": "scored: a neuron scores well, but its score has no p-value",
    "chance": "chance: a neuron scores well, but no better than neurons do on labels of other text (p above 0.05)",
    "weak": "hardly: no neuron tells where it holds (AUC at most 0.6, or R² at most 0.2)",
    "rare": "too rare to judge: it never (or always) holds in most folds",
    "same": "the same labels as an earlier feature's, or their opposite",
    "constant": "the same at every character of this text",
}
KNOWLEDGE_LABELS = {
    "known": "known",
    "echo": "echo?",
    "untested": "scored",
    "chance": "chance",
    "weak": "hardly",
    "rare": "too rare",
    "same": "same labels",
    "constant": "constant",
}
USE = {
    "used": "used: silencing its best neurons does more harm where it holds than random sets do (p at most 0.05)",
    "not shown": "not shown: silencing its best neurons does no more harm where it holds than random sets do",
    "harm": "harm: silencing its best neurons does more harm than random sets do, but no neuron is said to know it",
    "": "not tested",
}
USE_LABELS = {"used": "used", "harm": "harm", "not shown": "not shown", "": "not tested"}


def knowledge(row: Row) -> str:
    """Judge whether a neuron knows a feature: one of `KNOWLEDGE`."""
    if row["kind"] == "binary" and not 0 < row["share"] < 1:
        return "constant"
    if row.get("same_as"):
        return "same"
    if 2 * row["folds"] < row["most_folds"]:
        return "rare"
    if not row["strength"] > WEAK:
        return "weak"
    if not has(row, "p_family"):
        return "untested"
    if row["p_family"] > LEVEL:
        return "chance"
    return "echo" if is_echo(row) else "known"


def is_echo(row: Row) -> bool:
    """Whether a neuron is not shown to tell more than the character just read; so too where that was not asked."""
    if not has(row, "auc_within_symbol"):
        return True
    return bool(row["auc_within_symbol"] <= (ECHO if row["kind"] == "continuous" else 0.5 + ECHO))


def use(row: Row) -> str:
    """Judge whether the network is shown to use what it knows: one of `USE`."""
    state = knowledge(row)
    if state in ("same", "constant") or not has(row, "p_effect") or not has(row, "effect"):
        return ""
    if not (row["p_effect"] <= LEVEL and row["effect"] > 0):
        return "not shown"
    return "used" if state in TOLD else "harm"


def has(row: Mapping[str, Any], name: str) -> bool:
    """Whether a row holds a number by this name."""
    value = row.get(name)
    return value is not None and not math.isnan(value)
