"""The states of a network at every character of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dni_jax.corpora import Corpus
from dni_jax.interventions import Intervention, Override, apply_overrides
from dni_jax.models.activations import Activations
from dni_jax.models.evaluation import at_positions
from dni_jax.models.lanes import Lanes, lane_count, lay_out
from dni_jax.models.lstm import Carry, Weights, step, zero_carry
from dni_jax.models.trained import TrainedModel

KINDS = ("hidden", "cell", "gates")
_STEPS = 256  # time steps in one call of the compiled program


def record(
    model: TrainedModel,
    corpus: Corpus,
    what: Sequence[str] = ("hidden",),
    *,
    intervention: Intervention | None = None,
) -> Activations:
    """Run a network over a corpus and keep its states.

    Parameters
    ----------
    model
        The network.
    corpus
        What it reads; its symbols must be in the network's vocabulary.
    what
        Which of ``"hidden"``, ``"cell"``, ``"gates"``; hidden is always kept.
    intervention
        What to override at every step; the states are those after it.

    Returns
    -------
    Activations over the T characters of the corpus, in the corpus' order.

    Raises
    ------
    ValueError
        For a symbol the network does not know, or an intervention that does not fit.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(20, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> dni.record(model, corpus).hidden.shape == (corpus.n_positions, 8)
    True
    """
    unknown = set(what) - set(KINDS)
    if unknown:
        raise ValueError(f"expected what to record among {KINDS}, got {sorted(unknown)}")
    corpus = as_read_by(model, corpus)
    lanes = lay_out(corpus, lane_count(corpus, 256), multiple=_STEPS if corpus.n_positions > 256 * _STEPS else 1)
    overrides, drives = ((), ()) if intervention is None else intervention.bind(model.n_neurons, corpus.n_positions)
    laid = tuple(None if drive is None else _drive(drive, lanes) for drive in drives)
    kept = {name: _empty(name, corpus.n_positions, model.n_neurons) for name in dict.fromkeys(("hidden", *what))}
    carry = zero_carry(lanes.codes.shape[1], model.n_neurons)
    length = len(lanes.codes)
    size = _STEPS if length % _STEPS == 0 else length
    for first in range(0, length, size):
        part = slice(first, first + size)
        now = tuple(None if drive is None else drive[part] for drive in laid)
        carry, states = _run(model.weights, carry, lanes.codes[part], lanes.resets[part], overrides, now, tuple(kept))
        positions = lanes.positions[part]
        for name, values in zip(kept, states, strict=True):
            kept[name][positions[positions >= 0]] = np.asarray(values)[positions >= 0]
    return Activations(groups=corpus.position_groups, **kept)


def as_read_by(model: TrainedModel, corpus: Corpus) -> Corpus:
    """Give the corpus in the network's own codes."""
    if corpus.vocabulary == model.vocabulary:
        return corpus
    from dataclasses import replace

    recoded = replace(corpus, vocabulary=model.vocabulary)
    _ = recoded.flat_codes
    return recoded


def _drive(drive: np.ndarray, lanes: Lanes) -> np.ndarray:
    laid = at_positions(drive, lanes)
    return laid[..., None] if drive.ndim == 1 else laid


def _empty(name: str, n_positions: int, n_neurons: int) -> np.ndarray:
    return np.zeros((n_positions, 4, n_neurons) if name == "gates" else (n_positions, n_neurons), np.float32)


@jax.jit(static_argnames="what")
def _run(
    weights: Weights,
    carry: Carry,
    codes: Array,
    resets: Array,
    overrides: tuple[Override, ...],
    drives: tuple[Array | None, ...],
    what: tuple[str, ...],
) -> tuple[Carry, list[Array]]:
    table = weights.wx + weights.b

    def body(state: Carry, inputs: Any) -> tuple[Carry, list[Array]]:
        codes, resets, now = inputs
        new, gates, _ = step(table, weights.wh, state, codes, resets)
        hidden, shown = apply_overrides(overrides, now, new.h)
        states = {"hidden": shown, "cell": new.c, "gates": jnp.stack(gates, axis=1)}
        return Carry(new.c, hidden), [states[name] for name in what]

    return jax.lax.scan(body, carry, (codes, resets, drives))
