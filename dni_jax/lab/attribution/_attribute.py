"""Attribution by backpropagation through time: how much each neuron contributes to a prediction, by lag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.lab.attribution._problem import Problem, batches, checked_lags
from dni_jax.lab.attribution._unrolled import lag_gradients, path_gradients, values_from_states
from dni_jax.models import TrainedModel
from dni_jax.probes import string_weights
from dni_jax.text import Corpus

METHODS = ("gradient_x_activation", "integrated_gradients")
_BOOTSTRAP_DRAWS = 500
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
    """Attribute a prediction's log-probability to the neurons, as they were some characters before.

    What is explained at a position t is a function of the network's state at ``t - lag``, with the symbols read since
    then fixed. With ``part="hidden"`` an LSTM's memory at ``t - lag`` is fixed too, so what the memory carries is not
    seen: at lag 0 nothing is missed, at larger lags most of it may be. ``part="state"`` explains everything that flows
    on.

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
        ``"gradient_x_activation"``: the gradient times the state minus its baseline; one reverse pass serves all lags.
        ``"integrated_gradients"``: the mean gradient on the straight line from the baseline to the state, times that
        difference (Sundararajan, Taly & Yan 2017); `steps` passes per lag.
    part
        ``"hidden"``, the memory ``"cell"`` of an LSTM or sLSTM, or ``"state"``: all that is carried on, with a neuron's
        attributions added (an sLSTM's normalizer and stabiliser included). The memory is the one that is carried
        on, with the hidden state of the same step fixed (an override of ``"c"`` changes both).
    positions
        Where in the corpus: None (everywhere), their number (drawn at random), their numbers, or a mask ``(T,)``.
    baseline
        The state that represents no information: ``"zero"``; ``"mean"`` over the corpus; or an array ``(N,)``, for an
        LSTM's state ``(2, N)`` (memory, then hidden), for an sLSTM's ``(4, N)`` (c, n, m, then hidden).
    steps
        The nodes of the Gauss-Legendre rule on the line.
    batch
        Positions at a time. In addition to the states, memory holds about ``75 * batch * (max(lags) + 1) * N`` bytes
        (for an LSTM), and ``8 * S * N * len(lags)`` of sums over strings.
    seed
        Draws positions and the bootstrap.

    Returns
    -------
    Dataset with dimensions ``(neuron, lag)``; neurons of several layers are numbered from the lowest layer up.

    - ``attribution``: mean over positions, with ``attribution_low`` and ``attribution_high``, the 95 % interval by a
      bootstrap over strings (files, for text);
    - ``magnitude``: mean of the absolute attribution over positions;
    - ``completeness_error`` ``(lag,)``: how far a position's attributions, summed over neurons, are from their exact
      sum, the value at the state minus the value at the baseline; mean absolute difference over positions, in the
      target's unit. For integrated gradients it vanishes as `steps` grow, the sooner the closer the baseline is to
      states that the network visits. Gradient x activation is complete only where the target is linear in the state;
      for a trained network the error may be as large as the ``change``, so check it;
    - ``change`` ``(lag,)``: the mean absolute value of that exact sum, to compare the error with;
    - ``value`` ``(lag,)``: the target's mean;
    - ``positions`` ``(lag,)``: the number of positions. Those whose string starts after ``t - lag`` are left out, so
      lags cover somewhat different positions unless all of these lie deep enough in their strings.

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
    >>> attribution = attribute(model, corpus, ")", lags=range(3), part="state", positions=50)
    >>> dict(attribution.sizes), attribution["positions"].values[0].item()
    ({'neuron': 8, 'lag': 3}, 50)
    >>> exact = attribute(model, corpus, ")", [0, 2], "integrated_gradients", part="state", positions=50, steps=8)
    >>> bool((exact["completeness_error"] < 1e-5).all())
    True
    """
    ascending = checked_lags(lags)
    if method not in METHODS:
        raise ValueError(f"expected method among {METHODS}, got {method!r}")
    if steps < 1 or batch < 1:
        raise ValueError(f"expected steps and batch of at least 1, got {steps} and {batch}")
    problem = Problem.record(model, corpus, target, positions, part, seed)
    base = problem.parse_baseline(baseline)
    sums, batch = _Accumulator(problem, ascending), min(batch, len(problem.positions))
    if method == "gradient_x_activation":
        _accumulate_gradients(problem, base, sums, batch)
    else:
        _accumulate_path_gradients(problem, base, sums, batch, steps)
    about = {"method": method, "target": problem.target.description, "part": part, "seed": seed}
    named = baseline if isinstance(baseline, str) else "given"
    used_steps = steps if method == "integrated_gradients" else 1
    return sums.dataset(seed).assign_attrs(**about, baseline=named, steps=used_steps)


class _Accumulator:
    """Sums over positions: attributions by string, and one number per position and lag."""

    def __init__(self, problem: Problem, lags: list[int]) -> None:
        groups, self.group = np.unique(problem.corpus.position_groups[problem.positions], return_inverse=True)
        n_neurons, n_positions = problem.weights.n_neurons, len(problem.positions)
        self.lags = lags
        self.rows = [problem.rows_at_lag(lag) for lag in lags]
        self.total = np.zeros((len(groups), n_neurons, len(lags)))
        self.absolute = np.zeros((n_neurons, len(lags)))
        self.explained = np.zeros((n_positions, len(lags)))
        self.value = np.zeros((n_positions, len(lags)))
        self.baseline_value = np.zeros((n_positions, len(lags)))

    def add(self, place: int, rows: Int[np.ndarray, " B"], attributions: Float[np.ndarray, "B N"]) -> None:
        """Add the attributions of some positions at the lag of that place."""
        doubles = attributions.astype(np.float64)
        np.add.at(self.total[:, :, place], self.group[rows], doubles)
        self.absolute[:, place] += np.abs(doubles).sum(axis=0)
        self.explained[rows, place] = doubles.sum(axis=1)

    def dataset(self, seed: int) -> xr.Dataset:
        """Return means, and intervals over strings."""
        shape = self.total.shape
        count = np.stack([np.bincount(self.group[rows], minlength=shape[0]) for rows in self.rows], axis=1)
        positions = count.sum(axis=0)
        weights = string_weights(shape[0], _BOOTSTRAP_DRAWS, seed).astype(np.float64)
        drawn = (weights @ self.total.reshape(shape[0], -1)).reshape(_BOOTSTRAP_DRAWS, *shape[1:])
        times = (weights @ count)[:, None, :]
        # A draw of strings without a position at some lag has no mean there.
        means = np.divide(drawn, times, out=np.full(drawn.shape, np.nan), where=np.broadcast_to(times > 0, drawn.shape))
        low, high = np.nanquantile(means, _INTERVAL, axis=0)
        change = self.value - self.baseline_value

        def mean(values: Float[np.ndarray, "n L"]) -> tuple[str, np.ndarray]:
            return "lag", np.asarray([values[rows, place].mean() for place, rows in enumerate(self.rows)])

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


def _accumulate_gradients(problem: Problem, base: Float[np.ndarray, "P N"], sums: _Accumulator, batch: int) -> None:
    """Run one reverse pass per batch for all lags, and one forward pass per lag for the value at the baseline."""
    max_lag, function = max(sums.lags), problem.target.function
    for rows, n_real in batches(sums.rows[0], batch):
        n_before = np.minimum(problem.n_before[rows], max_lag)
        at = problem.positions[rows]
        start, context = problem.states_at(at - n_before), problem.context(rows, max_lag)
        outcome = lag_gradients(problem.weights, start, context, n_before.astype(np.int32), function)
        values, gradients = np.asarray(outcome[0])[:n_real], np.asarray(outcome[1])[:, :n_real]
        rows, at, n_before = rows[:n_real], at[:n_real], n_before[:n_real]
        for place, lag in enumerate(sums.lags):
            has_state = n_before >= lag
            states = problem.states_at(at[has_state] - lag)
            difference = states - problem.baseline_states(states, base)
            sums.add(place, rows[has_state], (gradients[lag, has_state] * difference).sum(axis=1))
            sums.value[rows[has_state], place] = values[has_state]
    for place, lag in enumerate(sums.lags):
        _record_baseline_values(problem, base, sums, batch, place, lag)


def _accumulate_path_gradients(
    problem: Problem, base: Float[np.ndarray, "P N"], sums: _Accumulator, batch: int, steps: int
) -> None:
    """Run `steps` reverse passes per lag and batch."""
    nodes, node_weights = np.polynomial.legendre.leggauss(steps)
    nodes, node_weights = ((nodes + 1) / 2).astype(np.float32), (node_weights / 2).astype(np.float32)  # from [-1, 1]
    for place, lag in enumerate(sums.lags):
        for rows, n_real in batches(sums.rows[place], batch):
            states = problem.states_at(problem.positions[rows] - lag)
            attributions, values = path_gradients(
                problem.weights,
                states,
                problem.baseline_states(states, base),
                problem.context(rows, max(sums.lags)),
                np.int32(lag),
                nodes,
                node_weights,
                problem.target.function,
            )
            sums.add(place, rows[:n_real], np.asarray(attributions)[:n_real].sum(axis=1))
            sums.value[rows[:n_real], place] = np.asarray(values)[:n_real]
        _record_baseline_values(problem, base, sums, batch, place, lag)


def _record_baseline_values(
    problem: Problem, base: Float[np.ndarray, "P N"], sums: _Accumulator, batch: int, place: int, lag: int
) -> None:
    """Record the target's values with the baseline at a lag."""
    for rows, n_real in batches(sums.rows[place], batch):
        states = problem.baseline_states(problem.states_at(problem.positions[rows] - lag), base)
        context = problem.context(rows, max(sums.lags))
        values = values_from_states(problem.weights, states, context, np.int32(lag), problem.target.function)
        sums.baseline_value[rows[:n_real], place] = np.asarray(values)[:n_real]
