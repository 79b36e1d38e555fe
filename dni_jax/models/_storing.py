"""Recording into a store: states are written while the network runs, and an interruption leaves whole chunks."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dni_jax.files import FolderLock, atomic_write, check_array_path
from dni_jax.interventions import Intervention
from dni_jax.models._fingerprints import fingerprint_corpus, fingerprint_intervention, fingerprint_network
from dni_jax.models._manifest import NAME, Manifest, read_manifest
from dni_jax.models._rollout import Emit
from dni_jax.models._stored import STRINGS, StoredActivations, open_array, open_states
from dni_jax.models._streamed import Reader, chunk_size
from dni_jax.models._trained import TrainedModel
from dni_jax.text import Corpus, chunk_bounds

_FILE = 2**22  # bytes of one file at most, about
_COLUMNS = 128  # neurons of one file, so that some can be read without the others
_WAITING = 1  # chunks that may wait for the disk while the network reads on


def record_into(
    path: str | Path,
    model: TrainedModel,
    corpus: Corpus,
    emit: Emit,
    intervention: Intervention | None,
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
    reader = Reader(model, corpus, emit, intervention, size)
    wanted = Manifest(
        corpus=fingerprint_corpus(corpus),
        network=fingerprint_network(model),
        intervention=fingerprint_intervention(intervention, model, corpus.n_positions),
        what=emit.names,
        dtype=emit.dtype,
        chunk=size,
        n_positions=corpus.n_positions,
        n_neurons=model.n_neurons,
        gate_names=model.weights.cell_type.gates,
    )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        found = read_manifest(folder)
        different = found.difference(wanted)
        if different:
            raise ValueError(
                f"expected a store of this recording in {str(path)!r}, got one of {different}: use another folder, "
                "remove this one, or pass the settings it was started with"
            )
    else:
        _create(folder, wanted, corpus, reader)
        found = wanted
    if not found.complete:
        lock = FolderLock(folder)
        try:
            _fill(folder, found, corpus, reader)
        finally:
            lock.release()
    return open_states(folder)


def _create(folder: Path, manifest: Manifest, corpus: Corpus, reader: Reader) -> None:
    """Make an empty store; it appears whole or not at all."""
    weights = reader.model.weights
    shapes: dict[str, tuple[int, ...]] = {
        "hidden": (manifest.n_neurons,),
        "cell": (manifest.n_neurons,),
        "gates": (len(manifest.gate_names), manifest.n_neurons),
        "logits": (weights.head.shape[-1],),
    }
    with atomic_write(folder) as part:
        part.mkdir()
        np.savez(part / STRINGS, offsets=corpus.offsets, groups=corpus.groups)
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
    waiting: deque[tuple[list[Any], Manifest]] = deque()
    for first, last in chunk_bounds(corpus.offsets, manifest.chunk):
        begin, end = int(corpus.offsets[first]), int(corpus.offsets[last])
        if end <= manifest.done:
            continue
        states = reader.read([(first, last)])
        low = np.minimum(low, states["hidden"].min(axis=0))
        high = np.maximum(high, states["hidden"].max(axis=0))
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
