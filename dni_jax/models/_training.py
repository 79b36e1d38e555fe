"""Training: truncated backpropagation through many texts in parallel, of one network or of a population."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int

from dni_jax import processes
from dni_jax.devices import make_global_grid
from dni_jax.models._auxiliary import Auxiliary, Target, make_auxiliary
from dni_jax.models._checkpoints import Checkpoints
from dni_jax.models._lanes import Lanes, make_lanes
from dni_jax.models._population import Population
from dni_jax.models._prediction import cross_entropies
from dni_jax.models._state import Evaluation, TrainingRun
from dni_jax.models._steps import Batch, init_state, make_optimizer, rate_schedule, shard_batch, shard_state, take_steps
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import Weights
from dni_jax.progress import bar
from dni_jax.settings import TrainConfig, TrainPlan
from dni_jax.text import Corpus, check_corpus

VALIDATION_CHARACTERS = 50_000
_WORSE = 10  # times the loss of guessing: a training run that was never better than that has diverged
_CHUNK = 10  # steps in one call of the compiled program


def train(
    corpus: Corpus,
    *,
    config: TrainConfig | None = None,
    validation: Corpus | None = None,
    checkpoints: str | Path | None = None,
    ideal: float | None = None,
    progress: bool = True,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
    inspect_every: int | None = None,
    on_inspect: Callable[[int, TrainedModel], None] = lambda step, model: None,
    auxiliary: Target | None = None,
    weight: float = 0.1,
    **settings: Any,
) -> TrainedModel:
    """Train a character network to predict the next symbol.

    Parameters
    ----------
    corpus
        Training reads its ``train`` strings and stops by its ``validation`` strings; without validation strings
        all steps are taken.
    config
        The settings; `settings` (``hidden=``, ``seed=``, ``steps=``, ...) replace single ones. See `TrainConfig`.
    validation
        Other text to stop by, all of it; the corpus' own validation strings are then not used.
    checkpoints
        A folder: the state is saved there at every evaluation, and training resumes from the last one, to the same bits
        as if it had never stopped.
    ideal
        The best possible cross entropy; shown with the loss.
    progress
        Whether to show a bar (only on a terminal).
    on_evaluation
        Called with every evaluation on the validation text.
    inspect_every
        Steps between two calls of `on_inspect`; None never calls it.
    on_inspect
        Called with the step and the network at that step, to inspect it during training. A resumed run calls
        it again for the step that it resumes at.
    auxiliary
        What the states of the top layer must also predict, at every character of the corpus: labels of features,
        a library that labels them, or an array ``(T, A)``, such as another network's states. A linear readout of the
        states is trained with the network to predict them, each scaled to variance 1, and then thrown away.
    weight
        Of the readout's loss, half the mean squared error, next to the loss in nats per symbol.

    Returns
    -------
    TrainedModel with the weights of the best evaluation.

    Raises
    ------
    ValueError
        Where the loss is no longer finite (the message names the step), where a checkpoint belongs to other settings,
        where another process trains into the folder of checkpoints,
        for symbols of `validation` that the corpus does not have, and for auxiliary targets of another corpus or that
        never vary.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> dni.train(corpus, hidden=8, steps=2, progress=False).n_neurons
    8
    """
    check_corpus(corpus)
    plan = replace(config or TrainConfig(), **settings).plan(len(corpus.vocabulary))
    _check_every(inspect_every)
    training = _Training(corpus, [plan], validation, checkpoints, ideal, make_auxiliary(auxiliary, corpus, weight))

    def hook(run: TrainingRun, step: int, evaluations: dict[int, Evaluation], is_new: bool) -> None:
        if evaluations and is_new:
            on_evaluation(evaluations[0])
        if inspect_every is not None and step % inspect_every == 0:
            on_inspect(step, training.model(run, 0, processes.to_host(run.state.weights)))

    run = training.fit(hook, inspect_every, progress)
    if run.diverged[0] is not None:
        raise ValueError(training.describe_divergence(run, 0))
    return training.model(run, 0, run.best)


def train_population(
    corpus: Corpus,
    seeds: Sequence[int] = (0, 1, 2, 3),
    learning_rates: float | Sequence[float] | None = None,
    *,
    config: TrainConfig | None = None,
    validation: Corpus | None = None,
    checkpoints: str | Path | None = None,
    ideal: float | None = None,
    progress: bool = True,
    on_evaluation: Callable[[int, Mapping[int, Evaluation]], None] = lambda step, evaluations: None,
    inspect_every: int | None = None,
    on_inspect: Callable[[int, Mapping[int, TrainedModel]], None] = lambda step, models: None,
    auxiliary: Target | None = None,
    weight: float = 0.1,
    **settings: Any,
) -> Population:
    """Train networks of one shape together, as one program: each seed with each learning rate.

    Up to rounding, every network becomes what `train` makes of its seed and rate: it has its own initial weights and
    its own order of the text, and stops by its own validation loss. Models are spread over devices before lanes are.

    Parameters
    ----------
    corpus
        See `train`.
    seeds
        One or more.
    learning_rates
        One or more; None is the config's.
    config, validation, checkpoints, ideal, progress, settings
        See `train`; ``hidden=``, ``cell=``, ``steps=`` and all others are shared.
    on_evaluation
        Called at every evaluation with the step, and the evaluations of the networks that still train, by number.
    inspect_every, on_inspect
        See `train`; called with the step, and the networks that still train, by number.
    auxiliary, weight
        See `train`; each network has a readout of its own.

    Returns
    -------
    Population: all seeds of the first rate, then of the second, and so on. A network that diverges keeps its best
    weights; a warning names it.

    Raises
    ------
    ValueError
        Where seeds repeat, or all networks diverge.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> population = dni.train_population(corpus, seeds=(0, 1), hidden=8, steps=2, progress=False)
    >>> dni.record(population, corpus.test).hidden.shape == (2, corpus.test.n_positions, 8)
    True
    """
    check_corpus(corpus)
    rates = [None] if learning_rates is None else [float(rate) for rate in np.atleast_1d(learning_rates)]
    if not len(seeds) or not len(rates) or len(set(seeds)) < len(seeds) or len(set(rates)) < len(rates):
        raise ValueError(f"expected different seeds and learning rates, got seeds {list(seeds)} and rates {rates}")
    _check_every(inspect_every)
    base = replace(config or TrainConfig(), **settings)
    shared = [base if rate is None else replace(base, learning_rate=rate) for rate in rates]
    plans = [replace(one, seed=int(seed)).plan(len(corpus.vocabulary)) for one in shared for seed in seeds]
    training = _Training(corpus, plans, validation, checkpoints, ideal, make_auxiliary(auxiliary, corpus, weight))

    def hook(run: TrainingRun, step: int, evaluations: dict[int, Evaluation], is_new: bool) -> None:
        if evaluations and is_new:
            on_evaluation(step, evaluations)
        if inspect_every is not None and step % inspect_every == 0:
            # A network that stops at this evaluation still trained up to it.
            numbers = [one for one, active in enumerate(run.active(base.patience)) if active or one in evaluations]
            now = jax.device_get(run.state.weights)
            on_inspect(step, {number: training.model(run, number, now) for number in numbers})

    run = training.fit(hook, inspect_every, progress)
    diverged = [model for model, step in enumerate(run.diverged) if step is not None]
    if len(diverged) == len(plans):
        raise ValueError("all networks diverged; of the first: " + training.describe_divergence(run, 0))
    for model in diverged:
        plan = plans[model]
        message = training.describe_divergence(run, model)
        warnings.warn(f"seed {plan.seed} with learning rate {plan.learning_rate:g}: {message}", stacklevel=2)
    models = tuple(training.model(run, number, run.best) for number in range(len(plans)))
    return Population(models, tuple(run.diverged))


def _check_every(inspect_every: int | None) -> None:
    if inspect_every is not None and inspect_every < 1:
        raise ValueError(f"expected inspect_every of at least 1, got {inspect_every}")


class _Training:
    """One training of M networks on one text: what stays the same from step to step."""

    def __init__(
        self,
        corpus: Corpus,
        plans: Sequence[TrainPlan],
        validation: Corpus | None,
        checkpoints: str | Path | None,
        ideal: float | None,
        auxiliary: Auxiliary | None = None,
    ) -> None:
        self.plans, self.plan, self.ideal, self.auxiliary = plans, plans[0], ideal, auxiliary
        self.vocabulary = corpus.vocabulary
        self.starts = [TrainedModel.init(corpus.vocabulary, plan) for plan in plans]
        self.text, self.validation = corpus.train, _validation(corpus)
        if validation is not None:
            self.validation = self.starts[0].encode(validation)
        self.store = Checkpoints(checkpoints, plans, corpus, auxiliary or ())

    def start(self) -> TrainingRun:
        """Return the training before its first step."""
        n_targets = 0 if self.auxiliary is None else self.auxiliary.targets.shape[1]
        weights = [model.weights for model in self.starts]
        state = init_state(weights, make_optimizer(self.plan), self.plan.batch, n_targets)
        n_models = len(self.plans)
        best = processes.to_host(state.weights)
        return TrainingRun(state, best, [[] for _ in range(n_models)], [None] * n_models)

    def fit(
        self, hook: Callable[[TrainingRun, int, dict[int, Evaluation], bool], None], every: int | None, progress: bool
    ) -> TrainingRun:
        """Take all steps, or stop early by the validation loss.

        `hook` is called after each chunk of steps with the run, the step, its evaluations, and whether these are new:
        a training run that resumes calls it with the restored ones, because it may have been killed before the call.
        """
        try:
            return self._fit(hook, every, progress)
        finally:
            self.store.close()

    def _fit(
        self, hook: Callable[[TrainingRun, int, dict[int, Evaluation], bool], None], every: int | None, progress: bool
    ) -> TrainingRun:
        plan, run = self.plan, self.start()
        step = self.store.restore_into(run)
        if step:
            last = {number: rows[-1] for number, rows in enumerate(run.evaluations) if rows and rows[-1].step == step}
            hook(run, step, last, False)
        optimizer, devices = make_optimizer(plan), self._devices()
        rates = jax.device_put(np.asarray([each.learning_rate for each in self.plans], np.float32))
        run.state, rates = shard_state(run.state, rates, devices)
        chunk = math.gcd(_CHUNK, plan.evaluate_every, every or 0)
        before = max((each[-1].seconds for each in run.evaluations if each), default=0.0)
        began = time.perf_counter() - before
        pending: list[tuple[Any, Any]] = []
        active = any(run.active(plan.patience))
        batches = make_batches(self.text, self.plans, step, chunk, self.auxiliary or ()) if active else ()
        with bar("training", plan.steps, progress) as advance:
            for batch in batches:
                run.state, taken = take_steps(run.state, rates, shard_batch(batch, devices), optimizer, devices)
                pending.append(taken)
                step += batch.codes.shape[1]
                seconds = time.perf_counter() - began
                advance(step, partial(self._note, run, step, seconds, taken[0]))
                evaluates = step % plan.evaluate_every == 0 or step >= plan.steps
                evaluations: dict[int, Evaluation] = {}
                if evaluates:
                    evaluations = self._evaluate(run, step, pending, began)
                    pending = []
                hook(run, step, evaluations, True)
                if evaluates and not any(run.active(plan.patience)):
                    break
        self._mark_diverged(run)
        return run

    def _mark_diverged(self, run: TrainingRun) -> None:
        """Mark the networks that training has made far worse than guessing, although their losses are finite."""
        guessing = math.log(max(len(self.vocabulary), 2))
        for model, evaluations in enumerate(run.evaluations):
            best = min((evaluation.validation_loss for evaluation in evaluations), default=0.0)
            if run.diverged[model] is None and best > _WORSE * guessing:
                run.diverged[model] = evaluations[-1].step

    def _devices(self) -> Mesh:
        plan, n_models = self.plan, len(self.plans)
        devices = make_global_grid(n_models, plan.batch)
        if processes.count() > 1 and not processes.spans_processes(devices) and processes.is_first():
            warnings.warn(
                f"a batch of {plan.batch} texts is too small to be split over {processes.count()} processes: each of "
                "them trains the same network by itself. Pass a batch divisible by 8 times the device count",
                stacklevel=4,
            )
        return devices

    def _evaluate(
        self, run: TrainingRun, step: int, pending: list[tuple[Any, Any]], began: float
    ) -> dict[int, Evaluation]:
        """Evaluate all networks; add the finite results to the run, save a checkpoint, and return them."""
        losses, norms = (np.concatenate(processes.to_host(each), axis=1) for each in zip(*pending, strict=True))
        train_loss = losses.mean(axis=1)
        validation = train_loss if self.validation is None else cross_entropies(run.state.weights, self.validation)
        losses, norms, train_loss, validation = self._broadcast(losses, norms, train_loss, validation)
        share = float(rate_schedule(self.plan)(step - 1))
        evaluations: dict[int, Evaluation] = {}
        for model, active in enumerate(run.active(self.plan.patience)):
            evaluation = Evaluation(
                step=step,
                characters=step * self.plan.batch * self.plan.window,
                train_loss=float(train_loss[model]),
                validation_loss=float(validation[model]),
                seconds=time.perf_counter() - began,
                learning_rate=share * self.plans[model].learning_rate,
                gradient_norm=float(norms[model].mean()),
            )
            if active and evaluation.is_finite:
                evaluations[model] = evaluation
            elif active:
                wrong = np.flatnonzero(~np.isfinite(losses[model]))
                run.diverged[model] = step - losses.shape[1] + int(wrong[0]) + 1 if len(wrong) else step
        run.add(evaluations)
        if evaluations:
            self.store.save(run, step)
        return evaluations

    @staticmethod
    def _broadcast(*numbers: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the first process' numbers: others may round differently, and all must stop at the same step."""
        return processes.broadcast(lambda: numbers)

    def model(self, run: TrainingRun, number: int, weights: Weights) -> TrainedModel:
        """Return one of the networks, with its row of some weights, and its history so far."""
        own = jax.tree.map(lambda array: array[number], weights)
        return TrainedModel.from_weights(
            own, self.vocabulary, self.plans[number], [asdict(evaluation) for evaluation in run.evaluations[number]]
        )

    def describe_divergence(self, run: TrainingRun, model: int) -> str:
        """Describe when a network's loss stopped being finite, what is kept, and what to try."""
        last = run.evaluations[model][-1].step if run.evaluations[model] else 0
        where = f" in {self.store.latest}" if self.store.latest else ""
        if run.evaluations[model] and run.diverged[model] == run.evaluations[model][-1].step:
            loss = min(evaluation.validation_loss for evaluation in run.evaluations[model])
            return (
                f"expected a loss near {math.log(len(self.vocabulary)):.3g} nats per symbol, that of guessing, or "
                f"below, got {loss:.3g} at best after {run.diverged[model]} steps: the training diverged; lower the "
                "learning rate, or clip gradients at a smaller norm"
            )
        kept = f"; the last finite state, of step {last}, is kept{where}" if last else "; no finite state was reached"
        return (
            f"expected a finite loss, got NaN or infinity at step {run.diverged[model]}{kept}: "
            "lower the learning rate, or clip gradients at a smaller norm"
        )

    def _note(self, run: TrainingRun, step: int, seconds: float, loss: Any) -> str:
        """Return the progress bar's text."""
        words = [f"loss {float(np.nanmean(processes.local_part(loss)[:, -1])):.3f}"]
        validation = min((each[-1].validation_loss for each in run.evaluations if each), default=None)
        if validation is not None and self.ideal:
            words.append(f"validation {validation:.4f} ({validation / self.ideal - 1:.2%} above ideal)")
        elif validation is not None:
            words.append(f"validation {validation / math.log(2):.3f} bits per character")
        read = len(self.plans) * step * self.plan.batch * self.plan.window
        return ", ".join([*words, f"{read / max(seconds, 1e-9):,.0f} characters/s"])


def _validation(corpus: Corpus) -> Corpus | None:
    return corpus.validation.head(VALIDATION_CHARACTERS) if (corpus.split == 1).any() else None


def _windows(text: Corpus, plan: TrainPlan, more: Sequence[np.ndarray] = ()) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the text of each step: codes, targets, weights and resets ``(R, B)``, and what more belongs to it."""
    make = {"carried": _carried_windows, "zero": _windows_from_zero}[plan.window_start]
    for codes, targets, weights, *rest in make(text, plan, more):
        if plan.loss_on == "last":
            weights = np.concatenate([np.zeros_like(weights[:-1]), weights[-1:]])
        yield codes, targets, weights, *rest


def _carried_windows(
    text: Corpus, plan: TrainPlan, more: Sequence[np.ndarray] = ()
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield windows that follow each other; every epoch has the strings in a new order."""
    for epoch in count():
        order = np.random.default_rng((plan.seed, epoch)).permutation(len(text))
        lanes = make_lanes(text, plan.batch, order, plan.window)
        lanes.resets[0] = True  # an epoch starts from the zero state
        for first in range(0, len(lanes.codes), plan.window):
            rows = Lanes(*(array[first : first + plan.window] for array in lanes))
            yield (*rows[:4], *(rows.from_positions(values) for values in more))


def _windows_from_zero(
    text: Corpus, plan: TrainPlan, more: Sequence[np.ndarray] = ()
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield windows of the running text; an epoch has every window once, in random order."""
    lane = make_lanes(text, 1)
    codes, targets, weights = (array[:, 0] for array in lane[:3])
    arranged = [lane.from_positions(values)[:, 0] for values in more]
    starts = np.flatnonzero(_whole_windows(codes, targets, weights > 0, plan.window))
    if not len(starts):
        raise ValueError(
            f"expected training text with at least {plan.window} symbols in a row, the window, got pieces of at most "
            f"{int(np.diff(text.offsets).max())}: choose a shorter window"
        )
    rows, resets = np.arange(plan.window)[:, None], np.zeros((plan.window, plan.batch), bool)
    resets[0] = True
    left = starts[:0]
    for epoch in count():
        left = np.concatenate([left, np.random.default_rng((plan.seed, epoch)).permutation(starts)])
        while len(left) >= plan.batch:
            places, left = rows + left[: plan.batch], left[plan.batch :]
            yield codes[places], targets[places], weights[places], resets, *(values[places] for values in arranged)


def _whole_windows(
    codes: Int[np.ndarray, " n"], targets: Int[np.ndarray, " n"], known: Bool[np.ndarray, " n"], window: int
) -> Bool[np.ndarray, " m"]:
    """Return which windows of a lane are of one text: each symbol is the one that was to come, and the last is known.

    Between two pieces of longer texts the lane goes on with another symbol than the one that came.
    """
    if len(codes) < window:
        return np.zeros(0, bool)
    breaks = np.concatenate([[0], np.cumsum(~known[:-1] | (targets[:-1] != codes[1:]))])
    first = np.arange(len(codes) - window + 1)
    last = first + window - 1
    return (breaks[last] == breaks[first]) & known[last]


def make_batches(
    text: Corpus, plans: Sequence[TrainPlan], done: int, chunk: int, more: Sequence[np.ndarray] = ()
) -> Iterator[Batch]:
    """Yield the text of the steps after those done, `chunk` of them at a time; equal seeds read the same text.

    Parameters
    ----------
    text
        The training text.
    plans
        One for each model.
    done, chunk
        Steps.
    more
        Further arrays ``(T, ...)`` for the positions of the text: `Auxiliary`.
    """
    seeds = {plan.seed: plan for plan in plans}
    windows = [islice(_windows(text, plan, more), done, plan.steps) for plan in seeds.values()]
    row = [list(seeds).index(plan.seed) for plan in plans]
    while True:
        steps = [list(islice(each, chunk)) for each in windows]
        if not steps[0]:
            return
        parts = [[np.stack(arrays) for arrays in zip(*each, strict=True)] for each in steps]
        yield Batch(*(np.stack([parts[which][part] for which in row]) for part in range(len(parts[0]))))
