"""Whether a feature is known and used: the thresholds that the numbers of a finding must pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

WEAK = 0.2  # 2 AUC - 1, or R²: at or below it, no neuron counts as knowing a feature
LEVEL = 0.05  # the significance level of every p-value
PREDICTED = ("known", "echo")  # a neuron predicts the feature, by its score and its p-value
ATYPICAL = 5.0  # percentile of the network's own states below which overridden states count as atypical
ECHO = 0.05  # a score within a symbol that is no farther above chance counts as an echo of the symbol

KNOWLEDGE = {
    "known": "A neuron predicts where it holds (AUC above 0.6 or R² above 0.2, p at most 0.05), and predicts more than "
    "the character just read explains",
    "echo": "A neuron predicts where it holds, but is not shown to predict more than the current character explains",
    "untested": "A neuron scores well, but its score has no p-value",
    "chance": "A neuron scores well, but no better than neurons score on labels of other text (p above 0.05)",
    "weak": "No neuron predicts where it holds (AUC at most 0.6, or R² at most 0.2)",
    "rare": "In most folds it never (or always) holds",
    "same": "It has the same labels as an earlier feature, or the opposite",
    "constant": "It has the same label at every character of this text",
}
KNOWLEDGE_LABELS = {
    "known": "known",
    "echo": "echo?",
    "untested": "scored",
    "chance": "chance",
    "weak": "weak",
    "rare": "too rare",
    "same": "same labels",
    "constant": "constant",
}
USE = {
    "used": "Setting its best neurons to 0 raises the loss where it holds by more than setting random sets to 0 "
    "(p at most 0.05)",
    "not shown": "Setting its best neurons to 0 is not shown to raise the loss where it holds by more than setting "
    "random sets to 0",
    "harm": "Setting its best neurons to 0 raises the loss by more than setting random sets to 0, although no neuron "
    "is shown to know the feature",
    "": "Not tested",
}
USE_LABELS = {"used": "used", "harm": "harm", "not shown": "not shown", "": "not tested"}


def knowledge(row: Row) -> str:
    """Return whether a neuron knows a feature: one of `KNOWLEDGE`.

    Parameters
    ----------
    row
        One of `RunFiles.findings`.
    """
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
    """Return True unless the neuron is shown to predict more than the current character; also if that is unknown."""
    if not has(row, "auc_within_symbol"):
        return True
    return bool(row["auc_within_symbol"] <= (ECHO if row["kind"] == "continuous" else 0.5 + ECHO))


def use(row: Row) -> str:
    """Return whether the network is shown to use what it knows: one of `USE`.

    Parameters
    ----------
    row
        One of `RunFiles.findings`.
    """
    state = knowledge(row)
    if state in ("same", "constant") or not has(row, "p_effect") or not has(row, "effect"):
        return ""
    if not (row["p_effect"] <= LEVEL and row["effect"] > 0):
        return "not shown"
    return "used" if state in PREDICTED else "harm"


def has(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a row has a number of this name."""
    value = row.get(name)
    return value is not None and not math.isnan(value)
