"""Texts that a network writes by itself, with or without an override at every step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from dni_jax.devices import make_grid, make_mesh, map_models
from dni_jax.interventions import Drive, Intervention, Override
from dni_jax.models._network import Carries, compute_logits, input_table, network_step, zero_carries
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import Weights
from dni_jax.text import BOUNDARY

_SETS_AT_ONCE = 64  # interventions that an accelerator writes under in parallel


def generate(
    model: TrainedModel,
    n: int = 8,
    length: int = 200,
    seed: int = 0,
    *,
    intervention: Intervention | None = None,
    temperature: float = 1.0,
    prime: str = "",
) -> list[str]:
    """Let a network write.

    Every text begins at a string's start, with `prime`. Where the network ends a string, the text shows the
    vocabulary's ``boundary_text`` (a line break, for languages without one) and goes on with the next string.

    Parameters
    ----------
    model
        The network.
    n, length
        How many texts, and the number of symbols in each.
    seed
        The same seed gives the same texts.
    intervention
        What to override at every step. A signal or states must have a row for each symbol of the text (but the first,
        for a network without a boundary); all texts share them.
    temperature
        Logits are divided by it; 0 takes the most probable symbol.
    prime
        What every text begins with. A network that knows no boundary between strings cannot begin without.

    Returns
    -------
    n strings: `prime`, and `length` symbols behind it.

    Raises
    ------
    ValueError
        For sizes below 1, a negative temperature, symbols of `prime` that the network does not know, or an
        intervention that does not fit.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> [len(text) for text in dni.generate(model, n=2, length=30, intervention=dni.clamp([3], 1.0))]
    [30, 30]
    """
    settings = {"temperature": temperature, "prime": prime}
    return generate_each(model, [intervention], n, length, seed, **settings)[0]  # type: ignore[arg-type]


def generate_each(
    model: TrainedModel,
    interventions: Sequence[Intervention | None],
    n: int = 8,
    length: int = 200,
    seed: int = 0,
    *,
    temperature: float = 1.0,
    prime: str = "",
) -> list[list[str]]:
    """Let a network write under each of many interventions, from the same random numbers.

    Interventions that are alike but for neurons and values (as hundreds of random sets of neurons are) go through one
    program.

    Parameters
    ----------
    model, n, length, seed, temperature, prime
        See `generate`.
    interventions
        One or more; None leaves the network alone.

    Returns
    -------
    For each intervention its n strings.

    Raises
    ------
    ValueError
        See `generate`.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> held = [dni.clamp([neuron], 1.0) for neuron in range(8)]
    >>> len(dni.models.generate_each(model, [None, *held], n=2, length=30))
    9
    """
    if n < 1 or length < 1:
        raise ValueError(f"expected n and length of at least 1, got n={n}, length={length}")
    if not temperature >= 0:
        raise ValueError(f"expected a temperature of at least 0, got {temperature}")
    given = _given(model, prime)
    n_steps = len(given) - 1 + length
    uniforms = np.asarray(jax.random.uniform(jax.random.key(seed), (n_steps, n)))
    uniforms = np.pad(uniforms, ((0, 0), (0, -n % make_mesh("lanes").size)))
    forced = np.full(n_steps, -1, np.int32)
    forced[: len(given) - 1] = given[1:]
    bound = [((), ()) if one is None else one.bind(model.n_neurons, n_steps, model.parts) for one in interventions]
    kinds: list[Any] = [jax.tree.structure(one) for one in bound]
    texts: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        members = [place for place, own in enumerate(kinds) if own == kind]
        overrides, drives = jax.tree.map(lambda *each: jnp.stack(each), *(bound[place] for place in members))
        codes = _write(
            model.weights,
            uniforms,
            forced,
            given[0],
            overrides,
            drives,
            jnp.float32(temperature),
            len(members),
            make_grid(len(members), uniforms.shape[1]),
        )
        for place, written in zip(members, np.asarray(codes)[:, :, :n], strict=True):
            whole = written if model.boundary else np.concatenate([np.full((1, n), given[0]), written])
            texts[place] = [model.vocabulary.decode(row) for row in whole.T]
    return [texts[place] for place in range(len(bound))]


def _given(model: TrainedModel, prime: str) -> Int[np.ndarray, " P"]:
    """The symbols that every text begins with: the boundary, where the network knows one, and `prime`."""
    codes = model.vocabulary.encode(prime) if prime else np.zeros(0, np.int32)
    if model.boundary:
        return np.concatenate([[BOUNDARY], codes]).astype(np.int32)
    if not prime:
        raise ValueError("expected prime= for a network that knows no boundary between strings, got none")
    return codes


@partial(jax.jit, static_argnames=("n_sets", "devices"))
def _write(
    weights: Weights,
    uniforms: Float[Array, "L B"],
    forced: Int[Array, " L"],
    first: Int[Array, ""],
    overrides: tuple[Override, ...],
    drives: tuple[Drive, ...],
    temperature: Float[Array, ""],
    n_sets: int,
    devices: Mesh,
) -> Int[Array, "M L B"]:
    """Write L symbols in B lanes under each of M sets of overrides, whose arrays have a leading axis of M."""

    def local(weights: Weights, uniforms: Array, which: Array, overrides: Any, drives: Any) -> Array:
        table, lanes = input_table(weights), uniforms.shape[1]

        def one(number: Array, overrides: tuple[Override, ...], drives: tuple[Drive, ...]) -> Array:
            def body(state: tuple[Carries, Array], inputs: Any) -> tuple[tuple[Carries, Array], Array]:
                carries, codes = state
                uniform, given, now = inputs
                new, shown, _ = network_step(weights, table, carries, codes, codes == BOUNDARY, overrides, now)
                drawn = draw(compute_logits(weights, shown[-1].h), uniform, temperature)
                following = jnp.where(given >= 0, given, drawn)
                return (new, following), following

            start = (zero_carries(weights, lanes), jnp.full(lanes, first, jnp.int32))
            return jax.lax.scan(body, start, (uniforms, forced, drives))[1]

        return map_models(one, _SETS_AT_ONCE)(which, overrides, drives)

    lanes, sets = P(None, "lanes"), P("models")
    spread = jax.shard_map(
        local,
        mesh=devices,
        in_specs=(P(), lanes, sets, sets, sets),
        out_specs=P("models", None, "lanes"),
        check_vma=False,
    )
    return spread(weights, uniforms, jnp.arange(n_sets), overrides, drives)


def draw(logits: Float[Array, "B V"], uniform: Float[Array, " B"], temperature: Float[Array, ""]) -> Int[Array, " B"]:
    """Draw a symbol by inverting the cumulative distribution at one uniform number."""
    scaled = logits / jnp.where(temperature > 0, temperature, 1.0)
    running = jnp.cumsum(jax.nn.softmax(scaled, axis=-1), axis=-1)
    drawn = (running < (uniform * running[:, -1])[:, None]).sum(axis=-1, dtype=jnp.int32)
    drawn = jnp.minimum(drawn, logits.shape[-1] - 1)
    return jnp.where(temperature > 0, drawn, jnp.argmax(logits, axis=-1).astype(jnp.int32))
