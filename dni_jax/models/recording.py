"""Recording: a network reads a corpus, and its states at every character are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from dni_jax.corpora import Corpus
from dni_jax.devices import grid
from dni_jax.interventions import Drive, Intervention, Override
from dni_jax.models.activations import Activations
from dni_jax.models.evaluation import laid_out
from dni_jax.models.lanes import Lanes, lane_count, lay_out
from dni_jax.models.network import Carries, all_hidden, network_step, readout, table_of, zero_carries
from dni_jax.models.population import Population
from dni_jax.models.shared import own_lanes, states_of_all
from dni_jax.models.trained import TrainedModel
from dni_jax.models.weights import Weights

KINDS = ("hidden", "cell", "gates", "logits")
_STEPS = 256  # time steps in one call of the compiled program
_LANES = 256  # texts read side by side


def record(
    model: TrainedModel | Population,
    corpus: Corpus,
    what: Sequence[str] = ("hidden",),
    *,
    intervention: Intervention | None = None,
    dtype: str = "float32",
) -> Activations:
    """Let a network read a corpus, and keep its states.

    Beside the result, memory holds the states of 256 texts x 256 characters at a time. Several processes share the
    texts, and each gets all states.

    Parameters
    ----------
    model
        The network, or a population of networks: each array then has a leading axis of models.
    corpus
        What it reads; its symbols must be in the network's vocabulary.
    what
        Which of ``"hidden"``, ``"cell"``, ``"gates"``, ``"logits"``; hidden is always kept.
    intervention
        What to override at every step; the states are those after it.
    dtype : {"float32", "float16"}
        What states are kept in; float16 takes half the memory and keeps three digits.

    Returns
    -------
    Activations over the T characters of the corpus, in the corpus' order.

    Raises
    ------
    ValueError
        For a symbol the network does not know, an intervention that does not fit, a cell asked of a network that has
        none, or states that are not finite.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> dni.record(model, corpus).hidden.shape == (corpus.n_positions, 8)
    True
    """
    if isinstance(model, Population):
        each = [record(one, corpus, what, intervention=intervention, dtype=dtype) for one in model]
        return Activations.stacked(each, {"seed": model.seeds, "learning_rate": model.learning_rates})
    asked = _asked(model, what, dtype)
    read = model.reading(corpus)
    lanes = lay_out(read, lane_count(read, _LANES), multiple=_STEPS if read.n_positions > _LANES * _STEPS else 1)
    kept: dict[str, np.ndarray] = {}
    for positions, states in _parts(model, own_lanes(lanes), intervention, asked, dtype, corpus.n_positions):
        for name, values in zip(asked, states, strict=True):
            if name not in kept:  # one row more than there are characters takes what belongs to none
                kept[name] = np.empty((corpus.n_positions + 1, *values.shape[2:]), values.dtype)
            for shard in values.addressable_shards:  # each as it lies in its device's memory, not joined first
                rows = np.asarray(shard.data)
                kept[name][positions[shard.index[:2]].reshape(-1)] = rows.reshape(-1, *rows.shape[2:])
    result = states_of_all({name: array[:-1] for name, array in kept.items()}, lanes)
    if not np.isfinite(result["hidden"]).all():
        raise ValueError(
            "expected finite states, got NaN or infinity: the network's weights, or the values of the intervention, "
            "are not finite or too large"
        )
    groups, gates = corpus.position_groups, model.weights.kind.gates
    return Activations(groups=groups, gate_names=gates, **result)  # type: ignore[arg-type]


def _asked(model: TrainedModel, what: Sequence[str], dtype: str) -> tuple[str, ...]:
    unknown = set(what) - set(KINDS)
    if unknown:
        raise ValueError(f"expected what to record among {KINDS}, got {sorted(unknown)}")
    if "cell" in what and not model.weights.kind.remembers:
        raise ValueError(f"expected 'cell' of an LSTM only, got it with a network of kind {model.weights.cell!r}")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"expected dtype 'float32' or 'float16', got {dtype!r}")
    return tuple(dict.fromkeys(("hidden", *what)))


def _parts(
    model: TrainedModel,
    lanes: Lanes,
    intervention: Intervention | None,
    what: tuple[str, ...],
    dtype: str,
    n_positions: int,
) -> Iterator[tuple[np.ndarray, list[Array]]]:
    """Yield the states of some steps of all lanes, and their positions; the next ones are computed meanwhile."""
    overrides, drives = (
        ((), ()) if intervention is None else intervention.bind(model.n_neurons, n_positions, model.parts)
    )
    laid = tuple(laid_out(drive, lanes) for drive in drives)
    length, n_lanes = lanes.codes.shape
    weights, devices = model.weights, grid(1, n_lanes)
    carries = zero_carries(weights, n_lanes)
    size = _STEPS if length % _STEPS == 0 else length
    ready: tuple[np.ndarray, list[Array]] | None = None
    for first in range(0, length, size):
        part = slice(first, first + size)
        now = jax.tree.map(lambda rows, part=part: rows[part], laid)
        carries, states = _run(
            weights, carries, lanes.codes[part], lanes.resets[part], overrides, now, what, dtype, devices
        )
        if ready is not None:
            yield ready
        ready = lanes.positions[part], states
    if ready is not None:
        yield ready


@partial(jax.jit, static_argnames=("what", "dtype", "devices"))
def _run(
    weights: Weights,
    carries: Carries,
    codes: Array,
    resets: Array,
    overrides: tuple[Override, ...],
    drives: tuple[Drive, ...],
    what: tuple[str, ...],
    dtype: str,
    devices: Mesh,
) -> tuple[Carries, list[Array]]:
    def local(
        weights: Weights, carries: Carries, codes: Array, resets: Array, overrides: Any, drives: Any
    ) -> tuple[Carries, list[Array]]:
        table = table_of(weights)

        def body(old: Carries, inputs: Any) -> tuple[Carries, list[Array]]:
            codes, resets, now = inputs
            new, shown, gates = network_step(weights, table, old, codes, resets, overrides, now)
            states = {
                "hidden": lambda: all_hidden(shown),
                "cell": lambda: jnp.concatenate([carry.c for carry in shown], axis=-1),
                "gates": lambda: jnp.concatenate([jnp.stack(each, axis=1) for each in gates], axis=-1),
                "logits": lambda: readout(weights, shown[-1].h),
            }
            return new, [states[name]().astype(dtype) for name in what]

        return jax.lax.scan(body, carries, (codes, resets, drives))

    across, text = P("lanes"), P(None, "lanes")
    spread = jax.shard_map(
        local, mesh=devices, in_specs=(P(), across, text, text, P(), text), out_specs=(across, text), check_vma=False
    )
    return spread(weights, carries, codes, resets, overrides, drives)
