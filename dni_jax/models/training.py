"""Training: truncated backpropagation through many texts side by side, early stopping, exact resumption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from dni_jax.config import TrainConfig, TrainPlan
from dni_jax.corpora import Corpus
from dni_jax.devices import mesh
from dni_jax.models.checkpoints import Checkpoints
from dni_jax.models.evaluation import cross_entropy, losses_of
from dni_jax.models.lanes import lay_out
from dni_jax.models.lstm import Carry, Weights, hidden_scan, readout, zero_carry
from dni_jax.models.state import Look, Run, State
from dni_jax.models.trained import TrainedModel, untrained
from dni_jax.progress import bar

VALIDATION_CHARACTERS = 50_000
_CHUNK = 10  # steps in one call of the compiled program


class Batch(NamedTuple):
    """K steps of R symbols in B lanes, each array ``(K, R, B)``."""

    codes: Any
    targets: Any
    weights: Any
    resets: Any


def train(
    corpus: Corpus,
    *,
    config: TrainConfig | None = None,
    checkpoints: str | Path | None = None,
    ideal: float | None = None,
    progress: bool = True,
    on_look: Callable[[Look], None] = lambda look: None,
    **settings: Any,
) -> TrainedModel:
    """Train a character LSTM to predict the next symbol.

    Parameters
    ----------
    corpus
        Its ``train`` strings are learnt, its ``validation`` strings stop the training; without validation strings
        every step is taken.
    config
        The settings; `settings` (``hidden=``, ``seed=``, ``steps=``, ...) replace single ones. See `TrainConfig`.
    checkpoints
        A folder: the state is written there at every look, and training goes on from the last one found, bit by bit
        as if it had never stopped.
    ideal
        The best possible cross entropy; shown beside the loss.
    progress
        Whether to show a bar (only on a terminal).
    on_look
        Called at every look at the validation text.

    Returns
    -------
    TrainedModel with the weights of the best look.

    Raises
    ------
    ValueError
        Where the loss is no longer finite; names the step. Where a checkpoint belongs to other settings.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(200, seed=0)
    >>> dni.train(corpus, hidden=8, steps=2, progress=False).n_neurons
    8
    """
    plan = replace(config or TrainConfig(), **settings).plan(len(corpus.vocabulary))
    start = untrained(corpus.vocabulary, plan)
    text, validation = corpus.train, _validation(corpus)
    optimizer = _optimizer(plan.learning_rate, plan.steps, plan.clip)
    devices = mesh("lanes", plan.batch)
    state = State(start.weights, optimizer.init(start.weights), zero_carry(plan.batch, plan.hidden))
    store = Checkpoints(checkpoints, plan, corpus)
    run = Run(state, jax.device_get(start.weights), [])
    step = store.restore_into(run)
    chunk = math.gcd(_CHUNK, plan.evaluate_every)
    losses: list[Any] = []
    began = time.perf_counter() - (run.looks[-1].seconds if run.looks else 0.0)
    stopped = run.stale >= plan.patience  # a training taken up again may have been stopped early before
    with bar("training", plan.steps, progress) as advance:
        for batch in () if stopped else _batches(text, plan, step, chunk):
            run.state, loss = _take_steps(run.state, batch, optimizer, devices)
            losses.append(loss)
            step += len(batch.codes)
            seconds = time.perf_counter() - began
            advance(step, partial(_note, plan, step, seconds, loss, run.looks, ideal))
            if step % plan.evaluate_every and step < plan.steps:
                continue
            look = _look(run.state, step, losses, validation, plan, seconds)
            losses = []
            if not math.isfinite(look.train_loss):
                raise ValueError(_diverged(look, store))
            run.add(look)
            store.save(run, step)
            on_look(look)
            if run.stale >= plan.patience:
                break
    model = untrained(corpus.vocabulary, plan)
    model.module.set_weights(jax.tree.map(jnp.asarray, run.best))
    return replace(model, history=tuple(asdict(look) for look in run.looks))


def _validation(corpus: Corpus) -> Corpus | None:
    return corpus.validation.head(VALIDATION_CHARACTERS) if (corpus.split == 1).any() else None


@lru_cache(maxsize=8)
def _optimizer(learning_rate: float, steps: int, clip: float) -> optax.GradientTransformation:
    """Adam with clipping and a cosine; one object for equal settings, so that a compiled step is found again."""
    warm = min(20, steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(learning_rate / 10, learning_rate, warm, steps, learning_rate / 100)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def _windows(text: Corpus, plan: TrainPlan) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the text of one step after the other; every epoch lays the strings out in a new order."""
    for epoch in count():
        order = np.random.default_rng((plan.seed, epoch)).permutation(len(text))
        lanes = lay_out(text, plan.batch, order, plan.window)
        lanes.resets[0] = True  # an epoch starts from the zero state
        for first in range(0, len(lanes.codes), plan.window):
            yield tuple(array[first : first + plan.window] for array in lanes[:4])


def _batches(text: Corpus, plan: TrainPlan, done: int, chunk: int) -> Iterator[Batch]:
    """Yield the steps behind those already done, `chunk` of them at a time."""
    windows = islice(_windows(text, plan), done, plan.steps)
    while steps := list(islice(windows, chunk)):
        yield Batch(*(jnp.asarray(np.stack(arrays)) for arrays in zip(*steps, strict=True)))


@partial(jax.jit, static_argnames=("optimizer", "devices"), donate_argnums=0)
def _take_steps(state: State, batch: Batch, optimizer: Any, devices: Mesh) -> tuple[State, Array]:
    """Take several gradient steps; lanes are spread over devices, gradients summed."""

    def local(state: State, batch: Batch) -> tuple[State, Array]:
        def one(state: State, batch: Batch) -> tuple[State, Array]:
            total = jax.lax.psum(batch.weights.sum(), "lanes")

            def loss_of(weights: Weights) -> tuple[Array, Carry]:
                table = weights.wx + weights.b
                hidden, last = hidden_scan(table, weights.wh, batch.codes, batch.resets, state.carry)
                losses = losses_of(readout(weights, hidden), batch.targets)
                return (losses * batch.weights).sum() / jnp.maximum(total, 1.0), last

            (loss, carry), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.weights)
            loss, gradient = jax.lax.psum((loss, gradient), "lanes")
            with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
                update, memory = optimizer.update(gradient, state.optimizer, state.weights)
            return State(optax.apply_updates(state.weights, update), memory, carry), loss

        return jax.lax.scan(one, state, batch)

    whole, lanes = State._make([P(), P(), P("lanes")]), Batch(*[P(None, None, "lanes")] * 4)
    spread = jax.shard_map(local, mesh=devices, in_specs=(whole, lanes), out_specs=(whole, P()), check_vma=False)
    return spread(state, batch)


def _look(
    state: State, step: int, losses: list[Any], validation: Corpus | None, plan: TrainPlan, seconds: float
) -> Look:
    train_loss = float(np.concatenate([np.asarray(loss) for loss in losses]).mean()) if losses else math.nan
    validation_loss = train_loss if validation is None else cross_entropy(state.weights, validation)
    return Look(step, step * plan.batch * plan.window, train_loss, validation_loss, seconds)


def _note(plan: TrainPlan, step: int, seconds: float, loss: Array, looks: list[Look], ideal: float | None) -> str:
    words = [f"loss {float(loss[-1]):.3f}"]
    if looks:
        validation = looks[-1].validation_loss
        words.append(f"unseen {validation:.4f}" + (f" ({validation / ideal - 1:.2%} above ideal)" if ideal else ""))
    words.append(f"{step * plan.batch * plan.window / max(seconds, 1e-9):,.0f} characters/s")
    return ", ".join(words)


def _diverged(look: Look, store: Checkpoints) -> str:
    kept = f"; the last finite state is in {store.path}" if store.path else ""
    return (
        f"expected a finite loss, got {look.train_loss} up to step {look.step}{kept}: "
        "lower the learning rate, or clip gradients at a smaller norm"
    )
