"""How plausible is a state? A density of the states that a network visits, with percentiles among held-out ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from dni_jax.lab.densities._bijection import Bijection
from dni_jax.lab.densities._evaluating import draw, log_prob_in_blocks
from dni_jax.lab.densities._fitting import Evaluation, fit
from dni_jax.lab.densities._kinds import init_flow
from dni_jax.lab.densities._splitting import rows_of, split_states


@dataclass(frozen=True, eq=False)
class Density:
    """A density of N neurons' states; made by `plausibility`.

    Attributes
    ----------
    kind
        One of `KINDS`.
    bijection
        From states to a standard normal; a pytree, float32.
    n_neurons
        N.
    calibration
        float32 ``(U,)``: log-densities of visited states that were neither learnt nor stopped the learning, ascending.
    evaluations
        Mean log-densities while it was fitted; empty for a Gaussian.
    """

    kind: str
    bijection: Bijection
    n_neurons: int
    calibration: Float[np.ndarray, " U"] = field(repr=False)
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False)

    def log_prob(self, states: Any, block: int | None = None) -> Float[np.ndarray, " T"]:
        """Give the log-density of each state, in nats; float32.

        Parameters
        ----------
        states
            An array ``(T, N)`` or ``Activations``.
        block
            States a device works on at a time; None suits the device. Memory holds a few hundred numbers for each.

        Raises
        ------
        ValueError
            For another number of neurons, or states that are not finite.
        """
        rows = rows_of(states, self.n_neurons)
        return log_prob_in_blocks(self.bijection, rows, block) if len(rows) else np.zeros(0, np.float32)

    def percentile(self, states: Any, block: int | None = None) -> Float[np.ndarray, " T"]:
        """Give the percentile of each state, 0 to 100: the share of held-out visited states that are less plausible.

        0 says that every one of them is more plausible than this state; visited states are spread evenly over 0 to 100.
        States of equal log-density count half.
        """
        return self.percentile_of(self.log_prob(states, block))

    def percentile_of(self, log_prob: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Give the percentiles of log-densities; float64."""
        below, up_to = (np.searchsorted(self.calibration, log_prob, side) for side in ("left", "right"))
        return np.asarray(50.0 * (below + up_to) / len(self.calibration))

    def sample(self, n: int, seed: int = 0) -> Float[np.ndarray, "n N"]:
        """Draw states; float32."""
        if n < 1:
            raise ValueError(f"expected to draw at least 1 state, got n={n}")
        return draw(self.bijection, n, self.n_neurons, seed)


def plausibility(
    states: Any,
    kind: str = "realnvp",
    *,
    groups: Any = None,
    layers: int = 8,
    width: int = 256,
    depth: int = 2,
    directions: int = 16,
    shrink: float = 1e-3,
    steps: int = 2_000,
    batch: int = 256,
    learning_rate: float = 1e-3,
    patience: int = 5,
    seed: int = 0,
) -> Density:
    """Fit a density to the states that a network visits, by maximum likelihood.

    Whole strings are dealt to three parts: about 70 % are learnt, 15 % stop the learning, 15 % calibrate percentiles.
    Every kind starts as the Gaussian of the learnt states, and is never worse than it on the states that stop the
    learning. Computed in float32.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``; positions without a state are left out.
    kind
        ``"gaussian"`` (full covariance, no steps); ``"realnvp"`` (Dinh et al. 2017); ``"planar"`` (Rezende & Mohamed
        2015); ``"sylvester"`` (van den Berg et al. 2018); ``"plu"`` (Kingma & Dhariwal 2018) and ``"qr"`` (Hoogeboom
        et al. 2019), which are linear: with the normal behind them they are Gaussians too, found by gradients.
    groups
        int ``(T,)``: positions that belong together, -1 leaves one out; by default those of `states`, for an array
        stretches of 64 rows.
    layers
        Couplings, planar or Sylvester maps.
    width, depth
        Of the hidden layers of a coupling's network.
    directions
        Of a Sylvester map (M); no more than N are used.
    shrink
        Of the neurons' mean variance, added to each before they are whitened. A neuron that never moves would
        otherwise make every override of it infinitely implausible.
    steps, batch, learning_rate, patience
        Of the fit; see `dni_jax.lab.densities.fit`.
    seed
        Deals strings, draws initial parameters and minibatches.

    Raises
    ------
    ValueError
        For an unknown kind, states of another shape or not finite, fewer than 20 groups, or a fit that diverges.

    Examples
    --------
    >>> states = np.random.default_rng(0).normal(size=(2_000, 4)).astype(np.float32)
    >>> density = plausibility(states, "gaussian")
    >>> density.percentile(np.array([[0, 0, 0, 0], [9, 0, 0, 0]])).round().tolist()
    [100.0, 0.0]
    """
    rows = rows_of(states)
    part = split_states(states, groups, seed)
    learnt, stopping, kept = (rows[part == number] for number in range(3))
    shape = {"layers": layers, "width": width, "depth": depth, "directions": directions, "shrink": shrink}
    bijection, evaluations = init_flow(kind, learnt, **shape, seed=seed), ()  # type: ignore[arg-type]
    if kind != "gaussian":
        plan = {"steps": steps, "batch": batch, "learning_rate": learning_rate, "patience": patience}
        bijection, evaluations = fit(bijection, learnt, stopping, **plan, seed=seed)  # type: ignore[arg-type, assignment]
    calibration = np.sort(log_prob_in_blocks(bijection, kept))
    return Density(kind, bijection, rows.shape[1], calibration, evaluations)
