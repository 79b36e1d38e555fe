"""Texts that a network writes while programs read them, and say what some of its neurons do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dni_jax.interventions import Drive, Edit, Intervention, Override
from dni_jax.models._network import compute_logits, input_table, network_step, zero_carries
from dni_jax.models._rollout import Samples, draw
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import Weights
from dni_jax.programs import ReadError, Readers
from dni_jax.text import BOUNDARY


class _Line(NamedTuple):
    """One override of each of M sets, and the line along which a program drives it, if one does.

    Attributes
    ----------
    override
        Arrays ``(M, N)``.
    slopes
        float32 ``(M, N, d + 1)``, 0 for neurons that are not overridden; None without a program.
    drive
        From `Intervention.bind`, arrays ``(M, n_steps, ...)``; without a program.
    """

    override: Override
    slopes: Any
    drive: Drive


def write_along(
    model: TrainedModel, interventions: Sequence[Intervention], source: Samples
) -> Iterator[Int[np.ndarray, "t B"]]:
    """Write texts under each of some interventions, step by step, with their programs running along.

    Each intervention has at least one program; those of one structure go through one program of JAX.

    Parameters
    ----------
    model
        The network.
    interventions
        One or more.
    source
        As for `rollout`.

    Yields
    ------
    For each intervention the symbols drawn, int32 ``(n_steps, B)``.
    """
    kinds = [tuple(_kind(edit) for edit in one.edits) for one in interventions]
    written: dict[int, np.ndarray] = {}
    for kind in dict.fromkeys(kinds):
        members = [place for place, each in enumerate(kinds) if each == kind]
        found = _write(model, [interventions[place] for place in members], source)
        written |= dict(zip(members, found, strict=True))
    yield from (written[place] for place in range(len(interventions)))


def _kind(edit: Edit) -> tuple[Any, ...]:
    """Return what overrides must have in common to be stacked."""
    width = None if edit.program is None else len(edit.program.columns)
    shapes = [None if rows is None else rows.ndim for rows in (edit.drive, edit.when)]
    return (edit.where, edit.part, width, *shapes)


def _write(model: TrainedModel, interventions: Sequence[Intervention], source: Samples) -> Int[np.ndarray, "M t B"]:
    n_steps, n_lanes, n_sets = len(source.forced), source.n_lanes, len(interventions)
    lines = tuple(_line(model, [one.edits[place] for one in interventions], n_steps) for place in
                  range(len(interventions[0].edits)))  # fmt: skip
    characters = (model.vocabulary.boundary_text, *model.vocabulary.characters)
    programs = [[one.edits[place].program for one in interventions] for place, line in enumerate(lines) if
                line.slopes is not None]  # fmt: skip
    along = [_readers(of_place, n_lanes, characters) for of_place in programs]
    weights = jax.device_put(model.weights)  # once, not at each step
    zero = jax.tree.map(lambda part: jnp.broadcast_to(part, (n_sets, *part.shape)), zero_carries(weights, n_lanes))
    codes = np.full((n_sets, n_lanes), int(source.start), np.int32)
    written: list[np.ndarray] = []
    carries, table = zero, input_table(weights)
    for step in range(n_steps):
        said = [_read(readers, codes, written, characters) for readers in along]
        drives = [jax.tree.map(lambda rows, step=step: rows[:, step], line.drive) for line in lines]
        carries, codes = _step(
            weights, table, carries, codes, lines, drives, said, source.uniforms[step], source.forced[step],
            source.temperature,
        )  # fmt: skip
        codes = np.asarray(codes)
        written.append(codes)
    return np.stack(written, axis=1)


class _Along(NamedTuple):
    """A program, and the sets whose texts it reads."""

    readers: Readers
    sets: Int[np.ndarray, " m"]


def _readers(programs: Sequence[Any], n_lanes: int, characters: Sequence[str]) -> list[_Along]:
    """Return the readers of the programs of each set; sets that share one read together."""
    numbers = {id(program): program for program in programs}
    found = []
    for each in numbers.values():
        sets = np.asarray([number for number, program in enumerate(programs) if program is each])
        found.append(_Along(Readers(each, len(sets) * n_lanes, characters), sets))
    return found


def _read(
    along: Sequence[_Along], codes: Int[np.ndarray, "M B"], written: Sequence[np.ndarray], characters: Sequence[str]
) -> Float[np.ndarray, "M B d"]:
    """Let programs read a symbol in each lane of each set, and return what they say.

    Raises
    ------
    ValueError
        Where one fails: names the text, the symbol, and what was written before it.
    """
    n_lanes = codes.shape[1]
    said: Any = None
    for readers, sets in along:
        try:
            rows = readers.read(codes[sets].ravel())
        except ReadError as error:
            number, lane = int(sets[error.text // n_lanes]), error.text % n_lanes
            before = "".join(characters[int(each[number, lane])] for each in written[-20:])
            where = f"at symbol {len(written) - 1} of text {lane} ({before!r})"
            raise ValueError(f"program {readers.program.name!r}: {error}, {where}") from error
        if said is None:
            said = np.zeros((*codes.shape, rows.shape[1]), np.float32)
        said[sets] = rows.reshape(len(sets), n_lanes, -1)
    return said


def _line(model: TrainedModel, edits: Sequence[Edit], n_steps: int) -> _Line:
    """Stack one override of each set."""
    masks = np.zeros((len(edits), model.n_neurons), bool)
    bound = []
    slopes = None
    for number, edit in enumerate(edits):
        plain = Intervention((edit if edit.program is None else _without_program(edit),))
        bound.append(model.bind(plain, n_steps))
        masks[number, list(edit.neurons)] = True
        if edit.slopes is not None:
            slopes = np.zeros((*masks.shape, edit.slopes.shape[1]), np.float32) if slopes is None else slopes
            slopes[number, list(edit.neurons)] = edit.slopes
    (override,), (drive,) = jax.tree.map(lambda *each: np.stack(each), *bound)
    return _Line(override, None if slopes is None else jax.device_put(slopes), drive)


def _without_program(edit: Edit) -> Edit:
    return replace(edit, program=None, slopes=None)


@jax.jit
def _step(
    weights: Weights,
    table: Float[Array, "V G"],
    carries: Any,
    codes: Int[Array, "M B"],
    lines: tuple[_Line, ...],
    drives: list[Drive],
    said: list[Float[Array, "M B d"]],
    uniform: Float[Array, " B"],
    forced: Int[Array, ""],
    temperature: Float[Array, ""],
) -> tuple[Any, Int[Array, "M B"]]:
    """Read one symbol in each lane of each set, and draw the next."""

    def one(carries: Any, codes: Array, lines: Any, drives: Any, said: Any) -> tuple[Any, Array]:
        spoken = iter(said)
        each = [
            drive if line.slopes is None else Drive(jnp.matmul(next(spoken), line.slopes.T), None)
            for line, drive in zip(lines, drives, strict=True)
        ]
        overrides = tuple(line.override for line in lines)
        new, shown, _ = network_step(weights, table, carries, codes, codes == BOUNDARY, overrides, tuple(each))
        logits = compute_logits(weights, shown[-1].h)
        return new, jnp.where(forced >= 0, forced, draw(logits, uniform, temperature))

    return jax.vmap(one)(carries, codes, lines, drives, said)
