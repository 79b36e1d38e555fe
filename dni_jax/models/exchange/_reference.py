"""A few strings on which an imported network is compared with the original."""

from __future__ import annotations

from typing import Any

import numpy as np

from dni_jax.models._arrays import unpack_states
from dni_jax.models.cells import Carry
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._reading import carries_of_rows, initial_carries_of
from dni_jax.models.exchange._stack import run_stack
from dni_jax.states import as_numpy
from dni_jax.text import Corpus

REFERENCE_TOLERANCE = 1e-3  # of states; float32 networks of a few hundred steps differ by less than 1e-4


def check_reference(model: ImportedModel, reference: Any) -> float:
    """Compare states with the original's on some strings, and return the largest difference.

    Parameters
    ----------
    model
        The network.
    reference
        ``(codes, states)``: integer codes ``(S, L)``, or a sequence of arrays ``(L_s,)``, exactly as the original read
        them; and its states, ``(S, L, N)`` or a sequence of ``(L_s, N)``, of the uppermost layer or of all layers.

    Raises
    ------
    ValueError
        Where they differ by more than 0.001, or do not fit.
    """
    if not isinstance(reference, (tuple, list)) or len(reference) != 2:
        raise ValueError(f"expected reference=(codes, states), got {type(reference).__name__}")
    codes, states = _rows_of(reference[0], 1, "codes"), _rows_of(unpack_states(reference[1]), 2, "states")
    if len(codes) != len(states) or not len(codes):
        raise ValueError(f"expected as many strings of states as of codes, got {len(states)} and {len(codes)}")
    given = model.reading.initial_state
    if callable(given):
        raise ValueError(
            "expected an initial_state that does not depend on the corpus with reference=, got a function: take the "
            "reference over with the zero state or an array"
        )
    worst = 0.0
    for number, (each, theirs) in enumerate(zip(codes, states, strict=True)):
        each = each.astype(np.int32)
        if each.min() < 0 or each.max() >= model.stack.n_symbols:
            raise ValueError(f"expected reference codes from 0 to {model.stack.n_symbols - 1}, got {each.tolist()}")
        mask = np.ones((1, len(each)), bool)
        if model.reading.masked and model.reading.pad is not None:
            mask &= each != model.reading.pad
        initial: tuple[Carry, ...] | None = carries_of_rows(
            initial_carries_of(model.reading, model.stack, _one_string()), model.stack, np.zeros(1, np.int64)
        )
        trace = run_stack(model.stack, each[None], mask, initial).trace
        candidates = [np.asarray(values)[0] for values in (trace.top, trace.hidden)]
        fitting = [ours for ours in candidates if ours.shape == theirs.shape]
        if not fitting:
            raise ValueError(
                f"expected reference states of string {number} of shape {candidates[0].shape} (the uppermost layer) or "
                f"{candidates[1].shape} (all layers), got {theirs.shape}"
            )
        worst = max(worst, min(float(np.abs(ours - theirs)[mask[0]].max(initial=0.0)) for ours in fitting))
    if not worst <= REFERENCE_TOLERANCE:
        raise ValueError(
            f"expected the states of reference= to within {REFERENCE_TOLERANCE:g}, got a difference of {worst:.2g}: "
            "the "
            "original computes something that its description does not say, or read other codes or in another order"
        )
    return worst


def _one_string() -> Corpus:
    return Corpus.from_strings(["-"])


def _rows_of(values: Any, ndim: int, name: str) -> list[np.ndarray]:
    if isinstance(values, (list, tuple)):
        rows = [as_numpy(row, f"reference {name}") for row in values]
    else:
        rows = list(as_numpy(values, f"reference {name}"))
    bad = [row.shape for row in rows if row.ndim != ndim]
    if bad:
        raise ValueError(f"expected reference {name} with {ndim} axes in each string, got shape {bad[0]}")
    return rows
