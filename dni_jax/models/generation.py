"""Texts that a network writes by itself, with or without an override at every step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dni_jax.corpora.vocabulary import BOUNDARY
from dni_jax.interventions import Intervention, Override, apply_overrides
from dni_jax.models.lstm import Carry, Weights, readout, step, zero_carry
from dni_jax.models.trained import TrainedModel


def generate(
    model: TrainedModel,
    n: int = 8,
    length: int = 200,
    seed: int = 0,
    *,
    intervention: Intervention | None = None,
    temperature: float = 1.0,
) -> list[str]:
    """Let a network write.

    Every text begins at a string's start. Where the network ends a string, the text shows the vocabulary's
    ``boundary_text`` (a line break, for languages without one) and goes on with the next string.

    Parameters
    ----------
    model
        The network.
    n, length
        How many texts, and the number of symbols in each.
    seed
        The same seed gives the same texts.
    intervention
        What to override at every step. A signal or states must have `length` rows; all texts share them.
    temperature
        Logits are divided by it; 0 takes the most probable symbol.

    Returns
    -------
    n strings of `length` symbols.

    Raises
    ------
    ValueError
        For sizes below 1, a negative temperature, or an intervention that does not fit.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(20, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> [len(text) for text in dni.generate(model, n=2, length=30, intervention=dni.clamp([3], 1.0))]
    [30, 30]
    """
    if n < 1 or length < 1:
        raise ValueError(f"expected n and length of at least 1, got n={n}, length={length}")
    if not temperature >= 0:
        raise ValueError(f"expected a temperature of at least 0, got {temperature}")
    overrides, drives = ((), ()) if intervention is None else intervention.bind(model.n_neurons, length)
    uniforms = jax.random.uniform(jax.random.key(seed), (length, n))
    codes = _write(model.weights, uniforms, overrides, drives, jnp.float32(temperature))
    return [model.vocabulary.decode(row) for row in np.asarray(codes).T]


@jax.jit
def _write(
    weights: Weights,
    uniforms: Float[Array, "L B"],
    overrides: tuple[Override, ...],
    drives: tuple[Array | None, ...],
    temperature: Float[Array, ""],
) -> Int[Array, "L B"]:
    table = weights.wx + weights.b

    def body(state: tuple[Carry, Array], inputs: Any) -> tuple[tuple[Carry, Array], Array]:
        carry, codes = state
        uniform, now = inputs
        new, _, _ = step(table, weights.wh, carry, codes, codes == BOUNDARY)
        hidden, shown = apply_overrides(overrides, now, new.h)
        logits = readout(weights, shown)
        following = draw(logits, uniform, temperature)
        return (Carry(new.c, hidden), following), following

    lanes = uniforms.shape[1]
    start = (zero_carry(lanes, weights.wh.shape[0]), jnp.full(lanes, BOUNDARY, jnp.int32))
    return jax.lax.scan(body, start, (uniforms, drives))[1]


def draw(logits: Float[Array, "B V"], uniform: Float[Array, " B"], temperature: Float[Array, ""]) -> Int[Array, " B"]:
    """Draw a symbol by inverting the cumulative distribution at one uniform number."""
    scaled = logits / jnp.where(temperature > 0, temperature, 1.0)
    running = jnp.cumsum(jax.nn.softmax(scaled, axis=-1), axis=-1)
    drawn = (running < (uniform * running[:, -1])[:, None]).sum(axis=-1, dtype=jnp.int32)
    drawn = jnp.minimum(drawn, logits.shape[-1] - 1)
    return jnp.where(temperature > 0, drawn, jnp.argmax(logits, axis=-1).astype(jnp.int32))
