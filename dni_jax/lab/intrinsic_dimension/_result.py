"""The result of measuring an intrinsic dimension: the smallest dimension that reaches a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from dni_jax.html import card, facts, table
from dni_jax.lab.intrinsic_dimension._projections import random_projection
from dni_jax.lab.intrinsic_dimension._training import FlatParams


@dataclass(frozen=True, eq=False)
class CompressedParams:
    """A network as d numbers and a seed: its weights are ``start + P numbers``, where the seed draws P.

    Attributes
    ----------
    numbers
        float32 ``(d,)``: what was trained.
    projection
        ``"dense"``, ``"sparse"`` or ``"fastfood"``.
    seed
        Draws P; see `random_projection`.
    n_columns
        The columns to draw, at least d; the first d are used. (Fastfood's depend on how many are drawn.)
    n_params
        D.
    """

    numbers: Float[np.ndarray, " d"]
    projection: str
    seed: tuple[int, ...]
    n_columns: int
    n_params: int

    @property
    def compression(self) -> float:
        """D / d: how many weights one number stands for. The seeds of P and of the start are not counted."""
        return self.n_params / len(self.numbers)

    def rebuild(self, start: Any) -> Any:
        """Return the trained parameters, equal to those that were evaluated up to rounding.

        Parameters
        ----------
        start
            The parameters that training started from: initialize the model with the same seed again.

        Raises
        ------
        ValueError
            For another number of parameters.
        """
        flat = FlatParams.from_pytree(start)
        if flat.size != self.n_params:
            raise ValueError(f"expected the start of a network of {self.n_params:,} parameters, got {flat.size:,}")
        padded = np.zeros(self.n_columns, np.float32)
        padded[: len(self.numbers)] = self.numbers
        p = random_projection(self.projection, self.n_params, self.n_columns, self.seed)
        return flat.unravel(flat.vector + p.apply(jnp.asarray(padded)))

    def __repr__(self) -> str:
        return (
            f"CompressedParams({len(self.numbers):,} numbers and a seed for {self.n_params:,} weights: "
            f"{self.compression:.0f} times smaller; {self.projection})"
        )


@dataclass(frozen=True, eq=False)
class IntrinsicDimension:
    """The performance of training in random subspaces of increasing dimension; made by `measure_dimension`.

    Attributes
    ----------
    dims
        int64 ``(d,)``: the dimensions, ascending.
    performance
        float64 ``(d, R)``: by dimension and repetition; higher is better.
    train_loss
        float64 ``(d, R)``: the mean loss of the last tenth of the steps (for L-BFGS the lowest loss).
    full
        The full model's performance.
    chance
        The performance of chance.
    target
        The share of the way from `chance` to `full` that defines the dimension.
    n_params
        D.
    projection
        ``"dense"``, ``"sparse"`` or ``"fastfood"``.
    n_bytes
        The bytes of the largest projection.
    settings
        The settings of the training.
    trained
        What was trained, by dimension and repetition; see `compressed`.
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
    trained: tuple[tuple[CompressedParams, ...], ...] = ()

    @property
    def threshold(self) -> float:
        """The performance that defines the dimension."""
        return self.chance + self.target * (self.full - self.chance)

    @property
    def dimension(self) -> int | None:
        """The smallest dimension that reaches the threshold on average; None if none does."""
        return smallest_reaching(self.dims, self.performance.mean(1), self.threshold)

    @property
    def d90(self) -> int | None:
        """`dimension` for a target of 0.9, by the paper's name.

        Raises
        ------
        ValueError
            For another target.
        """
        if self.target != 0.9:
            raise ValueError(f"expected a target of 0.9, got {self.target}: use .dimension")
        return self.dimension

    @property
    def bracket(self) -> tuple[int, int]:
        """The interval (low, high] of the dimension, by its neighbors among `dims`.

        If none reaches the threshold, high is D: the whole space does.
        """
        return bracket_of(self.dims, self.dimension, self.n_params)

    @property
    def by_repeat(self) -> list[int | None]:
        """`dimension` of each repetition alone."""
        return [smallest_reaching(self.dims, one, self.threshold) for one in self.performance.T]

    def compressed(self, dim: int | None = None, repeat: int = 0) -> CompressedParams:
        """Return a trained network as d numbers and a seed, which rebuild it from the start of its training.

        Parameters
        ----------
        dim
            One of `dims`; by default `dimension`, the smallest that reaches the threshold.
        repeat
            Which of the repetitions.

        Raises
        ------
        ValueError
            For a dimension or a repetition that was not trained, or if none reached the threshold.
        """
        if dim is None and self.dimension is None:
            raise ValueError(f"expected a dimension that reaches the threshold, got none among {self.dims.tolist()}")
        wanted = self.dimension if dim is None else dim
        places = np.flatnonzero(self.dims[: len(self.trained)] == wanted)
        if not len(places) or not 0 <= repeat < len(self.trained[places[0]]):
            raise ValueError(
                f"expected a dim among {self.dims.tolist()} and a repeat from 0 to {self.performance.shape[1] - 1}, "
                f"got {wanted} and {repeat}"
            )
        return self.trained[places[0]][repeat]

    @property
    def compression(self) -> float:
        """D / `dimension`: how many weights one trained number stands for; NaN if no dimension reaches the threshold.

        The paper's example: 750 numbers and a seed for the 199,210 weights of a network for MNIST.
        """
        return float("nan") if self.dimension is None else self.n_params / self.dimension

    @property
    def table(self) -> pd.DataFrame:
        """One row per dimension: mean, ``min`` and ``max`` performance, ``share`` of the way to `full`, and loss."""
        mean = self.performance.mean(1)
        columns = {
            "dim": self.dims,
            "performance": mean,
            "min": self.performance.min(1),
            "max": self.performance.max(1),
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
        if self.dimension is not None:
            about["compression"] = f"{self.compression:.0f} weights per number"
        values = {**about, "threshold": f"{self.threshold:.4g}", **dict(self.settings)}
        title = f"Intrinsic dimension: {self._name} {self._where}"
        return card(title, table(["dim", "performance", "share of the way"], map(list, rows)), facts(values))

    @property
    def _name(self) -> str:
        return f"d{100 * self.target:g}"

    @property
    def _where(self) -> str:
        low, high = self.bracket
        bad = self.dims[~np.isfinite(self.performance).all(1)]
        diverged = f"; not finite at {', '.join(f'{dim:,}' for dim in bad)}" if len(bad) else ""
        if self.dimension is None:
            return f"{'not known' if len(bad) else 'not reached'}, in ({low:,}, {high:,}]{diverged}"
        return f"= {self.dimension:,} in ({low:,}, {high:,}]{diverged}"


def smallest_reaching(
    dims: Int[np.ndarray, " d"], performance: Float[np.ndarray, " d"], threshold: float
) -> int | None:
    """Return the smallest of ascending dimensions that reaches a threshold, or None."""
    reached = np.flatnonzero(performance >= threshold)
    return int(dims[reached[0]]) if len(reached) else None


def bracket_of(dims: Int[np.ndarray, " d"], found: int | None, largest: int) -> tuple[int, int]:
    """Return the next smaller dimension and the one found; up to the largest possible if none was found."""
    if found is None:
        return int(dims[-1]), largest
    place = int(np.flatnonzero(dims == found)[0])
    return (int(dims[place - 1]) if place else 0), found
