"""States on disk, read in parts."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Float

from dni_jax.files import check_array_path, check_regular_files
from dni_jax.models._fingerprints import fingerprint_corpus
from dni_jax.models._manifest import Manifest, read_manifest
from dni_jax.states import Activations, ChunkedActivations, Strings, mask_of, part_of
from dni_jax.text import Corpus

STRINGS = "strings.npz"
_MAX_BYTES = 2**32


class StoredArray:
    """An array on disk; ``array[...]`` reads a part of it, as from a NumPy array.

    Attributes
    ----------
    shape, dtype
        Of the whole array.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.shape: tuple[int, ...] = tuple(store.shape)
        self.dtype = np.dtype(store.dtype.numpy_dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of the whole array in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"StoredArray({' x '.join(f'{n:,}' for n in self.shape)}, {self.dtype}, {self.nbytes / 2**30:.2f} GiB)"

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(one is Ellipsis for one in keys):
            where = next(place for place, one in enumerate(keys) if one is Ellipsis)
            keys[where : where + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"expected at most {self.ndim} indices, got {len(keys)}")
        plain = tuple(_index(one, size) for one, size in zip(keys, self.shape, strict=False))
        try:
            return np.asarray(self._store[plain].read().result())
        except ValueError as error:
            raise ValueError(f"expected whole chunks of states on disk, got a broken one: {error}") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        check_size(self.nbytes, _MAX_BYTES)
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def _index(key: Any, size: int) -> Any:
    """An index along one axis, negative numbers counted from the end, for a store that does not know them."""
    if isinstance(key, slice):
        first, last, step = key.indices(size)
        if step < 1:
            raise IndexError(f"expected a slice with a step of at least 1, got {step}")
        return slice(first, max(first, last), step)
    if isinstance(key, (list, np.ndarray)):
        rows = np.asarray(key)
        rows = np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (size,) else rows
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or ((rows < -size) | (rows >= size)).any():
            raise IndexError(f"expected indices of one axis from {-size} to {size - 1}, or {size} bools")
        return np.where(rows < 0, rows + size, rows)
    number = operator.index(key)
    if not -size <= number < size:
        raise IndexError(f"expected an index from {-size} to {size - 1}, got {number}")
    return number % size


class StoredActivations(ChunkedActivations):
    """Recorded states in a folder; like `Activations`, but read on demand.

    Attributes
    ----------
    path
        The folder.
    hidden, cell, gates, logits
        Arrays on disk (`StoredArray`), or None where they were not recorded.
    gate_names
        As of `Activations`.
    symbols, mask
        As of `Activations`; None for networks of our own.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        arrays = {name: StoredArray(open_array(path / name)) for name in manifest.what}
        self.hidden = arrays["hidden"]
        self.cell, self.gates, self.logits = (arrays.get(name) for name in ("cell", "gates", "logits"))
        self.gate_names = manifest.gate_names
        with np.load(path / STRINGS) as strings:
            self.offsets, self.string_groups = strings["offsets"], strings["groups"]
            self.symbols = strings["symbols"] if manifest.with_symbols else None
        self.mask = mask_of(self.symbols)
        self.n_neurons, self.chunk, self.fingerprint = manifest.n_neurons, manifest.chunk, manifest.corpus

    def part(self, name: str) -> Any:
        """Return one part of the neurons, an array ``(T, N)`` on disk or, for a gate, in memory."""
        return part_of(self, name)

    @property
    def ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest state of each neuron, collected during recording."""
        return np.asarray(self.manifest.low), np.asarray(self.manifest.high)

    def read(self, strings: Strings, neurons: slice = slice(None)) -> Float[np.ndarray, "t n"]:
        """Read the hidden states of some strings."""
        bounds = [slice(int(self.offsets[first]), int(self.offsets[last])) for first, last in strings]
        first, last, _ = neurons.indices(self.n_neurons)
        if len(bounds) == 1:
            return self.hidden[bounds[0], first:last]
        whole = np.empty((sum(part.stop - part.start for part in bounds), last - first), self.hidden.dtype)
        place, reads = 0, []
        for part in bounds:
            rows = whole[place : place + part.stop - part.start]
            reads.append(ts.array(rows).write(self.hidden._store[part, first:last]))
            place += len(rows)
        try:
            for one in reads:
                one.result()
        except ValueError as error:
            raise ValueError(f"expected whole chunks of states on disk, got a broken one: {error}") from error
        return whole

    def check_corpus(self, corpus: Corpus) -> None:
        """Raise for a corpus other than the one that these states are of.

        Raises
        ------
        ValueError
            Where characters, strings or groups differ.
        """
        if fingerprint_corpus(corpus) != self.fingerprint:
            raise ValueError(
                f"expected the corpus that {str(self.path)!r} was recorded from, {self!r}, got another: {corpus!r}"
            )

    def load(self, max_bytes: int = _MAX_BYTES) -> Activations:
        """Read everything into memory.

        Parameters
        ----------
        max_bytes
            How many bytes that may take; 4 GiB by default.

        Raises
        ------
        ValueError
            Where it takes more.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in self.manifest.what}
        check_size(sum(array.nbytes for array in arrays.values()), max_bytes)
        read = {name: array[...] for name, array in arrays.items()}
        about: dict[str, Any] = {"gate_names": self.gate_names, "mask": self.mask, "symbols": self.symbols}
        return Activations(groups=self.groups, **about, **read)

    def __repr__(self) -> str:
        more = "".join(f", {name}" for name in self.manifest.what if name != "hidden")
        return self._describe("StoredActivations") + f"{more}, {self.hidden.dtype} in {str(self.path)!r})"


def check_size(n_bytes: int, max_bytes: int) -> None:
    """Raise for what would not fit into memory."""
    if n_bytes > max_bytes:
        raise ValueError(
            f"expected states of at most {max_bytes / 2**30:.2f} GiB to be read into memory, got "
            f"{n_bytes / 2**30:.2f} GiB: read parts with .hidden[...] or "
            ".chunks(), or allow more with .load(max_bytes=...)"
        )


def open_array(path: Path, **spec: Any) -> Any:
    """Open an array in Zarr's format, or create it where `spec` holds its metadata."""
    how = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path.resolve())}, **spec}
    try:
        return ts.open(how, open="metadata" not in spec, create="metadata" in spec).result()
    except ValueError as error:
        raise ValueError(f"expected an array of states in {str(path)!r}, got: {error}") from error


def open_states(path: str | Path) -> StoredActivations:
    """Open states that `dni_jax.record` has written to a store.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    StoredActivations. ``.hidden[...]`` reads a part, ``.chunks()`` all in order, ``.load()`` returns `Activations`;
    `dni_jax.inspect` reads it chunk by chunk. The arrays are Zarr's: ``zarr.open(path + "/hidden")`` reads them, too.

    Raises
    ------
    ValueError
        Where there is no store, or one that is not complete, is of a newer version, or lacks a chunk.

    Examples
    --------
    >>> import tempfile
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> path = tempfile.mkdtemp() + "/states"
    >>> _ = dni.record(model, corpus, store=path)
    >>> states = open_states(path)
    >>> states.load()
    Activations(1,553 positions x 8 neurons)
    """
    folder = Path(path)
    check_array_path(folder)
    check_regular_files(folder)
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise ValueError(
            f"expected a complete store in {str(path)!r}, got one that was interrupted after {manifest.done:,} of "
            f"{manifest.n_positions:,} positions: continue with dni.record(model, corpus, store={str(path)!r}) and "
            "the settings it was started with, or remove it"
        )
    try:
        states = StoredActivations(folder, manifest)
    except (OSError, KeyError) as error:
        raise ValueError(f"expected a store of states in {str(path)!r}, got: {error}") from error
    for name in manifest.what:
        _check_chunks(folder / name, getattr(states, name)._store)
    return states


def _check_chunks(folder: Path, array: Any) -> None:
    """Raise for an array that lacks a chunk: it would read as NaN."""
    sizes = [-(-n // step) for n, step in zip(array.shape, array.chunk_layout.read_chunk.shape, strict=True)]
    for place in np.ndindex(*sizes):
        file = folder.joinpath("c", *map(str, place))
        if not file.exists():
            raise ValueError(
                f"expected all {int(np.prod(sizes)):,} chunks of {str(folder)!r}, got none in {str(file)!r}: the store "
                "was not copied whole; remove it and record again"
            )
