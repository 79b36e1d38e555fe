"""Recording: a network reads a corpus, and its states at every character are returned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Float

from dni_jax import processes
from dni_jax.interventions import Bound, Intervention
from dni_jax.models._collect import choose_states, collect_states
from dni_jax.models._lanes import choose_lane_count, make_lanes
from dni_jax.models._population import Population
from dni_jax.models._rollout import Emit, Text, rollout
from dni_jax.models._stored import StoredActivations
from dni_jax.models._storing import record_into
from dni_jax.models._streamed import check_model
from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange import ImportedModel, record_imported
from dni_jax.states import Activations
from dni_jax.text import BOUNDARY, Corpus, check_corpus

_STEPS = 256  # time steps in one call of the compiled program
_LANES = 256  # texts read in parallel
_EMITTED = {"c": "cell", "n": "normalizer", "m": "stabiliser"}  # what a rollout calls the parts of a memory


@overload
def record(
    model: TrainedModel | Population | ImportedModel,
    corpus: Corpus,
    what: Sequence[str] = ...,
    *,
    store: None = None,
    chunk: int | None = None,
    intervention: Intervention | None = None,
    dtype: str = ...,
) -> Activations: ...


@overload
def record(
    model: TrainedModel | Population | ImportedModel,
    corpus: Corpus,
    what: Sequence[str] = ...,
    *,
    store: str | Path,
    chunk: int | None = None,
    intervention: Intervention | None = None,
    dtype: str = ...,
) -> StoredActivations: ...


def record(
    model: Any,
    corpus: Corpus,
    what: Sequence[str] = ("hidden",),
    *,
    store: str | Path | None = None,
    chunk: int | None = None,
    intervention: Intervention | None = None,
    dtype: str = "float32",
) -> Activations | StoredActivations:
    """Run a network over a corpus, and return its states.

    Apart from the result, memory holds the states of 256 texts x 256 characters at a time. With a `store`, the result
    is on disk, and memory holds three chunks. Several processes share the texts, and each gets all states.

    Parameters
    ----------
    model
        The network, or a population of networks: each array then has a leading axis of models.
    corpus
        What it reads; its symbols must be in the network's vocabulary.
    what
        Which of ``"hidden"``, ``"cell"``, ``"gates"``, ``"logits"``; hidden is always kept.
    store
        A folder to write the states to while the network runs, as arrays in Zarr's format, version 3. An interrupted
        one is continued after its last whole chunk, to the same bits; a complete one is not recorded again.
        See `dni_jax.models.open_states`.
    chunk
        With a store, how many characters to read and write at a time, in whole strings; by default 65,536.
    intervention
        What to override at every step; the states are those after it.
    dtype : {"float32", "float16"}
        The type of the result; float16 takes half the memory and keeps three digits.

    Returns
    -------
    Activations over the T characters of the corpus, in the corpus' order; with a store, `StoredActivations`.

    Raises
    ------
    ValueError
        For a symbol outside the network's vocabulary, an intervention that does not fit, ``"cell"`` of a network that
        has none, states that are not finite, a store that holds another recording, or one that several processes would
        write.

    Examples
    --------
    >>> import tempfile
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> dni.record(model, corpus).hidden.shape == (corpus.n_positions, 8)
    True
    >>> stored = dni.record(model, corpus, store=tempfile.mkdtemp() + "/states", dtype="float16")
    >>> stored.hidden[5:7].shape
    (2, 8)
    """
    check_corpus(corpus)
    intervention = None if intervention is None else intervention.on(corpus)
    if isinstance(model, Population):
        if store is not None:
            raise ValueError(
                f"expected one network to record into a store, got a population of {len(model)}: record each "
                "of them into a store of its own"
            )
        each = [record(one, corpus, what, intervention=intervention, dtype=dtype) for one in model]
        return Activations.stack(each, {"seed": model.seeds, "learning_rate": model.learning_rates})
    check_model(model)
    if store is not None:
        if processes.count() > 1:
            raise ValueError(
                f"expected one process to record into a store, got {processes.count()} of them: do it beforehand, in a "
                "process of its own, or leave store= out"
            )
        return record_into(store, model, corpus, what, intervention, dtype, chunk)
    if chunk is not None:
        raise ValueError(f"expected chunk only with a store, got chunk={chunk!r} without one: pass store=path")
    if isinstance(model, ImportedModel):
        return record_imported(model, corpus, what, intervention, dtype)
    result: Any = _collect(model, corpus, choose_states(model, what, dtype), intervention)
    return Activations(groups=corpus.position_groups, gate_names=model.weights.cell_type.gates, **result)


def record_carries(model: TrainedModel, corpus: Corpus) -> tuple[Float[np.ndarray, "T N"], ...]:
    """Run a network over a corpus, and return the whole carried state after each character.

    Returns
    -------
    The parts of the memory, if there is one, in the order of the cell's `memory`; then the hidden state.

    Raises
    ------
    ValueError
        For a symbol outside the network's vocabulary, and states that are not finite.
    """
    memory = [_EMITTED[part] for part in model.weights.cell_type.memory]
    states = _collect(model, corpus, Emit(("hidden", *memory)), None)
    return tuple(states[name] for name in (*memory, "hidden"))


def record_boundary(model: TrainedModel) -> Float[np.ndarray, " N"]:
    """Return the state after the boundary between strings, which is read from the zero state."""
    text = Text(np.full((1, 1), BOUNDARY, np.int32), np.ones((1, 1), bool))
    _, (hidden,) = rollout(model.weights, text, Bound(), Emit(("hidden",)))
    return np.asarray(hidden)[0, 0]


def _collect(
    model: TrainedModel, corpus: Corpus, emit: Emit, intervention: Intervention | None
) -> dict[str, np.ndarray]:
    read = model.encode(corpus)
    lanes = make_lanes(
        read, choose_lane_count(read, _LANES), multiple=_STEPS if read.n_positions > _LANES * _STEPS else 1
    )
    bound = model.bind(intervention, corpus.n_positions)
    return collect_states(model, lanes, bound, emit, _STEPS, corpus.n_positions, shared=True)
