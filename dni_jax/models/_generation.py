"""Texts sampled from a network, with or without an override at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from dni_jax.devices import make_grid, make_mesh
from dni_jax.interventions import Bound, Intervention
from dni_jax.models._online import write_along
from dni_jax.models._rollout import Emit, Samples, rollout_sets
from dni_jax.models._streamed import check_model
from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange import ImportedModel, write_texts
from dni_jax.text import BOUNDARY


def generate(
    model: TrainedModel | ImportedModel,
    n: int = 8,
    length: int = 200,
    seed: int = 0,
    *,
    intervention: Intervention | None = None,
    temperature: float = 1.0,
    prime: str = "",
) -> list[str]:
    """Sample texts from a network.

    Every text begins at a string's start, with `prime`. Where the network ends a string, the text shows the
    vocabulary's ``boundary_text`` (a line break, for languages without one) and continues with the next string.

    Parameters
    ----------
    model
        The network. An imported one reads its text again for each symbol, as its readout may depend on all of it:
        ``length`` squared in time. It must read from left to right and predict the next symbol. Its strings end with a
        line break, symbols that ``split`` has cut are joined by spaces, and a code without a text is ``□``. If nothing
        begins its strings, a text ends with the first one.
    n, length
        How many texts, and the number of symbols in each.
    seed
        The same seed returns the same texts.
    intervention
        What to override at every step. A signal or states must have a row for each symbol of the text (but the first,
        for a network of our own without a boundary); all texts share them. Programs (`dni_jax.interventions.follow`)
        read each text as it is written.
    temperature
        Logits are divided by it; 0 takes the most probable symbol.
    prime
        What every text begins with; required for a network without a boundary between strings.

    Returns
    -------
    n strings: `prime`, and `length` symbols after it.

    Raises
    ------
    ValueError
        For sizes below 1, a negative temperature, symbols of `prime` outside the vocabulary, or an
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
    model: TrainedModel | ImportedModel,
    interventions: Sequence[Intervention | None],
    n: int = 8,
    length: int = 200,
    seed: int = 0,
    *,
    temperature: float = 1.0,
    prime: str = "",
) -> list[list[str]]:
    """Sample texts from a network under each of many interventions, with the same random numbers.

    Interventions that differ only in neurons and values, such as hundreds of random sets of neurons, go through one
    program.

    Parameters
    ----------
    model, n, length, seed, temperature, prime
        See `generate`.
    interventions
        One or more; None leaves the network as it is.

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
    if isinstance(model, ImportedModel):
        uniforms = np.asarray(jax.random.uniform(jax.random.key(seed), (length, n)), np.float64)
        return [write_texts(model, one, uniforms, temperature, prime) for one in interventions]
    check_model(model)
    begins = _begin(model, prime)
    n_steps = len(begins) - 1 + length
    uniforms = np.asarray(jax.random.uniform(jax.random.key(seed), (n_steps, n)))
    uniforms = np.pad(uniforms, ((0, 0), (0, -n % make_mesh("lanes").size)))
    forced = np.full(n_steps, -1, np.int32)
    forced[: len(begins) - 1] = begins[1:]
    source = Samples(uniforms, forced, begins[0], jnp.float32(temperature))
    follows = [one is not None and bool(one.programs) for one in interventions]
    if any(follows):
        each = iter(write_along(model, [one for one in interventions if one and one.programs], source))
        rest = [one for one, online in zip(interventions, follows, strict=True) if not online]
        settings = {"temperature": temperature, "prime": prime}
        others = iter(generate_each(model, rest, n, length, seed, **settings) if rest else [])  # type: ignore[arg-type]
        return [_decode(model, next(each)[:, :n], begins) if online else next(others) for online in follows]
    bound = [model.bind(one, n_steps) for one in interventions]
    kinds = [_kind(one) for one in bound]
    texts: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        members = [place for place, each in enumerate(kinds) if each == kind]
        together = jax.tree.map(lambda *each: np.stack(each), *(bound[place] for place in members))
        devices = make_grid(len(members), source.n_lanes)
        _, (codes,) = rollout_sets(model.weights, source, together, Emit(("symbols",)), None, len(members), devices)
        for place, sampled in zip(members, np.asarray(codes)[:, :, :n], strict=True):
            texts[place] = _decode(model, sampled, begins)
    return [texts[place] for place in range(len(bound))]


def _decode(model: TrainedModel, sampled: Int[np.ndarray, "t n"], begins: Int[np.ndarray, " P"]) -> list[str]:
    whole = sampled if model.boundary else np.concatenate([np.full((1, sampled.shape[1]), begins[0]), sampled])
    return [model.vocabulary.decode(row) for row in whole.T]


def _kind(bound: Bound) -> tuple[Any, ...]:
    """Return what interventions must have in common to go through one program: their structure and their shapes."""
    leaves, structure = jax.tree.flatten(bound)
    return (structure, *(np.shape(leaf) for leaf in leaves))


def _begin(model: TrainedModel, prime: str) -> Int[np.ndarray, " P"]:
    """Return the symbols that every text begins with: the boundary, where the network has one, and `prime`."""
    codes = model.vocabulary.encode(prime) if prime else np.zeros(0, np.int32)
    if model.boundary:
        return np.concatenate([[BOUNDARY], codes]).astype(np.int32)
    if not prime:
        raise ValueError("expected prime= for a network without a boundary between strings, got none")
    return codes
