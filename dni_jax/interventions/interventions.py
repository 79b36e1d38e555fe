"""What a person asks for: silence these neurons, hold those, drive them by labels, patch them from another run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dni_jax.interventions.override import Override, Where


@dataclass(frozen=True, eq=False)
class Edit:
    """One override before the number of neurons is known.

    Attributes
    ----------
    neurons
        Their numbers.
    low, high
        float32 ``(k,)`` for the k neurons.
    drive
        float32 ``(T,)`` (a signal) or ``(T, k)`` (states of the k neurons), one row a position; or None.
    where
        See `Override`.
    about
        One line for people.
    """

    neurons: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    drive: np.ndarray | None
    where: Where
    about: str


@dataclass(frozen=True, eq=False)
class Intervention:
    """Overrides to apply in order at every step; made by `ablate`, `clamp`, `clamp_to_labels` and `patch`."""

    edits: tuple[Edit, ...]

    def then(self, other: Intervention) -> Intervention:
        """Give this intervention followed by another one.

        Examples
        --------
        >>> ablate([0]).then(clamp([3], 1.0))
        Intervention(silence [0]; hold [3] at 1)
        """
        return Intervention(self.edits + other.edits)

    def __repr__(self) -> str:
        return f"Intervention({'; '.join(edit.about for edit in self.edits)})"

    def bind(self, n_neurons: int, n_positions: int) -> tuple[tuple[Override, ...], tuple[np.ndarray | None, ...]]:
        """Give the overrides for a network, and for each its drive: ``(T,)``, ``(T, N)`` or None.

        Raises
        ------
        ValueError
            Where a neuron's number is out of range, or a drive has another number of rows than there are positions.
        """
        overrides, drives = [], []
        for edit in self.edits:
            neurons = np.asarray(edit.neurons)
            if neurons.max() >= n_neurons:
                raise ValueError(f"expected neurons 0 to {n_neurons - 1}, got {int(neurons.max())} in {edit.about!r}")
            mask = np.zeros(n_neurons, bool)
            low, high = np.zeros(n_neurons, np.float32), np.zeros(n_neurons, np.float32)
            mask[neurons], low[neurons], high[neurons] = True, edit.low, edit.high
            overrides.append(Override(jnp.asarray(mask), jnp.asarray(low), jnp.asarray(high), edit.where))
            drives.append(_spread(edit, n_neurons, n_positions))
        return tuple(overrides), tuple(drives)


def _spread(edit: Edit, n_neurons: int, n_positions: int) -> np.ndarray | None:
    if edit.drive is None:
        return None
    if len(edit.drive) != n_positions:
        raise ValueError(
            f"expected one row for each of the {n_positions} positions in {edit.about!r}, got {len(edit.drive)}"
        )
    if edit.drive.ndim == 1:
        return edit.drive
    drive = np.zeros((n_positions, n_neurons), np.float32)
    drive[:, list(edit.neurons)] = edit.drive
    return drive


def _neurons(neurons: Iterable[int]) -> tuple[int, ...]:
    numbers = np.asarray(list(neurons))
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise ValueError(f"expected a list of at least one neuron's number, got {neurons!r}")
    if numbers.min() < 0 or len(np.unique(numbers)) != len(numbers):
        raise ValueError(f"expected distinct neurons counted from 0, got {neurons!r}")
    return tuple(int(n) for n in numbers)


def _where(where: str) -> Where:
    if where == "recurrent":
        return "recurrent"
    if where == "readout":
        return "readout"
    raise ValueError(f"expected where='recurrent' or 'readout', got {where!r}")


def _finite(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers for {name}, got NaN or infinity")
    return array


def _reference(states: Any, chosen: tuple[int, ...]) -> np.ndarray:
    array = _finite("reference", getattr(states, "hidden", states))
    if array.ndim != 2 or max(chosen) >= array.shape[1]:
        raise ValueError(f"expected reference states of shape (T, N) with N > {max(chosen)}, got shape {array.shape}")
    return array[:, list(chosen)]


def ablate(
    neurons: Iterable[int], mode: str = "zero", *, reference: Any = None, seed: int = 0, where: str = "recurrent"
) -> Intervention:
    """Silence neurons (the paper's Rm-Neuron; Lin & Wu 2017, section 4).

    Parameters
    ----------
    neurons
        Their numbers.
    mode
        ``"zero"``; ``"mean"``: each is held at its mean over `reference`; ``"resample"``: at each position all take
        the values they have together at a random position of `reference`.
    reference
        Recorded states: an ``Activations`` or an array ``(T, N)``; for mean and resample.
    seed
        For resample.
    where
        ``"recurrent"`` (the change flows on through time) or ``"readout"`` (only the prediction sees it).

    Examples
    --------
    >>> ablate([3, 17])
    Intervention(silence [3, 17])
    """
    chosen = _neurons(neurons)
    zero = np.zeros(len(chosen), np.float32)
    if mode == "zero":
        return Intervention((Edit(chosen, zero, zero, None, _where(where), f"silence {list(chosen)}"),))
    if mode not in ("mean", "resample"):
        raise ValueError(f"expected mode 'zero', 'mean' or 'resample', got {mode!r}")
    if reference is None:
        raise ValueError(f"expected reference=states for mode {mode!r}, got none: pass the result of dni.record")
    states = _reference(reference, chosen)
    if mode == "mean":
        mean = states.mean(0)
        return Intervention((Edit(chosen, mean, mean, None, _where(where), f"hold {list(chosen)} at their means"),))
    drawn = states[np.random.default_rng(seed).permutation(len(states))]
    about = f"resample {list(chosen)}"
    return Intervention((Edit(chosen, zero, zero + 1, drawn, _where(where), about),))


def clamp(neurons: Iterable[int], value: float | Sequence[float], *, where: str = "recurrent") -> Intervention:
    """Hold neurons at a value (one for all, or one each).

    Examples
    --------
    >>> clamp([3, 17], 1.0)
    Intervention(hold [3, 17] at 1)
    """
    chosen = _neurons(neurons)
    given = _finite("value", value)
    if given.shape not in ((), (len(chosen),)):
        raise ValueError(f"expected one value, or one for each of {len(chosen)} neurons, got shape {given.shape}")
    values = np.broadcast_to(given, (len(chosen),)).copy()
    shown = f"{float(given):g}" if given.shape == () else values.tolist()
    return Intervention((Edit(chosen, values, values, None, _where(where), f"hold {list(chosen)} at {shown}"),))


def clamp_to_labels(
    neurons: Iterable[int], signal: Any, low: float = -1.0, high: float = 1.0, *, where: str = "recurrent"
) -> Intervention:
    """Drive neurons by labels: `low` where the signal is 0, `high` where it is 1 (the paper's Oracle).

    Parameters
    ----------
    neurons
        Their numbers.
    signal
        ``(T,)`` in [0, 1]: one number a position of the corpus (or a step of the generated text).
    low, high
        The values at 0 and 1; in between, linear.
    where
        See `ablate`.
    """
    chosen = _neurons(neurons)
    drive = _finite("signal", signal)
    if drive.ndim != 1 or drive.size == 0 or drive.min() < 0 or drive.max() > 1:
        raise ValueError(f"expected a signal of shape (T,) within [0, 1], got shape {drive.shape}")
    lows = np.full(len(chosen), _finite("low", low))
    highs = np.full(len(chosen), _finite("high", high))
    about = f"drive {list(chosen)} by labels from {low:g} to {high:g}"
    return Intervention((Edit(chosen, lows, highs, drive, _where(where), about),))


def patch(neurons: Iterable[int], states: Any, *, where: str = "recurrent") -> Intervention:
    """Give neurons the values they had in another run.

    Parameters
    ----------
    neurons
        Their numbers.
    states
        The other run: an ``Activations`` or an array ``(T, N)`` over the same positions.
    where
        See `ablate`.
    """
    chosen = _neurons(neurons)
    zero = np.zeros(len(chosen), np.float32)
    drive = _reference(states, chosen)
    return Intervention((Edit(chosen, zero, zero + 1, drive, _where(where), f"patch {list(chosen)}"),))
