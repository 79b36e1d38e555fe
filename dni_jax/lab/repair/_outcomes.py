"""How often a network's texts go wrong, and how well it predicts right ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from dni_jax.features import Feature
from dni_jax.lab.repair._written import Written, first_wrong, write
from dni_jax.models import TrainedModel, cross_entropy
from dni_jax.probes import string_weights
from dni_jax.text import Corpus

_BOOTSTRAP = 1_000
_INTERVAL = (0.025, 0.975)
_LOSS_ON = 50_000  # characters


@dataclass(frozen=True, eq=False)
class ViolationCounts:
    """What was counted in each of n texts.

    Attributes
    ----------
    wrong, symbols, strings
        int ``(n,)``: strings that go wrong; symbols that the network wrote, boundaries included, up to where each
        string goes wrong; strings.
    loss
        Nats a symbol on right text.
    """

    wrong: Int[np.ndarray, " n"]
    symbols: Int[np.ndarray, " n"]
    strings: Int[np.ndarray, " n"]
    loss: float

    def rates(self, draw: Float[np.ndarray, "B n"]) -> Float[np.ndarray, "B 2"]:
        """Violations in 1,000 symbols, and the share of strings, for each weighting of the texts."""
        wrong = draw @ self.wrong
        return np.stack([1_000 * wrong / (draw @ self.symbols), wrong / (draw @ self.strings)], axis=1)


def tallied(written: Written, place: Int[np.ndarray, " S"], n: int, loss: float = float("nan")) -> ViolationCounts:
    """Count by text; `place` is where each string first goes wrong (see `first_wrong`)."""
    lengths = np.asarray([len(string) for string in written.strings])
    symbols = np.where(place >= 0, place + 1, lengths + written.ended) - written.given
    counts = (np.bincount(written.text, weights, n) for weights in (place >= 0, symbols, None))
    wrong, symbols, strings = (count.astype(np.int64) for count in counts)
    return ViolationCounts(wrong, symbols, strings, loss)


def count_violations(
    model: TrainedModel, violation: Feature, right: Corpus, n: int, length: int, seed: int, prime: str
) -> ViolationCounts:
    """Let a network write, and read right text."""
    written = write(model, n, length, seed, prime)
    loss = cross_entropy(model.weights, model.encode(right), _LOSS_ON)
    return tallied(written, first_wrong(violation, written), n, loss)


def outcome_table(before: ViolationCounts, after: ViolationCounts, seed: int) -> pd.DataFrame:
    """Give rates with their 95 % intervals (bootstrap over texts) before, after, and the change."""
    n = len(before.wrong)
    draw = np.concatenate([np.ones((1, n)), string_weights(n, _BOOTSTRAP, seed)]).astype(np.float64)
    first, second = before.rates(draw), after.rates(draw)
    rows = []
    for rates, counts in ((first, before), (second, after), (second - first, None)):
        low, high = np.quantile(rates[1:], _INTERVAL, axis=0)
        row: dict[str, float] = {}
        for place, name in enumerate(("per_1000", "strings")):
            row |= {name: rates[0, place], f"{name}_low": low[place], f"{name}_high": high[place]}
        row["loss"] = after.loss - before.loss if counts is None else counts.loss
        row["violations"] = int((after.wrong - before.wrong).sum() if counts is None else counts.wrong.sum())
        row["symbols"] = int((after.symbols - before.symbols).sum() if counts is None else counts.symbols.sum())
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(["before", "after", "change"], name="network"))
