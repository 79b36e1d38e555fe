"""Recording into a store: states are written while the network runs, and an interruption leaves whole chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dni_jax.files import FolderLock, atomic_write, check_array_path, check_regular_files
from dni_jax.interventions import Intervention
from dni_jax.models._fingerprints import fingerprint_corpus
from dni_jax.models._manifest import NAME, Manifest, read_manifest
from dni_jax.models._stored import STRINGS, StoredActivations, open_array, open_states
from dni_jax.models._streamed import Reader, chunk_size, make_reader
from dni_jax.models._trained import TrainedModel
from dni_jax.models.exchange import ImportedModel
from dni_jax.states import mask_of
from dni_jax.text import Corpus, chunk_bounds

_FILE = 2**22  # bytes of one file at most, about
_COLUMNS = 128  # neurons of one file, so that some can be read without the others
_WAITING = 1  # chunks that may wait for the disk while the network reads on


def record_into(
    path: str | Path,
    model: TrainedModel | ImportedModel,
    corpus: Corpus,
    what: Sequence[str],
    intervention: Intervention | None,
    dtype: str,
    chunk: int | None,
) -> StoredActivations:
    """Record a corpus into a store, new or interrupted; see `dni_jax.record`.

    Raises
    ------
    ValueError
        Where the folder holds something else, or the recording of another text, network or setting, or where another
        process records into it.
    """
    folder, size = Path(path), chunk_size(chunk)
    check_array_path(folder)
    if isinstance(model, ImportedModel) and "logits" in what:
        raise ValueError(
            "expected no 'logits' in a store with an imported network, got them: its readout is a function, and "
            "an interrupted recording cannot tell whether it is continued with the same one. Record them in memory, "
            "without store="
        )
    reader = make_reader(model, corpus, what, intervention, dtype, size)
    wanted = Manifest(
        corpus=fingerprint_corpus(corpus),
        network=reader.fingerprint_network(),
        intervention=reader.fingerprint_intervention(),
        what=reader.names,
        dtype=dtype,
        chunk=size,
        n_positions=corpus.n_positions,
        n_neurons=reader.n_neurons,
        gate_names=reader.gate_names,
        with_symbols=reader.symbols is not None,
    )
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        _create(folder, wanted, corpus, reader)
    if not _read_same(folder, wanted).complete:
        lock = FolderLock(folder)
        try:
            _fill(folder, _read_same(folder, wanted), corpus, reader)
        finally:
            lock.release()
    return open_states(folder)


def _read_same(folder: Path, wanted: Manifest) -> Manifest:
    """Read a store's manifest; raise a ValueError if it is of another recording."""
    check_regular_files(folder)
    found = read_manifest(folder)
    different = found.difference(wanted)
    if different:
        raise ValueError(
            f"expected a store of this recording in {str(folder)!r}, got one of {different}: use another folder, "
            "remove this one, or pass the settings it was started with"
        )
    return found


def _create(folder: Path, manifest: Manifest, corpus: Corpus, reader: Reader) -> None:
    """Make an empty store; it appears whole or not at all."""
    shapes, strings = reader.shapes, {"offsets": corpus.offsets, "groups": corpus.groups}
    if reader.symbols is not None:
        strings["symbols"] = reader.symbols
    with atomic_write(folder) as part:
        part.mkdir()
        np.savez(part / STRINGS, **strings)  # type: ignore[arg-type]  # its stub takes a name for allow_pickle
        for name in manifest.what:
            open_array(part / name, metadata=_metadata((manifest.n_positions, *shapes[name]), manifest.dtype))
        manifest.write(part)


def _metadata(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Return Zarr's metadata of an array; states that were never written read as NaN, and chunks have checksums."""
    columns = (*shape[1:-1], min(shape[-1], _COLUMNS))
    row = int(np.prod(columns)) * np.dtype(dtype).itemsize
    return {
        "shape": shape,
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": (max(1, min(shape[0], _FILE // row)), *columns)},
        },
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "fill_value": "NaN",
    }


def _fill(folder: Path, manifest: Manifest, corpus: Corpus, reader: Reader) -> None:
    """Write what is missing; the manifest advances when a chunk is durably on disk."""
    for left in folder.glob(f".{NAME}.*.part"):  # by a process that was killed
        left.unlink()
    arrays = {name: open_array(folder / name) for name in manifest.what}
    low = np.asarray(manifest.low or np.full(manifest.n_neurons, np.inf))
    high = np.asarray(manifest.high or np.full(manifest.n_neurons, -np.inf))
    mask = mask_of(reader.symbols)
    waiting: deque[tuple[list[Any], Manifest]] = deque()
    for first, last in chunk_bounds(corpus.offsets, manifest.chunk):
        begin, end = int(corpus.offsets[first]), int(corpus.offsets[last])
        if end <= manifest.done:
            continue
        states = reader.read([(first, last)])
        seen = states["hidden"] if mask is None else states["hidden"][mask[begin:end]]
        if len(seen):
            low, high = np.minimum(low, seen.min(axis=0)), np.maximum(high, seen.max(axis=0))
        now = replace(manifest, done=end, low=tuple(low.tolist()), high=tuple(high.tolist()))
        writes = [
            arrays[name][begin:end].write(rows, can_reference_source_data_indefinitely=True)
            for name, rows in states.items()
        ]
        waiting.append((writes, now))
        if len(waiting) > _WAITING:
            _settle(folder, *waiting.popleft())
    while waiting:
        _settle(folder, *waiting.popleft())


def _settle(folder: Path, writes: list[Any], manifest: Manifest) -> None:
    for write in writes:
        write.result()
    manifest.write(folder)
