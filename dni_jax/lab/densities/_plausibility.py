"""How plausible a state is: a density of the states that a network visits, and percentiles among held-out states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from dni_jax.lab.densities._bijection import Bijection
from dni_jax.lab.densities._fitting import Evaluation, fit
from dni_jax.lab.densities._flows import init_flow, log_prob_in_blocks, sample
from dni_jax.states import ChunkedActivations, as_activations, read_hidden

_GROUP_SIZE = 64  # consecutive rows that form a group where no groups are known
_MIN_GROUPS = 20


@dataclass(frozen=True, eq=False)
class Density:
    """A density over the states of N neurons; made by `plausibility`.

    Attributes
    ----------
    kind
        One of `KINDS`.
    bijection
        From states to a standard normal; a pytree, float32.
    n_neurons
        N.
    calibration
        float32 ``(U,)``, ascending: log-densities of visited states that neither the fit nor its stopping used.
    evaluations
        Mean log-densities during the fit; empty for a Gaussian.
    """

    kind: str
    bijection: Bijection
    n_neurons: int
    calibration: Float[np.ndarray, " U"] = field(repr=False)
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False)

    def log_prob(self, states: Any, block: int | None = None) -> Float[np.ndarray, " T"]:
        """Compute the log-density of each state, in nats; float32.

        Parameters
        ----------
        states
            An array ``(T, N)`` or ``Activations``.
        block
            States that one device evaluates at a time; None chooses for the device. Memory holds a few hundred numbers
            for each.

        Raises
        ------
        ValueError
            For another number of neurons, or states that are not finite.
        """
        rows = _checked_states(states, self.n_neurons)
        return log_prob_in_blocks(self.bijection, rows, block) if len(rows) else np.zeros(0, np.float32)

    def percentile(self, states: Any, block: int | None = None) -> Float[np.ndarray, " T"]:
        """Compute the percentile of each state, 0 to 100: the share of held-out visited states that are less plausible.

        At 0, every held-out state is more plausible than this one. Visited states are uniform over 0 to 100. Ties count
        half.
        """
        return self.percentile_of(self.log_prob(states, block))

    def percentile_of(self, log_prob: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the percentiles of log-densities; float64."""
        less, less_or_equal = (np.searchsorted(self.calibration, log_prob, side) for side in ("left", "right"))
        return np.asarray(50.0 * (less + less_or_equal) / len(self.calibration))

    def sample(self, n: int, seed: int = 0) -> Float[np.ndarray, "n N"]:
        """Draw states; float32."""
        if n < 1:
            raise ValueError(f"expected to draw at least 1 state, got n={n}")
        return np.asarray(sample(self.bijection, jax.random.key(seed), n, self.n_neurons))


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

    Whole strings are split into three parts: about 70 % are fitted, 15 % stop the fit, 15 % calibrate percentiles.
    Every kind starts as the Gaussian of the fitted states, and is never worse than it on the states that stop the fit.
    Computed in float32.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``; positions without a state are skipped.
    kind
        ``"gaussian"`` (full covariance, in closed form); ``"realnvp"`` (Dinh et al. 2017); ``"maf"`` (masked
        autoregressive: Papamakarios et al. 2017), whose samples take N passes; ``"planar"`` (Rezende & Mohamed 2015);
        ``"sylvester"`` (van den Berg et al. 2018); ``"plu"`` (Kingma & Dhariwal 2018) and ``"qr"`` (Hoogeboom et al.
        2019), which are linear, so they are Gaussians too, found by gradients.
    groups
        int ``(T,)``: positions that belong together, -1 skips one; by default those of `states`, and for an array
        segments of 64 rows.
    layers
        The number of couplings, planar, Sylvester or autoregressive maps.
    width, depth
        The hidden layers of the network of a coupling or an autoregressive map.
    directions
        The directions of a Sylvester map (M); at most N are used.
    shrink
        This share of each neuron's variance is added to it before whitening, so that the scales of neurons do not
        matter. A neuron that never moves gets this share of the mean variance; otherwise every override of it would be
        infinitely implausible.
    steps, batch, learning_rate, patience
        Settings of the fit; see `dni_jax.lab.densities.fit`.
    seed
        Splits the strings, and draws initial parameters and minibatches.

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
    if not 0 <= shrink < np.inf:
        raise ValueError(f"expected shrink of at least 0 and finite, got {shrink}")
    rows = _checked_states(states)
    part = split_states(states, groups, seed)
    train, stopping, calibration = (rows[part == number] for number in range(3))
    shape = {"layers": layers, "width": width, "depth": depth, "directions": directions, "shrink": shrink}
    bijection, evaluations = init_flow(kind, train, **shape, seed=seed), ()  # type: ignore[arg-type]
    if kind != "gaussian":
        settings = {"steps": steps, "batch": batch, "learning_rate": learning_rate, "patience": patience}
        bijection, evaluations = fit(bijection, train, stopping, **settings, seed=seed)  # type: ignore[arg-type, assignment]
    log_probs = np.sort(log_prob_in_blocks(bijection, calibration))
    return Density(kind, bijection, rows.shape[1], log_probs, evaluations)


def split_states(states: Any, groups: Any = None, seed: int = 0) -> Int[np.ndarray, " T"]:
    """Return the part of each position: 0 is fitted, 1 stops the fit, 2 calibrates percentiles, -1 is not used.

    This is the split that `plausibility` makes with the same states, groups and seed. Positions of one group stay
    together: neighboring states are nearly equal, and a fit that saw one would seem to know the other.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    groups
        int ``(T,)``: positions that belong together, -1 skips one; by default those of `states`, and for an array
        segments of 64 rows.
    seed
        Decides the split.

    Raises
    ------
    ValueError
        For groups of another shape, or fewer than 20 of them.

    Examples
    --------
    >>> np.bincount(split_states(np.zeros((2_000, 3)))).tolist()
    [1360, 320, 320]
    """
    names, member = np.unique(_checked_groups(as_activations(states), groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(names >= 0))
    part = np.full(len(names), -1)
    held_out = max(round(0.15 * len(order)), 1)
    part[order] = 0
    part[order[:held_out]], part[order[held_out : 2 * held_out]] = 2, 1
    return part[member]


def _checked_states(states: Any, n_neurons: int | None = None) -> Float[np.ndarray, "T N"]:
    """Return the states of ``Activations`` or of an array as float32 ``(T, N)``."""
    rows = read_hidden(states)
    if rows.shape[1] == 0:
        raise ValueError(f"expected states of shape (T, N) with N of at least 1, got {rows.shape}")
    if n_neurons is not None and rows.shape[1] != n_neurons:
        raise ValueError(f"expected states of the density's {n_neurons} neurons, got {rows.shape[1]}")
    rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return rows


def _checked_groups(states: ChunkedActivations, groups: Any) -> Int[np.ndarray, " T"]:
    """Return the group of each position: those passed, those of the states, or segments of 64 rows; -1 skips."""
    given, n_positions = states.position_groups if groups is None else groups, states.n_positions
    size = max(min(_GROUP_SIZE, n_positions // _MIN_GROUPS), 1)
    found = np.arange(n_positions) // size if given is None else np.asarray(given)
    if found.shape != (n_positions,) or found.dtype.kind not in "iu":
        raise ValueError(f"expected integer groups of shape ({n_positions},), got {found.dtype} {found.shape}")
    if states.mask is not None:
        found = np.where(states.mask, found, -1)
    count = len(np.unique(found[found >= 0]))
    if count < _MIN_GROUPS:
        raise ValueError(
            f"expected at least {_MIN_GROUPS} groups (strings) to fit, to stop the fit and to calibrate, got {count}: "
            "record more strings, or pass finer groups="
        )
    return found
