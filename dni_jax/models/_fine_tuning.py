"""Training a network on, while some of its neurons are driven from outside."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from dni_jax.interventions import Bound, Drive, Intervention
from dni_jax.models._lanes import make_lanes
from dni_jax.models._network import zero_carries
from dni_jax.models._rollout import Emit, Text, rollout
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import Weights
from dni_jax.progress import bar
from dni_jax.text import Corpus, check_corpus

_CLIP = 1.0


def fine_tune(
    model: TrainedModel,
    corpus: Corpus,
    intervention: Intervention | None = None,
    *,
    steps: int = 200,
    learning_rate: float = 1e-3,
    batch: int = 32,
    window: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> TrainedModel:
    """Train a network on a text while an intervention acts on it; what it overrides gets no gradient.

    Adam with a learning rate that falls to 0 along a cosine, from the weights as they are.

    Parameters
    ----------
    model
        The network.
    corpus
        Its ``train`` strings are read.
    intervention
        Acts at every step; programs read along. None trains on without one.
    steps, learning_rate, batch, window, seed, progress
        As in `TrainConfig`.

    Returns
    -------
    A network with the new weights and no history.

    Raises
    ------
    ValueError
        For sizes below 1, or an intervention that does not fit.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> dni.models.fine_tune(model, corpus, dni.ablate([3]), steps=2, batch=4, progress=False).n_neurons
    8
    """
    check_corpus(corpus)
    if min(steps, batch, window) < 1 or not learning_rate > 0:
        raise ValueError(
            f"expected steps, batch and window of at least 1 and a learning rate above 0, got {steps}, {batch}, "
            f"{window} and {learning_rate}"
        )
    text = model.encode(corpus.train)
    change = None if intervention is None else intervention.on(text)
    overrides, drives = model.bind(change, text.n_positions)
    optimizer = _optimizer(steps, float(learning_rate))
    weights = jax.device_put(model.weights)
    memory = optimizer.init(weights)
    carries = zero_carries(weights, batch)
    done = 0
    with bar("fine-tuning", steps, progress) as advance:
        for epoch in count():
            order = np.random.default_rng((seed, epoch)).permutation(len(text))
            lanes = make_lanes(text, batch, order, window)
            lanes.resets[0] = True
            flowing = lanes.drives(drives)
            for first in range(0, len(lanes.codes), window):
                rows = slice(first, first + window)
                now = tuple(Drive(*(None if part is None else part[rows] for part in drive)) for drive in flowing)
                read = Text(lanes.codes[rows], lanes.resets[rows], lanes.targets[rows])
                weights, memory, carries, loss = _step(
                    weights, memory, carries, read, lanes.weights[rows], Bound(overrides, now), optimizer
                )
                done += 1
                advance(done, lambda loss=loss: f"loss {float(loss):.3f}")  # type: ignore[misc]
                if done == steps:
                    return _with_weights(model, weights)
    raise AssertionError("unreachable: epochs do not end")


@lru_cache(maxsize=8)
def _optimizer(steps: int, learning_rate: float) -> optax.GradientTransformation:
    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(_CLIP), optax.adam(rate))


@partial(jax.jit, static_argnames="optimizer")
def _step(
    weights: Weights, memory: Any, carries: Any, text: Text, counted: Float[Array, "R B"], bound: Bound, optimizer: Any
) -> tuple[Weights, Any, Any, Float[Array, ""]]:
    def loss_of(weights: Weights) -> tuple[Array, Any]:
        last, (losses,) = rollout(weights, text, bound, Emit(("loss",)), carries)
        return (losses * counted).sum() / jnp.maximum(counted.sum(), 1.0), last

    (loss, last), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
    with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
        update, memory = optimizer.update(gradient, memory, weights)
        weights = optax.apply_updates(weights, update)
    return weights, memory, last, loss


def _with_weights(model: TrainedModel, weights: Weights) -> TrainedModel:
    changed = TrainedModel.from_weights(jax.device_get(weights), model.vocabulary, None, (), model.boundary)
    return replace(changed, config=model.config)
