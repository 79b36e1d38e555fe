"""Which neurons a prediction rests on, and how many steps back, by backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.lab.attribution._explained import Explained, baseline_of, batches, checked_lags
from dni_jax.lab.attribution._unrolled import lag_gradients, path_gradients, values_from
from dni_jax.models import TrainedModel
from dni_jax.probes import string_weights
from dni_jax.text import Corpus

METHODS = ("gradient_x_activation", "integrated_gradients")
_DRAWS = 500
_INTERVAL = (0.025, 0.975)


def attribute(
    model: TrainedModel,
    corpus: Corpus,
    target: Any = "next",
    lags: Iterable[int] = range(11),
    method: str = "gradient_x_activation",
    *,
    part: str = "hidden",
    positions: Any = None,
    baseline: Any = "zero",
    steps: int = 32,
    batch: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Divide a prediction's log-probability among the neurons, as they were some characters before.

    What is explained at a position t is a function of the network's state at ``t - lag``, the symbols read since then
    fixed. With ``part="hidden"`` an LSTM's memory at ``t - lag`` is fixed too, so that what the memory carries is not
    seen: at lag 0 nothing is missed, further back most may be. ``part="state"`` is a function of all that flows on.

    Parameters
    ----------
    model
        The network.
    corpus
        What it reads.
    target
        What is explained at each position, in nats: ``"next"``, the log-probability of the symbol that came next; some
        symbols (``")"``, ``["1", "2"]``), the log-probability that the next one is among them; or a function of JAX
        arrays from the log-probabilities of all symbols, ``(V,)`` by code, to a number.
    lags
        In characters, 0 or more; lag 0 is the state from which the prediction is read.
    method
        ``"gradient_x_activation"``: the gradient times the state less its baseline; one reverse pass serves all lags.
        ``"integrated_gradients"``: the mean gradient on the straight line from the baseline to the state, times that
        difference (Sundararajan, Taly & Yan 2017); `steps` passes a lag.
    part
        ``"hidden"``, an LSTM's memory ``"cell"``, or ``"state"``: both, a neuron's two attributions added up. The
        memory is that which flows on, the hidden state of the same step fixed (an override of ``"c"`` changes both).
    positions
        Where in the corpus: None (everywhere), their number (drawn at random), their numbers, or a mask ``(T,)``.
    baseline
        The state that stands for nothing: ``"zero"``; ``"mean"`` over the corpus; or an array ``(N,)``, for an LSTM's
        state ``(2, N)`` (memory, then hidden).
    steps
        Places on the line, by Gauss and Legendre's rule.
    batch
        Positions that are worked on at once. Beside the states, memory holds about
        ``75 * batch * (max(lags) + 1) * N`` bytes (of an LSTM), and ``8 * S * N * len(lags)`` of sums over strings.
    seed
        Draws positions and the bootstrap.

    Returns
    -------
    Dataset with dimensions ``(neuron, lag)``; neurons of several layers are numbered from the lowest up.

    - ``attribution``: mean over positions, with ``attribution_low`` and ``attribution_high``, the 95 % interval by a
      bootstrap over strings (files, for text);
    - ``magnitude``: mean of the absolute attribution over positions;
    - ``completeness_error`` ``(lag,)``: how far a position's attributions, summed over neurons, are from what they
      should sum to, the value at the state less the value at the baseline; mean absolute difference over positions, in
      the target's unit. For integrated gradients it vanishes as `steps` grow, the sooner the nearer the baseline lies
      to states that the network visits; gradient x activation is complete only where the target is linear in the
      state, and of a trained network the error may be as large as the ``change``: look before relying on it;
    - ``change`` ``(lag,)``: the mean absolute value of what they should sum to, to compare that error with;
    - ``value`` ``(lag,)``: the target's mean;
    - ``positions`` ``(lag,)``: how many positions there are; those whose string starts after ``t - lag`` are left out,
      so that lags are about somewhat different positions unless all of these lie deep enough in their strings.

    Raises
    ------
    ValueError
        For an unknown method, part or baseline, symbols that the network does not know, positions without a target, or
        a lag that leaves no position.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> found = attribute(model, corpus, ")", lags=range(3), part="state", positions=50)
    >>> dict(found.sizes), found["positions"].values[0].item()
    ({'neuron': 8, 'lag': 3}, 50)
    >>> exact = attribute(model, corpus, ")", [0, 2], "integrated_gradients", part="state", positions=50, steps=8)
    >>> bool((exact["completeness_error"] < 1e-5).all())
    True
    """
    chosen = checked_lags(lags)
    if method not in METHODS:
        raise ValueError(f"expected method among {METHODS}, got {method!r}")
    if steps < 1 or batch < 1:
        raise ValueError(f"expected steps and batch of at least 1, got {steps} and {batch}")
    explained = Explained.of(model, corpus, target, positions, part, seed)
    nothing = baseline_of(baseline, explained)
    sums, batch = _Sums(explained, chosen), min(batch, len(explained.positions))
    if method == "gradient_x_activation":
        _by_gradients(explained, nothing, sums, batch)
    else:
        _by_paths(explained, nothing, sums, batch, steps)
    about = {"method": method, "target": explained.target.about, "part": part, "seed": seed}
    named = baseline if isinstance(baseline, str) else "given"
    return sums.dataset(seed).assign_attrs(**about, baseline=named, steps=steps if "int" in method else 1)


class _Sums:
    """What is summed up while positions go by: attributions by string, and one number a position and lag."""

    def __init__(self, explained: Explained, lags: list[int]) -> None:
        groups, self.group = np.unique(
            explained.corpus.position_groups[explained.positions], return_inverse=True
        )  # of the positions that are explained
        n_neurons, n_positions = explained.weights.n_neurons, len(explained.positions)
        self.lags = lags
        self.reaching = [explained.reaching(lag) for lag in lags]
        self.total = np.zeros((len(groups), n_neurons, len(lags)))
        self.absolute = np.zeros((n_neurons, len(lags)))
        self.explained = np.zeros((n_positions, len(lags)))
        self.value = np.zeros((n_positions, len(lags)))
        self.at_baseline = np.zeros((n_positions, len(lags)))

    def add(self, place: int, rows: Int[np.ndarray, " B"], attributions: Float[np.ndarray, "B N"]) -> None:
        """Count the attributions of some positions at the lag of that place."""
        exact = attributions.astype(np.float64)
        np.add.at(self.total[:, :, place], self.group[rows], exact)
        self.absolute[:, place] += np.abs(exact).sum(axis=0)
        self.explained[rows, place] = exact.sum(axis=1)

    def dataset(self, seed: int) -> xr.Dataset:
        """Give means, and intervals over strings."""
        shape = self.total.shape
        count = np.stack([np.bincount(self.group[rows], minlength=shape[0]) for rows in self.reaching], axis=1)
        positions = count.sum(axis=0)
        draw = string_weights(shape[0], _DRAWS, seed).astype(np.float64)
        drawn = (draw @ self.total.reshape(shape[0], -1)).reshape(_DRAWS, *shape[1:])
        times = (draw @ count)[:, None, :]
        again = np.divide(drawn, times, out=np.full(drawn.shape, np.nan), where=np.broadcast_to(times > 0, drawn.shape))
        low, high = np.nanquantile(again, _INTERVAL, axis=0)
        change = self.value - self.at_baseline

        def mean(values: Float[np.ndarray, "n L"]) -> tuple[str, np.ndarray]:
            return "lag", np.asarray([values[rows, place].mean() for place, rows in enumerate(self.reaching)])

        both = ("neuron", "lag")
        variables: dict[str, Any] = {
            "attribution": (both, self.total.sum(axis=0) / positions),
            "attribution_low": (both, low),
            "attribution_high": (both, high),
            "magnitude": (both, self.absolute / positions),
            "completeness_error": mean(np.abs(self.explained - change)),
            "change": mean(np.abs(change)),
            "value": mean(self.value),
            "positions": ("lag", positions),
        }
        return xr.Dataset(variables, coords={"neuron": np.arange(shape[1]), "lag": self.lags})


def _by_gradients(explained: Explained, nothing: Float[np.ndarray, "P N"], sums: _Sums, batch: int) -> None:
    """One reverse pass a batch for all lags; one pass forward a lag for the value at the baseline."""
    deepest, function = max(sums.lags), explained.target.function
    for rows, real in batches(sums.reaching[0], batch):
        room = np.minimum(explained.room[rows], deepest)
        at = explained.positions[rows]
        values, gradients = lag_gradients(
            explained.weights,
            explained.state(at - room),
            explained.read(rows, deepest),
            room.astype(np.int32),
            function,
        )
        values, gradients = np.asarray(values)[:real], np.asarray(gradients)[:, :real]
        rows, at, room = rows[:real], at[:real], room[:real]
        for place, lag in enumerate(sums.lags):
            there = room >= lag
            state = explained.state(at[there] - lag)
            away = state - explained.freed(state, nothing)
            sums.add(place, rows[there], (gradients[lag, there] * away).sum(axis=1))
            sums.value[rows[there], place] = values[there]
    for place, lag in enumerate(sums.lags):
        _note_baseline(explained, nothing, sums, batch, place, lag)


def _by_paths(explained: Explained, nothing: Float[np.ndarray, "P N"], sums: _Sums, batch: int, steps: int) -> None:
    """`steps` passes a lag and batch."""
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    nodes, shares = ((nodes + 1) / 2).astype(np.float32), (shares / 2).astype(np.float32)
    for place, lag in enumerate(sums.lags):
        for rows, real in batches(sums.reaching[place], batch):
            state = explained.state(explained.positions[rows] - lag)
            found, values = path_gradients(
                explained.weights,
                state,
                explained.freed(state, nothing),
                explained.read(rows, max(sums.lags)),
                np.int32(lag),
                nodes,
                shares,
                explained.target.function,
            )
            sums.add(place, rows[:real], np.asarray(found)[:real].sum(axis=1))
            sums.value[rows[:real], place] = np.asarray(values)[:real]
        _note_baseline(explained, nothing, sums, batch, place, lag)


def _note_baseline(
    explained: Explained, nothing: Float[np.ndarray, "P N"], sums: _Sums, batch: int, place: int, lag: int
) -> None:
    """Note the explained value where the state at a lag is the baseline."""
    for rows, real in batches(sums.reaching[place], batch):
        base = explained.freed(explained.state(explained.positions[rows] - lag), nothing)
        read = explained.read(rows, max(sums.lags))
        values = values_from(explained.weights, base, read, np.int32(lag), explained.target.function)
        sums.at_baseline[rows[:real], place] = np.asarray(values)[:real]
