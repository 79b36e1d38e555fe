"""The result of repairing a network from its own texts: the network, the outcome, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from dni_jax.html import Markup, card, facts, table
from dni_jax.models import TrainedModel

_NEURONS_SHOWN = 10  # in a notebook


@dataclass(frozen=True, eq=False)
class TextRepair:
    """A repaired network, and what the repair does to texts that it was not made from; made by `repair`.

    Attributes
    ----------
    model
        The repaired network.
    violation
        The name of the feature of violations.
    neurons
        int64 ``(M,)``: the neurons whose outgoing weights were free to change.
    outcomes
        Rows ``before``, ``after`` and ``change``; columns ``per_1000`` (strings with a violation per 1,000 symbols,
        without the symbols after a string's first violation), ``strings`` (the share of strings with a violation), each
        with ``_low`` and ``_high``, the 95 % interval by a bootstrap over texts; ``loss`` (nats per symbol on test
        strings); ``violations`` and ``symbols``, the counts.
    weights
        One row per changed weight, the largest change first: ``neuron``, ``symbol``, ``before``, ``after``, ``change``.
    examples
        One row per violation that the repair was made from: ``prefix``, ``symbol`` (what the network generated),
        ``wrong_before`` and ``wrong_after`` (the total probability of violating symbols).
    random
        One row per random set of as many neurons: ``neurons``, and ``per_1000``, ``strings``, ``loss``, ``changed``
        (weights), ``size`` and ``preserve_cost`` of its repair. Empty without `n_random`.
    settings
        How the repair was made.
    """

    model: TrainedModel
    violation: str
    neurons: Int[np.ndarray, " M"]
    outcomes: pd.DataFrame
    weights: pd.DataFrame
    examples: pd.DataFrame
    random: pd.DataFrame
    settings: Mapping[str, Any]

    @property
    def size(self) -> float:
        """The 1-norm of the change."""
        return float(self.weights["change"].abs().sum())

    @property
    def by_neuron(self) -> pd.DataFrame:
        """The change by neuron: ``neuron``, ``size``, its ``share``, and how many weights are ``changed``."""
        sizes = self.weights.assign(size=self.weights["change"].abs()).groupby("neuron")["size"].agg(["sum", "count"])
        rows = sizes.rename(columns={"sum": "size", "count": "changed"}).reset_index()
        rows["share"] = rows["size"] / max(self.size, np.finfo(float).tiny)
        return rows.sort_values("size", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def p(self) -> pd.Series:
        """The share of sets, random ones and this one, that do at least as well by ``per_1000``, ``loss`` and ``both``.

        NaN without random sets.
        """
        ours = self.outcomes.loc["after"]
        fewer = self.random["per_1000"] <= ours["per_1000"] + 1e-12
        better = self.random["loss"] <= ours["loss"] + 1e-12
        counts = {"per_1000": fewer.sum(), "loss": better.sum(), "both": (fewer & better).sum()}
        n = len(self.random)
        return pd.Series({name: (1 + count) / (1 + n) if n else float("nan") for name, count in counts.items()})

    def row(self) -> dict[str, Any]:
        """Return the repair as one row of a table."""
        before, after = self.outcomes.loc["before"], self.outcomes.loc["after"]
        random, n = self.random, len(self.random)
        return {
            "violation": self.violation,
            "neurons": len(self.neurons),
            "examples": len(self.examples),
            "preserve_cost": self.settings["preserve_cost"],
            "changed": len(self.weights),
            "size": self.size,
            "per_1000_before": before["per_1000"],
            "per_1000": after["per_1000"],
            "per_1000_low": after["per_1000_low"],
            "per_1000_high": after["per_1000_high"],
            "random_per_1000": random["per_1000"].median() if n else float("nan"),
            "loss_before": before["loss"],
            "loss": after["loss"],
            "random_loss": random["loss"].median() if n else float("nan"),
            "p_per_1000": self.p["per_1000"],
            "p_loss": self.p["loss"],
        }

    def __repr__(self) -> str:
        before, after = self.outcomes.loc["before"], self.outcomes.loc["after"]
        head = self.model.weights.head
        return (
            f"TextRepair({self.violation}: {before['per_1000']:.2f} -> {after['per_1000']:.2f} in 1,000 symbols, from "
            f"{len(self.examples)} examples; {len(self.weights)} of {head.size} weights of {len(self.neurons)} neurons "
            f"changed by {self.size:.3g}; loss {before['loss']:.4f} -> {after['loss']:.4f} nats"
            f"{'' if len(self.weights) else '; no change of these neurons preserves correct text'})"
        )

    def _repr_html_(self) -> str:
        about: dict[str, Any] = {
            "examples": len(self.examples),
            "neurons free to change": len(self.neurons),
            "weights changed": f"{len(self.weights)} of {self.model.weights.head.size}, by {self.size:.3g}",
        }
        if len(self.random):
            about["random sets"] = (
                f"{len(self.random)}: median {self.random['per_1000'].median():.3g} in 1,000 symbols, "
                f"loss {self.random['loss'].median():.4f} nats"
            )
        columns = ["per_1000", "per_1000_low", "per_1000_high", "strings", "loss"]
        rows = [(name, *row) for name, row in zip(self.outcomes.index, self.outcomes[columns].to_numpy(), strict=True)]
        by_neuron = self.by_neuron
        shown = Markup(table(["neuron", "weights", "share"], _rows(by_neuron), len(by_neuron)))
        return card(f"TextRepair: {self.violation}", facts(about), table(["", *columns], rows), shown)


def _rows(by_neuron: pd.DataFrame) -> list[tuple[Any, ...]]:
    columns = [by_neuron[name].head(_NEURONS_SHOWN).tolist() for name in ("neuron", "changed", "share")]
    return list(zip(*columns, strict=True))
