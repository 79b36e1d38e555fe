"""The table of features: its columns, with what each number is, and its rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from dni_jax.app.report._naming import family, meaning
from dni_jax.app.report._runfiles import RunFiles
from dni_jax.app.report._sentences import p_text, signed
from dni_jax.app.report._verdicts import knowledge, use

NONE = "\u2013"  # where there is no number
_KNOWN_ORDER = ("known", "echo", "untested", "chance", "weak", "rare", "same", "constant")
_USE_ORDER = ("used", "harm", "not shown", "")


class Column(NamedTuple):
    """A column of numbers: key, head, what it is, how a number is written, whether the best ones are small."""

    key: str
    head: str
    about: str
    form: Callable[[float], str]
    small_first: bool = False


def _three(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def columns_of(run: RunFiles) -> list[Column]:
    """Give the columns for which a run has numbers."""
    k = run.k
    columns = [
        Column("share", "holds", "How much of the text the feature holds for.", _percent),
        Column(
            "auc",
            "AUC",
            "How well the best neuron alone tells where the feature holds, on unseen text: the chance "
            "that it ranks a character where it holds above one where it does not. 0.5 is chance, 1 is without an "
            "error.",
            _three,
        ),
        Column("score", "score", "The same neuron's held-out accuracy, or R² for a feature that is a number.", _three),
        Column(
            "baseline",
            "base",
            "The accuracy without looking at any neuron (always the more frequent answer), or R² of the mean.",
            _three,
        ),
        Column(
            "auc_within_symbol",
            "given",
            "Its AUC (or squared correlation) among positions with the same character. 0.5 "
            "(or 0) is a mere echo of the character just read; none where each character decides the feature.",
            _three,
        ),
        Column(
            "untrained_strength",
            "untrained",
            "The AUC (or R²) of the best neuron of an untrained network: what comes without learning.",
            _three,
        ),
        Column(
            "selectivity",
            "select.",
            "The score less that on control tasks, random labels of the symbols "
            "(Hewitt & Liang 2019). Near 0, accuracy says little.",
            signed,
        ),
        Column(
            "p_family",
            "p",
            "How often the best of all neurons does as well on labels of other text. Corrected for "
            "the number of neurons, not of features.",
            p_text,
            True,
        ),
        Column(
            "effect",
            f"top {k}",
            f"Change of the loss where the feature holds, in nats a character, with its {k} best neurons "
            "silenced (held at 0).",
            signed,
        ),
        Column("random_high", "random", f"The 97.5th percentile of the same over random sets of {k} neurons.", signed),
        Column(
            "p_effect",
            "p used",
            "Share of sets that do at least as much harm, the top set counted in. Not corrected for the "
            "number of features.",
            p_text,
            True,
        ),
    ]
    return [column for column in columns if any(column.key in row for row in run.findings)]


def rows_of(run: RunFiles, columns: list[Column]) -> list[dict[str, Any]]:
    """Give the rows: for each column the number to sort by, and how it is written."""
    return [_row(at, row, columns) for at, row in enumerate(run.findings)]


def _row(at: int, row: dict[str, Any], columns: list[Column]) -> dict[str, Any]:
    name, state, used = str(row["feature"]), knowledge(row), use(row)
    return {
        "at": at,
        "name": name,
        "meaning": meaning(name),
        "family": family(name),
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
        return "", NONE
    if column.key == "untrained_strength" and row["kind"] == "binary":
        value = (1 + value) / 2
    if column.key == "share" and row["kind"] == "continuous":
        return "", NONE
    return f"{value:.6g}", column.form(value)
