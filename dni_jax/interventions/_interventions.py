"""What can be done to neurons: silence, hold or patch them, drive them by labels, or by a program that runs along."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from dni_jax.interventions._display import html_of_edits
from dni_jax.interventions._override import Bound, Drive, Override, Where
from dni_jax.interventions._plausible import plausible_values
from dni_jax.interventions._references import count_neurons, draw_partners, fit_line, read_reference
from dni_jax.programs import Program, run
from dni_jax.states import as_activations
from dni_jax.text import Corpus


@dataclass(frozen=True, eq=False)
class Edit:
    """One override before the number of neurons is known.

    Attributes
    ----------
    neurons
        Indices of the neurons.
    low, high
        float32 ``(k,)`` for the k neurons.
    drive
        float32 ``(T,)`` (a signal) or ``(T, k)`` (states of the k neurons), one row per position; or None.
    when
        bool ``(T,)``: the positions at which it acts; None: at every step, also between strings.
    where, part
        See `Override`.
    about
        One line that describes it.
    n_neurons
        The size of the network whose states the values come from; None if they come from no network.
    program
        Says the drive while a text is read or written; or None. The neurons are then driven between strings, too,
        where the drive is 0.
    slopes
        float32 ``(k, d + 1)``: each neuron's drive, as a line through the d columns that the program says; the last
        column is the intercept.
    """

    neurons: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    drive: np.ndarray | None
    when: np.ndarray | None
    where: Where
    part: str
    about: str
    n_neurons: int | None = None
    program: Program | None = None
    slopes: np.ndarray | None = None

    def on(self, corpus: Corpus) -> Edit:
        """Return the override with the drive that its program says on a text.

        Raises
        ------
        ValueError
            Where the program fails, or a string begins outside the corpus.
        """
        if self.program is None or self.slopes is None:
            return self
        said = run(self.program, corpus)
        if not said.known.all():
            raise ValueError(
                f"expected strings from their beginning in {self.about!r}, got {int((~said.known).sum())} characters "
                "of later segments: the program's state there is unknown"
            )
        rows = np.concatenate([said.values, np.ones((len(said.values), 1), np.float32)], axis=1)
        return replace(self, drive=rows @ self.slopes.T)

    def select(self, neurons: Container[int], n_positions: int | None = None) -> Edit:
        """Return the override of some of the neurons, on a text's first positions."""
        chosen = [place for place, neuron in enumerate(self.neurons) if neuron in neurons]
        numbers = tuple(self.neurons[place] for place in chosen)
        drive = None if self.drive is None else self.drive[:n_positions]
        return replace(
            self,
            neurons=numbers,
            low=self.low[chosen],
            high=self.high[chosen],
            drive=drive[:, chosen] if drive is not None and drive.ndim == 2 else drive,
            when=None if self.when is None else self.when[:n_positions],
            slopes=None if self.slopes is None else self.slopes[chosen],
            about=f"{self.about}, of these {list(numbers)}",
        )


@dataclass(frozen=True, eq=False)
class Intervention:
    """Overrides to apply in order; made by `ablate`, `clamp`, `clamp_to_labels`, `patch` and `follow`."""

    edits: tuple[Edit, ...]

    def then(self, other: Intervention) -> Intervention:
        """Return this intervention followed by another one.

        Raises
        ------
        ValueError
            Where programs of both drive the same neuron.

        Examples
        --------
        >>> ablate([0]).then(clamp([3], 1.0))
        Intervention(silence [0]; hold [3] at 1)
        """
        taken = {neuron for edit in self.edits if edit.program is not None for neuron in edit.neurons}
        both = sorted(taken & {neuron for edit in other.edits if edit.program is not None for neuron in edit.neurons})
        if both:
            raise ValueError(
                f"expected programs that drive different neurons, got {both} in two clusters: leave them out of one"
            )
        return Intervention(self.edits + other.edits)

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs that say what some neurons do."""
        return tuple(edit.program for edit in self.edits if edit.program is not None)

    def on(self, corpus: Corpus) -> Intervention:
        """Return this intervention with what its programs say on a text; `record` does this by itself."""
        return Intervention(tuple(edit.on(corpus) for edit in self.edits)) if self.programs else self

    def __repr__(self) -> str:
        return f"Intervention({'; '.join(edit.about for edit in self.edits)})"

    def _repr_html_(self) -> str:
        return html_of_edits(self.edits)

    def select(self, neurons: Iterable[int], n_positions: int | None = None) -> Intervention | None:
        """Return what this does to some of its neurons, on a text's first positions; None where that is nothing.

        Examples
        --------
        >>> ablate(range(8)).select([3])
        Intervention(silence [0, 1, 2, 3, 4, 5, 6, 7], of these [3])
        """
        wanted = set(neurons)
        edits = [edit.select(wanted, n_positions) for edit in self.edits if wanted & set(edit.neurons)]
        return Intervention(tuple(edits)) if edits else None

    def bind(
        self,
        n_neurons: int,
        n_positions: int,
        parts: Sequence[str] = ("h",),
        *,
        sets: Bool[np.ndarray, "M N"] | None = None,
    ) -> Bound:
        """Return the overrides for a network, and what each follows through time.

        Parameters
        ----------
        n_neurons, n_positions
            The network's size N, and how many positions T it will read (or steps it will write).
        parts
            What the network's neurons have.
        sets
            Masks of M sets of neurons, to override each of them by itself: of this intervention's neurons, those in
            the set. Drives, which may be large, are shared.

        Returns
        -------
        Overrides of N neurons, with `sets` of arrays ``(M, N)``; and for each a `Drive` of arrays ``(T,)`` or
        ``(T, N)``.

        Raises
        ------
        ValueError
            Where a neuron's number is out of range, the network lacks a part, or a drive has another number of rows
            than there are positions.
        """
        overrides, drives = [], []
        for edit in self.edits:
            neurons = np.asarray(edit.neurons)
            if neurons.max() >= n_neurons:
                raise ValueError(f"expected neurons 0 to {n_neurons - 1}, got {int(neurons.max())} in {edit.about!r}")
            if edit.n_neurons not in (None, n_neurons):
                raise ValueError(
                    f"expected reference states of this network's {n_neurons} neurons in {edit.about!r}, got states of "
                    f"{edit.n_neurons}: record the network that is overridden"
                )
            if edit.part not in parts:
                raise ValueError(f"expected a part that this network has, {', '.join(parts)}, got {edit.part!r}")
            mask = np.zeros(n_neurons, bool)
            low, high = np.zeros(n_neurons, np.float32), np.zeros(n_neurons, np.float32)
            mask[neurons], low[neurons], high[neurons] = True, edit.low, edit.high
            if sets is not None:
                mask = mask & np.asarray(sets)
            low, high = (np.broadcast_to(each, mask.shape) for each in (low, high))
            overrides.append(Override(mask, low, high, edit.where, edit.part))
            drives.append(_spread(edit, n_neurons, n_positions))
        return Bound(tuple(overrides), tuple(drives))


def _spread(edit: Edit, n_neurons: int, n_positions: int) -> Drive:
    for rows in (edit.drive, edit.when):
        if rows is not None and len(rows) != n_positions:
            raise ValueError(
                f"expected one row for each of the {n_positions} positions in {edit.about!r}, got {len(rows)}"
            )
    if edit.drive is None and edit.program is not None:
        raise ValueError(
            f"expected a text that the program of {edit.about!r} runs on, got none: dni.record, dni.generate and "
            "intervention.on(corpus) run it"
        )
    if edit.drive is None:
        return Drive(None, edit.when)
    # Between strings there is no row to follow, except that of a program, which is 0 there.
    when = np.ones(n_positions, bool) if edit.when is None else edit.when
    acts = None if edit.program is not None else when
    if edit.drive.ndim == 1:
        return Drive(edit.drive, acts)
    drive = np.zeros((n_positions, n_neurons), np.float32)
    drive[:, list(edit.neurons)] = edit.drive
    return Drive(drive, acts)


def _edit(
    neurons: tuple[int, ...],
    low: np.ndarray,
    high: np.ndarray,
    about: str,
    options: tuple[str, str, Any],
    drive: np.ndarray | None = None,
    n_neurons: int | None = None,
) -> Intervention:
    """Return one override, with the options that all of them have: where, which part, and when."""
    where, part, when = options
    if where not in ("recurrent", "readout"):
        raise ValueError(f"expected where='recurrent' or 'readout', got {where!r}")
    if part != "h" and where == "readout":
        raise ValueError(f"expected where='recurrent' for the part {part!r}, got 'readout': only h is read out")
    if when is not None:
        when = np.asarray(when)
        if when.ndim != 1 or (when.dtype != bool and not np.isin(when, (0, 1)).all()):
            raise ValueError(f"expected when of shape (T,), true or false, got {when.dtype} of shape {when.shape}")
        when = when.astype(bool)
        about += f" at {int(when.sum())} positions"
    about += "" if part == "h" else f" ({part})"
    return Intervention((Edit(neurons, low, high, drive, when, where, part, about, n_neurons),))  # type: ignore[arg-type]


def _neurons(neurons: Iterable[int]) -> tuple[int, ...]:
    numbers = np.asarray(list(neurons))
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise ValueError(f"expected a list of at least one neuron's number, got {neurons!r}")
    if numbers.min() < 0 or len(np.unique(numbers)) != len(numbers):
        raise ValueError(f"expected distinct neurons counted from 0, got {neurons!r}")
    return tuple(int(n) for n in numbers)


def _finite(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers for {name}, got NaN or infinity")
    return array


def ablate(
    neurons: Iterable[int],
    mode: str = "zero",
    *,
    reference: Any = None,
    match: Any = None,
    groups: Any = None,
    seed: int = 0,
    where: str = "recurrent",
    part: str = "h",
    when: Any = None,
) -> Intervention:
    """Silence neurons (the paper's Rm-Neuron; Lin & Wu 2017, section 4).

    Parameters
    ----------
    neurons
        Indices of the neurons.
    mode
        ``"zero"``; ``"mean"``: each is held at its mean over `reference`; ``"resample"``: at each position all take
        the values they have together at a random position of `reference`.
    reference
        Recorded states: an ``Activations`` or an array ``(T, N)``; for mean and resample.
    match
        For resample, ``(T,)``: only positions with the same value are exchanged, for example the place in the string
        or a feature's labels; `reference` must be of the corpus that is then read.
    groups
        For resample with `match`, ``(T,)``: values come from another group (string); taken from `reference` if that is
        an ``Activations``. A position without such a partner keeps its own value; the result says how many.
    seed
        For resample.
    where
        ``"recurrent"`` (the change is carried on through time) or ``"readout"`` (only the prediction sees it).
    part
        ``"h"``, the memory ``"c"`` of an LSTM or sLSTM, or a gate: ``"i"``, ``"f"``, ``"g"``, ``"o"`` of an LSTM,
        ``"r"``, ``"z"``, ``"n"`` of a GRU; `TrainedModel.parts` lists those of any network. `reference` must then hold
        that part's values.
    when
        bool ``(T,)``: only at these positions, for example where a feature holds.

    Raises
    ------
    ValueError
        For neurons that are not distinct indices, an unknown mode, where or part, or a reference that does not fit.

    Examples
    --------
    >>> ablate([3, 17])
    Intervention(silence [3, 17])
    >>> ablate([3], part="c", when=[True, False, True])
    Intervention(silence [3] at 2 positions (c))
    """
    chosen, options = _neurons(neurons), (where, part, when)
    zero = np.zeros(len(chosen), np.float32)
    if mode == "zero":
        return _edit(chosen, zero, zero, f"silence {list(chosen)}", options)
    if mode not in ("mean", "resample"):
        raise ValueError(f"expected mode 'zero', 'mean' or 'resample', got {mode!r}")
    if reference is None:
        raise ValueError(f"expected reference=states for mode {mode!r}, got none: pass the result of dni.record")
    states = read_reference(reference, chosen, part)
    if mode == "mean":
        mean = states.mean(0)
        return _edit(chosen, mean, mean, f"hold {list(chosen)} at their means", options, None, count_neurons(reference))
    about = f"resample {list(chosen)}"
    if match is None:
        drawn = np.random.default_rng(seed).permutation(len(states))
    else:
        groups = as_activations(reference).position_groups if groups is None else groups
        drawn, alone = draw_partners(match, groups, len(states), seed)
        about += f" among positions that match ({alone} of {len(states)} have no partner and keep theirs)"
    return _edit(chosen, zero, zero + 1, about, options, states[drawn], count_neurons(reference))


def clamp(
    neurons: Iterable[int],
    value: float | Sequence[float] | str,
    *,
    density: Any = None,
    states: Any = None,
    percentile: float = 5.0,
    sign: int | Sequence[int] | None = None,
    where: str = "recurrent",
    part: str = "h",
    when: Any = None,
) -> Intervention:
    """Hold neurons at a value (one for all, or one each).

    Parameters
    ----------
    neurons
        Indices of the neurons.
    value
        A number, one for each neuron, or ``"plausible"``: from their medians toward their extremes as far as the
        median state with the neurons held there has at least a given percentile among visited states.
    density, states
        For plausible: from `dni_jax.plausibility`, and visited states (an ``Activations`` or an array ``(T, N)``).
    percentile
        For plausible, 0 to 100.
    sign
        For plausible: 1 toward the greatest visited values, -1 toward the least; one for all or one each. None: for
        each neuron the extreme farther from its median.
    where, part, when
        See `ablate`; plausible values are of ``"h"``.

    Raises
    ------
    ValueError
        For numbers that do not fit, or where no value is plausible.

    Examples
    --------
    >>> clamp([3, 17], 1.0)
    Intervention(hold [3, 17] at 1)
    """
    chosen = _neurons(neurons)
    if isinstance(value, str):
        if value != "plausible" or part != "h":
            raise ValueError(f"expected numbers, or 'plausible' for the part 'h', got {value!r} for {part!r}")
        held = plausible_values(chosen, density, states, percentile, sign)
        about = f"hold {list(chosen)} at plausible {[round(float(one), 3) for one in held]}"
        return _edit(chosen, held, held, about, (where, part, when))
    if density is not None or states is not None or sign is not None:
        raise ValueError(f"expected density, states and sign only with the value 'plausible', got value {value!r}")
    given = _finite("value", value)
    if given.shape not in ((), (len(chosen),)):
        raise ValueError(f"expected one value, or one for each of {len(chosen)} neurons, got shape {given.shape}")
    values = np.broadcast_to(given, (len(chosen),)).copy()
    shown = f"{float(given):g}" if given.shape == () else values.tolist()
    return _edit(chosen, values, values, f"hold {list(chosen)} at {shown}", (where, part, when))


def clamp_to_labels(
    neurons: Iterable[int],
    signal: Any,
    low: float = -1.0,
    high: float = 1.0,
    *,
    reference: Any = None,
    where: str = "recurrent",
    part: str = "h",
    when: Any = None,
) -> Intervention:
    """Drive neurons by labels: `low` where the signal is 0, `high` where it is 1 (the paper's Oracle).

    Parameters
    ----------
    neurons
        Indices of the neurons.
    signal
        ``(T,)`` in [0, 1]: one number per position of the corpus (or a step of the generated text). Between strings,
        where there is no label, neurons are left alone.
    low, high
        The values at 0 and 1; in between, linear.
    reference
        Recorded states of the same T positions: each neuron then gets its own `low` and `high`, those of the least
        squares line through its values, so that sign and scale are the neuron's own. With a binary signal these are
        its means where the feature does not hold, and where it does.
    where, part, when
        See `ablate`.

    Raises
    ------
    ValueError
        For a signal out of range or that never varies, or a reference that does not fit.
    """
    chosen = _neurons(neurons)
    drive = _finite("signal", signal)
    if drive.ndim != 1 or drive.size == 0 or drive.min() < 0 or drive.max() > 1:
        raise ValueError(f"expected a signal of shape (T,) within [0, 1], got shape {drive.shape}")
    if reference is not None:
        values = read_reference(reference, chosen, part)
        if len(values) != len(drive):
            raise ValueError(f"expected reference states of the signal's {len(drive)} positions, got {len(values)}")
        lows, highs = fit_line(values, drive)
        about = f"drive {list(chosen)} by labels along their own lines"
    else:
        lows, highs = (np.full(len(chosen), _finite(*pair)) for pair in (("low", low), ("high", high)))
        about = f"drive {list(chosen)} by labels from {low:g} to {high:g}"
    size = None if reference is None else count_neurons(reference)
    return _edit(chosen, lows, highs, about, (where, part, when), drive, size)


def patch(
    neurons: Iterable[int], states: Any, *, where: str = "recurrent", part: str = "h", when: Any = None
) -> Intervention:
    """Set neurons to their values in another run: of another network, or on corrupted text of the same length.

    Parameters
    ----------
    neurons
        Indices of the neurons.
    states
        The other run: an ``Activations`` or an array ``(T, N)`` over the same positions.
    where, part, when
        See `ablate`.
    """
    chosen = _neurons(neurons)
    zero = np.zeros(len(chosen), np.float32)
    drive = read_reference(states, chosen, part)
    return _edit(chosen, zero, zero + 1, f"patch {list(chosen)}", (where, part, when), drive)


def follow(
    neurons: Iterable[int], program: Program, slopes: Any, rest: Any = 0.0, *, where: str = "recurrent", part: str = "h"
) -> Intervention:
    """Drive neurons by a program that runs alongside the network, as text is read or written.

    Parameters
    ----------
    neurons
        Indices of the neurons.
    program
        From `dni_jax.programs`.
    slopes
        float ``(k, d + 1)``: for each neuron the slopes of the d columns that the program says, and the intercept.
    rest
        The neurons' values between strings, after the boundary: one for all, or one each.
    where, part
        See `ablate`.

    Raises
    ------
    ValueError
        For numbers that do not fit.

    Examples
    --------
    >>> from dni_jax.programs import depth
    >>> follow([3], depth(), [[0.1, -0.5]])
    Intervention(let depth drive [3])
    """
    chosen = _neurons(neurons)
    lines, between = _finite("slopes", slopes), _finite("rest", rest)
    shape = (len(chosen), len(program.columns) + 1)
    if lines.shape != shape or between.shape not in ((), (len(chosen),)):
        raise ValueError(
            f"expected slopes of shape {shape}, for the neurons and for {', '.join(program.columns)} and an intercept, "
            f"and one rest or {len(chosen)}, got {lines.shape} and {between.shape}"
        )
    # The override is low + (high - low) * drive; at a boundary the drive is 0.
    low = np.broadcast_to(between, (len(chosen),)).astype(np.float32)
    lines = lines.copy()
    lines[:, -1] -= low
    (edit,) = _edit(chosen, low, low + 1, f"let {program.name} drive {list(chosen)}", (where, part, None)).edits
    return Intervention((replace(edit, program=program, slopes=lines),))
