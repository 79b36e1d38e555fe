"""One rollout under recording, prediction and generation: a network steps through symbols, and some of it is kept.

Training and the plain loss do not use it: `network_scan` reads a whole layer at once and has a gradient written out,
which takes a third of the time where neither overrides nor the states of single steps are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Integer

from dni_jax.devices import is_accelerated, map_models
from dni_jax.interventions import Bound
from dni_jax.models._layers import UNROLL
from dni_jax.models._network import (
    Carries,
    all_hidden,
    compute_logits,
    compute_losses,
    input_table,
    network_step,
    zero_carries,
)
from dni_jax.models._weights import Weights
from dni_jax.text import BOUNDARY

SETS_AT_ONCE = 64  # sets of overrides that an accelerator works on in parallel
_SETS, _LANES, _REPLICATED = P("models"), P(None, "lanes"), P()


class Text(NamedTuple):
    """Text to read, split into lanes, time first.

    Override drives have the shape ``(n, B, ...)`` and are shared by all sets.

    Attributes
    ----------
    codes
        int32 ``(n, B)``: the symbol read.
    resets
        bool ``(n, B)``: True where a string starts from the zero state.
    targets
        int32 ``(n, B)``: the symbol to predict; None if no loss is computed.
    """

    codes: Any
    resets: Any
    targets: Any = None

    @property
    def drives_follow_lanes(self) -> bool:
        """True: drives have one column per lane, and all sets share them."""
        return True

    @property
    def n_lanes(self) -> int:
        """The number of lanes B."""
        return int(self.codes.shape[1])

    @classmethod
    def specs(cls) -> Any:
        """Return how its arrays are spread over a mesh: all by lanes."""
        return _LANES

    def rows(self) -> Text:
        """Return what is known of every step beforehand: all of it."""
        return self

    def first(self) -> None:
        """Return nothing: the text does not depend on what the network does."""

    def read(self, row: Text, state: None) -> tuple[Array, Array]:
        """Return the symbols of a step, and which lanes start from the zero state."""
        return row.codes, row.resets

    def advance(self, row: Text, logits: Array) -> tuple[None, Array | None]:
        """Return the symbols that follow in the text."""
        return None, row.targets


class Samples(NamedTuple):
    """Symbols that the network draws itself.

    Override drives have the shape ``(M, n, ...)``: each set has its own, shared by all lanes.

    Attributes
    ----------
    uniforms
        float32 ``(n, B)``: random numbers between 0 and 1, one per symbol.
    forced
        int32 ``(n,)``: symbols that are prescribed instead of drawn; -1 where one is drawn.
    start
        int32: the symbol read first.
    temperature
        float32: logits are divided by it; 0 takes the most probable symbol.
    """

    uniforms: Any
    forced: Any
    start: Any
    temperature: Any

    @property
    def drives_follow_lanes(self) -> bool:
        """False: each set has its own drives, shared by all lanes."""
        return False

    @property
    def n_lanes(self) -> int:
        """The number of lanes B."""
        return int(self.uniforms.shape[1])

    @classmethod
    def specs(cls) -> Any:
        """Return how its arrays are spread over a mesh: random numbers by lanes."""
        return cls(_LANES, _REPLICATED, _REPLICATED, _REPLICATED)

    def rows(self) -> tuple[Array, Array]:
        """Return the random number and the forced symbol of every step."""
        return self.uniforms, self.forced

    def first(self) -> Int[Array, " B"]:
        """Return the symbol that every lane begins with."""
        return jnp.full(self.n_lanes, self.start, jnp.int32)

    def read(self, row: Any, state: Array) -> tuple[Array, Array]:
        """Return the symbols drawn last; a boundary starts the next string from the zero state."""
        return state, state == BOUNDARY

    def advance(self, row: tuple[Array, Array], logits: Array) -> tuple[Array, Array]:
        """Draw the next symbols."""
        uniform, forced = row
        following = jnp.where(forced >= 0, forced, draw(logits, uniform, self.temperature))
        return following, following


Source = Text | Samples


class Step(NamedTuple):
    """What one step computes; XLA drops what is not emitted."""

    carries: Carries  # which the prediction is read from
    gates: list[tuple[Array, ...]]
    logits: Float[Array, "B V"]
    following: Int[Array, " B"] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Emit:
    """What is kept of every step.

    Attributes
    ----------
    names
        Among ``"hidden"`` ``(B, N)``, ``"cell"`` ``(B, N)``, ``"gates"`` ``(B, g, N)`` and ``"logits"`` ``(B, V)``;
        of a memory with three parts, ``"normalizer"`` and ``"stabiliser"`` ``(B, N)``;
        ``"loss"`` ``(B,)``, of the symbol that follows; ``"best"`` ``(B,)``, the code of the most probable symbol;
        ``"class_probability"`` ``(B, X)``; ``"best_type"`` ``(B,)``, the type with the largest total probability;
        ``"best_of_type"`` ``(B,)``, whether the symbol that follows is the most probable one of its type;
        ``"distance"`` ``(B,)``; ``"symbols"`` ``(B,)``, those that follow.
    dtype
        Of states and logits.
    classes
        float32 ``(V, X)`` of 0 and 1: which symbols belong to each of X classes; for class probabilities.
    types
        The same for types, of which every symbol has one.
    gaussian
        A `StateGaussian` that distances are measured from.
    """

    names: tuple[str, ...] = field(metadata={"static": True})
    dtype: str = field(default="float32", metadata={"static": True})
    classes: Any = None
    types: Any = None
    gaussian: Any = None

    def __call__(self, step: Step) -> tuple[Array, ...]:
        """Return what is kept of one step, in the order of `names`."""
        return tuple(_EMITTERS[name](step, self) for name in self.names)


def _best(values: Float[Array, "B n"]) -> Integer[Array, " B"]:
    return jnp.argmax(values, axis=-1).astype(jnp.uint8 if values.shape[-1] <= 256 else jnp.int32)


def _is_best_of_type(step: Step, types: Float[Array, "V Y"]) -> Bool[Array, " B"]:
    alike = (types[step.following] @ types.T) > 0
    best = jnp.argmax(jnp.where(alike, step.logits, -jnp.inf), axis=-1)
    return jnp.equal(best, jnp.asarray(step.following))


def _memory(step: Step, part: int) -> Float[Array, "B N"]:
    """Return one part of the memory, of all layers."""
    return jnp.concatenate([jax.tree.leaves(carry.c)[part] for carry in step.carries], axis=-1)


_EMITTERS: dict[str, Callable[[Step, Emit], Array]] = {
    "hidden": lambda step, emit: all_hidden(step.carries).astype(emit.dtype),
    "cell": lambda step, emit: _memory(step, 0).astype(emit.dtype),
    "normalizer": lambda step, emit: _memory(step, 1).astype(emit.dtype),
    "stabiliser": lambda step, emit: _memory(step, 2).astype(emit.dtype),
    "gates": lambda step, emit: jnp.concatenate([jnp.stack(each, axis=1) for each in step.gates], axis=-1).astype(
        emit.dtype
    ),
    "logits": lambda step, emit: step.logits.astype(emit.dtype),
    "loss": lambda step, emit: compute_losses(step.logits, step.following),  # type: ignore[arg-type]
    "best": lambda step, emit: _best(step.logits),
    "best_type": lambda step, emit: _best(jax.nn.softmax(step.logits) @ emit.types),
    "best_of_type": lambda step, emit: _is_best_of_type(step, emit.types),
    "class_probability": lambda step, emit: (jax.nn.softmax(step.logits) @ emit.classes).astype(jnp.float16),
    "distance": lambda step, emit: emit.gaussian.distance(all_hidden(step.carries)),
    "symbols": lambda step, emit: step.following,  # type: ignore[dict-item, return-value]
}


def rollout(
    weights: Weights, source: Source, overrides: Bound, emit: Emit, carries: Carries | None = None, unroll: int = 1
) -> tuple[Carries, tuple[Array, ...]]:
    """Step a network through the symbols of a source, under overrides, and keep the requested values.

    Parameters
    ----------
    weights
        The network.
    source
        `Text`, or the network's own `Samples`.
    overrides
        From `Intervention.bind`; the first axis of its drives is time.
    emit
        What is kept of every step.
    carries
        The state before the first step; None is the zero state.
    unroll
        Steps in one trip of the loop; a trip takes launches of its own on an accelerator.

    Returns
    -------
    The state after the last step, and an array for each of ``emit.names`` whose first axis is time.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.models.TrainedModel.init(corpus.vocabulary, dni.models.TrainConfig(hidden=8))
    >>> codes = jnp.asarray([[0, 0], [1, 2], [3, 1]])  # three steps of two lanes
    >>> text = Text(codes, codes == 0)
    >>> _, (hidden, best) = rollout(model.weights, text, Bound(), Emit(("hidden", "best")))
    >>> hidden.shape, best.shape
    ((3, 2, 8), (3, 2))
    """
    table = input_table(weights)

    def body(state: tuple[Carries, Any], inputs: tuple[Any, Any]) -> tuple[tuple[Carries, Any], tuple[Array, ...]]:
        old, going = state
        row, drives = inputs
        codes, resets = source.read(row, going)
        new, shown, gates = network_step(weights, table, old, codes, resets, overrides.overrides, drives)
        logits = compute_logits(weights, shown[-1].h)
        going, following = source.advance(row, logits)
        return (new, going), emit(Step(shown, gates, logits, following))

    start = zero_carries(weights, source.n_lanes) if carries is None else carries
    steps = (source.rows(), overrides.drives)
    (last, _), kept = jax.lax.scan(body, (start, source.first()), steps, unroll=unroll)
    return last, kept


@partial(jax.jit, static_argnames=("n_sets", "devices"))
def rollout_sets(
    weights: Weights, source: Source, overrides: Bound, emit: Emit, carries: Any, n_sets: int, devices: Mesh
) -> tuple[Carries, tuple[Array, ...]]:
    """Run a rollout under each of M sets of overrides, spread over devices.

    Parameters
    ----------
    weights, source, emit
        See `rollout`.
    overrides
        The overrides' arrays have a leading axis of M sets; drives are as the source says.
    carries
        None, or arrays with a leading axis of M.
    n_sets
        M.
    devices
        A mesh with the axes ``models``, over which sets are spread, and ``lanes``.

    Returns
    -------
    As `rollout`, each array with a leading axis of M.
    """
    by_lane = source.drives_follow_lanes

    def local(weights: Weights, source: Source, which: Array, overrides: Bound, emit: Emit, carries: Any) -> Any:
        def one(number: Array, edits: Any, drives: Any, carries: Any) -> Any:
            bound = Bound(edits, overrides.drives if by_lane else drives)
            return rollout(weights, source, bound, emit, carries, UNROLL if is_accelerated(devices) else 1)

        of_sets = (which, overrides.overrides, None if by_lane else overrides.drives, carries)
        if len(which) > 1:
            return map_models(one, devices, SETS_AT_ONCE)(*of_sets)
        only = one(*jax.tree.map(lambda array: array[0], of_sets))
        return jax.tree.map(lambda array: array[None], only)

    drives = _LANES if by_lane else _SETS
    carried, kept = P("models", "lanes"), P("models", None, "lanes")
    spread = jax.shard_map(
        local,
        mesh=devices,
        in_specs=(_REPLICATED, source.specs(), _SETS, Bound(_SETS, drives), _REPLICATED, carried),  # type: ignore[arg-type]
        out_specs=(carried, kept),
        check_vma=False,
    )
    return spread(weights, source, jnp.arange(n_sets), overrides, emit, carries)


def draw(logits: Float[Array, "B V"], uniform: Float[Array, " B"], temperature: Float[Array, ""]) -> Int[Array, " B"]:
    """Draw a symbol by inverting the cumulative distribution at one uniform number."""
    n_symbols, greedy = logits.shape[-1], temperature == 0
    # So cold, the most probable symbol is left alone, or several that are equal. The largest logit is subtracted before
    # the division: afterwards, a compiled program that divides in two places may round it to two different numbers.
    chances = jnp.exp((logits - logits.max(axis=-1, keepdims=True)) / jnp.where(greedy, 1e-20, temperature))
    # A product sums over all symbols up to each in one kernel, where a running sum takes several.
    running = jnp.matmul(chances, jnp.tri(n_symbols).T, precision=jax.lax.Precision.HIGHEST)
    level = jnp.where(greedy, 1e-9, uniform * running[:, -1])
    # In float32, the sum before the last may be larger than the last, which would draw no symbol.
    return jnp.minimum((running < level[:, None]).sum(axis=-1, dtype=jnp.int32), n_symbols - 1)
