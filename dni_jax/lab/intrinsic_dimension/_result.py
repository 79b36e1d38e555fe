"""The smallest dimension that reaches what was aimed at, and between which dimensions it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from dni_jax.html import card, facts, table


@dataclass(frozen=True, eq=False)
class IntrinsicDimension:
    """How training in random subspaces of growing dimension went.

    Attributes
    ----------
    dims
        int64 ``(d,)``: the dimensions, rising.
    performance
        float64 ``(d, R)``: of each dimension and repetition; more is better.
    train_loss
        float64 ``(d, R)``: the mean loss of the last tenth of the steps (of L-BFGS the lowest).
    full
        The full model's performance.
    chance
        The performance that counts as nothing.
    target
        Which share of the way from `chance` to `full` is to be reached.
    n_params
        D.
    projection
        ``"dense"``, ``"sparse"`` or ``"fastfood"``.
    n_bytes
        What the largest projection took.
    settings
        How it was trained.
    """

    dims: Int[np.ndarray, " d"]
    performance: Float[np.ndarray, "d R"]
    train_loss: Float[np.ndarray, "d R"]
    full: float
    chance: float
    target: float
    n_params: int
    projection: str
    n_bytes: int
    settings: Mapping[str, Any]

    @property
    def threshold(self) -> float:
        """The performance that is to be reached."""
        return self.chance + self.target * (self.full - self.chance)

    @property
    def dimension(self) -> int | None:
        """The smallest of the dimensions that reaches the threshold on average; None where none does."""
        return smallest(self.dims, self.performance.mean(1), self.threshold)

    @property
    def d90(self) -> int | None:
        """`dimension`, by the paper's name for a target of 0.9.

        Raises
        ------
        ValueError
            For another target.
        """
        if self.target != 0.9:
            raise ValueError(f"expected a target of 0.9, got {self.target}: take .dimension")
        return self.dimension

    @property
    def bracket(self) -> tuple[int, int]:
        """What the dimension lies between, from above the first up to the second: its neighbours among `dims`.

        Where none reaches the threshold, the second is D: the whole space does.
        """
        return around(self.dims, self.dimension, self.n_params)

    @property
    def by_repeat(self) -> list[int | None]:
        """`dimension` of each repetition alone."""
        return [smallest(self.dims, one, self.threshold) for one in self.performance.T]

    @property
    def table(self) -> pd.DataFrame:
        """One row a dimension: the mean performance, the least and greatest, the share of the way, the loss."""
        mean = self.performance.mean(1)
        columns = {
            "dim": self.dims,
            "performance": mean,
            "least": self.performance.min(1),
            "greatest": self.performance.max(1),
            "share": (mean - self.chance) / (self.full - self.chance),
            "train_loss": self.train_loss.mean(1),
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        draws = self.performance.shape[1]
        return (
            f"IntrinsicDimension({self._name} {self._where} of D = {self.n_params:,}; {self.projection}, {draws} "
            f"{'draw' if draws == 1 else 'draws'}; full {self.full:.4g}, chance {self.chance:.4g}, "
            f"threshold {self.threshold:.4g})"
        )

    def _repr_html_(self) -> str:
        rows = self.table[["dim", "performance", "share"]].itertuples(index=False)
        about = {"parameters": f"{self.n_params:,}", "projection": self.projection, "full": f"{self.full:.4g}"}
        told = {**about, "threshold": f"{self.threshold:.4g}", **dict(self.settings)}
        title = f"Intrinsic dimension: {self._name} {self._where}"
        return card(title, table(["dim", "performance", "share of the way"], map(list, rows)), facts(told))

    @property
    def _name(self) -> str:
        return f"d{100 * self.target:g}"

    @property
    def _where(self) -> str:
        low, high = self.bracket
        found = "not reached, " if self.dimension is None else f"= {self.dimension:,} "
        return f"{found}in ({low:,}, {high:,}]"


def smallest(dims: Int[np.ndarray, " d"], performance: Float[np.ndarray, " d"], threshold: float) -> int | None:
    """Give the smallest of some rising dimensions that reaches a threshold, or None."""
    reached = np.flatnonzero(performance >= threshold)
    return int(dims[reached[0]]) if len(reached) else None


def around(dims: Int[np.ndarray, " d"], found: int | None, most: int) -> tuple[int, int]:
    """Give the largest dimension below what was found, and what was found; up to the most where nothing was."""
    if found is None:
        return int(dims[-1]), most
    place = int(np.flatnonzero(dims == found)[0])
    return (int(dims[place - 1]) if place else 0), found
