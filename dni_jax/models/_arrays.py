"""States of any network, as arrays: one row per character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from dni_jax.states import Activations, as_numpy
from dni_jax.text import Corpus, check_corpus

_ROWS = "one row per character, without rows of begin or end symbols"
_BLOCK = 65_536  # rows checked for NaN at a time


def from_arrays(states: Any, corpus: Corpus, *, time_major: bool = False) -> Activations:
    """Take states that another network had at every character of a corpus.

    Parameters
    ----------
    states
        NumPy, JAX or PyTorch arrays (on any device, with or without gradients) of a floating type, as one of

        - ``(T, N)``: one row per character, string after string in the corpus' order;
        - ``(S, L, N)``: string by string, padded after the ends to exactly the longest string's length L; what is
          in the padding does not matter;
        - S arrays ``(L_s, N)`` in a list or tuple: one per string;
        - PyTorch's ``PackedSequence``, or the pair ``(output, state)`` that a recurrent layer returns, of which the
          output is taken.

        The row of a character is the state after reading it. A begin-of-text symbol has no character: leave its row
        out.
    corpus
        What the network read.
    time_major
        Whether padded states are ``(L, S, N)``: what PyTorch's recurrent layers return without ``batch_first=True``.

    Returns
    -------
    Activations over the T characters, with the corpus' groups. float64 is kept, half precision is widened to float32,
    which changes no value. An array ``(T, N)`` that needs no widening is used as it is, not copied.

    Raises
    ------
    ValueError
        For sizes that do not match (names the string), other types, or NaN or infinity at a character.

    Examples
    --------
    >>> import numpy as np
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["(1)", "12"])
    >>> dni.from_arrays([np.zeros((3, 4), "float32"), np.ones((2, 4), "float32")], corpus)
    Activations(5 positions x 4 neurons)
    >>> dni.from_arrays(np.zeros((2, 3, 4)), corpus).hidden.shape
    (5, 4)
    """
    check_corpus(corpus)
    lengths = np.diff(corpus.offsets)
    states = unpack_states(states)
    if time_major:
        if getattr(states, "ndim", 0) != 3:
            raise ValueError("expected padded states (L, S, N) with time_major=True, got another form: leave it out")
        states = as_numpy(states, "states").swapaxes(0, 1)
    if isinstance(states, (list, tuple)):
        hidden = np.concatenate(strings_of(states, corpus, lengths, _ROWS))
    else:
        array = floating(states, "states")
        if array.ndim == 3:
            _check_padded(array.shape, lengths)
            hidden = array[corpus.mask]
        elif array.ndim == 2 and len(array) == corpus.n_positions:
            hidden = array
        else:
            raise ValueError(
                f"expected states (T, N) with T = {corpus.n_positions:,}, (S, L, N) with S = {len(corpus):,} and "
                f"L = {lengths.max():,}, or a list of S arrays (L_s, N), got shape {array.shape}: pass {_ROWS}"
            )
    check_neurons(hidden)
    check_finite_states(hidden, corpus)
    return Activations(hidden=hidden, groups=corpus.position_groups)


def unpack_states(states: Any) -> Any:
    """Return the output of a recurrent layer's pair ``(output, state)``, and a packed sequence string by string."""
    if isinstance(states, tuple) and len(states) == 2 and _is_output(states[0]) and not hasattr(states, "batch_sizes"):
        states = states[0]
    if not hasattr(states, "batch_sizes"):
        return states
    # PyTorch's PackedSequence: step after step, at each step the strings that are not over, the longest first.
    rows = as_numpy(states.data, "states")
    sizes = as_numpy(states.batch_sizes, "batch sizes")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    strings = [rows[starts[: int((sizes > place).sum())] + place] for place in range(int(sizes[0]))]
    order = states.unsorted_indices
    return strings if order is None else [strings[place] for place in as_numpy(order, "indices").tolist()]


def _is_output(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 3 or hasattr(value, "batch_sizes")


def strings_of(states: Any, corpus: Corpus, lengths: Sequence[int] | np.ndarray, rows: str) -> list[np.ndarray]:
    """Check that there is one floating array per string, as long as it should be, all of one width and type."""
    if len(states) != len(corpus):
        raise ValueError(f"expected one array of states per string, {len(corpus):,} in all, got {len(states):,}")
    arrays = [floating(array, f"states of string {number}") for number, array in enumerate(states)]
    for number, (array, length) in enumerate(zip(arrays, lengths, strict=True)):
        if array.ndim != 2 or len(array) != length:
            hint = "states[0] of a batch of one" if array.shape[:1] == (1,) and array.ndim == 3 else rows
            raise ValueError(
                f"expected states of string {number} of shape ({length}, N), got {array.shape}: pass {hint}"
            )
        if array.shape[1] != arrays[0].shape[1] or array.dtype != arrays[0].dtype:
            raise ValueError(
                f"expected states of string {number} to have {arrays[0].shape[1]} neurons and type {arrays[0].dtype} "
                f"like those of string 0, got {array.shape[1]} and {array.dtype}"
            )
    return arrays


def floating(array: Any, name: str) -> np.ndarray:
    """Return a floating array of any framework as NumPy's, half precision widened."""
    values = as_numpy(array, name)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"expected {name} of a real floating type, got {values.dtype}: try astype('float32')")
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def check_neurons(hidden: np.ndarray) -> None:
    """Raise a ValueError for states without neurons."""
    if hidden.shape[1] == 0:
        raise ValueError(f"expected states of at least one neuron, got shape {hidden.shape}")


def check_finite_states(hidden: np.ndarray, corpus: Corpus) -> None:
    """Raise a ValueError for NaN or infinity, with its character and string."""
    for first in range(0, len(hidden), _BLOCK):
        bad = ~np.isfinite(hidden[first : first + _BLOCK])
        if bad.any():
            row, neuron = np.argwhere(bad)[0]
            position = first + int(row)
            string = int(corpus.string_ids[position])
            raise ValueError(
                f"expected finite states, got {hidden[position, neuron]} for neuron {neuron} at character "
                f"{position - corpus.offsets[string]} of string {string}: check for an overflow in the network"
            )


def _check_padded(shape: tuple[int, ...], lengths: np.ndarray) -> None:
    longest = int(lengths.max())
    if shape[:2] != (len(lengths), longest):
        extra = shape[1] - longest
        hint = "pass one row per character"
        if shape[0] == len(lengths) and extra > 0:
            hint = (
                f"cut the padding with states[:, :{longest}], or, if the first row is a begin symbol's, take "
                f"states[:, 1:{longest + 1}]"
            )
        elif shape[0] == longest and shape[1] == len(lengths):
            hint = "these are time-major: pass time_major=True"
        elif shape[0] == len(lengths):
            hint = f"string {int(lengths.argmax())} has {longest:,} characters"
        raise ValueError(
            f"expected padded states (S, L, N) with S = {len(lengths):,} strings and L = {longest:,}, the length of "
            f"the longest, got shape {shape}: {hint}"
        )
