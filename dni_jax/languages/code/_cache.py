"""Parsed texts, stored between runs in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dni_jax.files import atomic_write, remove_leftovers
from dni_jax.languages._parsing import ParseResult
from dni_jax.text import NodeKind, ParseTrees

VERSION = "5"  # raise it whenever this package's code makes other trees of the same text
LIMIT = 1 << 30  # bytes; beyond it the oldest entries are removed
_AFTER_PRUNING = 0.8  # of the limit
_COLUMNS = {"rule": np.int16, "start": np.int32, "end": np.int32, "parent": np.int32, "depth": np.int16}


def cache_folder() -> Path:
    """Return the cache folder: ``$DNI_JAX_CACHE``, else ``$XDG_CACHE_HOME/dni_jax``, else ``~/.cache/dni_jax``."""
    if own := os.environ.get("DNI_JAX_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "dni_jax"
    return Path.home() / ".cache" / "dni_jax"


def clear_cache() -> int:
    """Remove all parsed texts from the cache and return how many there were."""
    folder = cache_folder() / "parsed"
    count = sum(1 for _ in folder.glob("*/*.npz"))
    shutil.rmtree(folder, ignore_errors=True)
    return count


class ParseCache:
    """The parsed texts of one language, one file each, named by the text's hash.

    A file that is broken, or has other kinds of nodes, counts as missing.

    Parameters
    ----------
    fingerprint
        What the trees depend on apart from the text; None stores nothing.
    kinds
        The kinds of the trees' nodes.
    """

    def __init__(self, fingerprint: str | None, kinds: tuple[NodeKind, ...]) -> None:
        self._kinds = kinds
        self._folder: Path | None = None
        if fingerprint is not None:
            parts = [VERSION, version("lark"), version("pycparser"), fingerprint, *(kind.name for kind in kinds)]
            self._folder = cache_folder() / "parsed" / _hash("\0".join(parts))[:24]

    def _path(self, text: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{_hash(text)}.npz"

    def load(self, text: str) -> ParseResult | None:
        """Return the result stored for a text, or None."""
        path = self._path(text)
        if path is None or not path.is_file():
            return None
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                columns = {name: stored[name].astype(np.int32) for name in _COLUMNS}
                unparsed = stored["unparsed"].astype(np.int64)
                notes = json.loads(str(stored["notes"]))
            counts = dict.fromkeys(len(column) for column in columns.values())
            in_range = all((columns[name] >= 0).all() for name in ("rule", "start", "end", "depth"))
            if len(counts) != 1 or not in_range or columns["rule"].max(initial=0) >= max(len(self._kinds), 1):
                return None
            if unparsed.ndim != 2 or columns["end"].max(initial=0) > len(text) + 1:
                return None
            trees = ParseTrees(self._kinds, **columns, offsets=np.asarray([0, *counts], np.int64))
            return ParseResult(trees, unparsed, dict(notes["counts"]), str(notes["problem"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, text: str, result: ParseResult) -> None:
        """Store a result; if the folder cannot be written, warn once and store nothing."""
        path = self._path(text)
        if path is None:
            return
        notes = json.dumps({"counts": dict(result.counts), "problem": result.error})
        columns = {name: getattr(result.trees, name).astype(dtype) for name, dtype in _COLUMNS.items()}
        if (columns["depth"] != result.trees.depth).any():
            return  # deeper than int16 holds
        try:
            with atomic_write(path, any_process=True) as aside, open(aside, "wb") as file:
                np.savez_compressed(file, **columns, unparsed=result.unparsed, notes=np.asarray(notes))
        except OSError as error:
            self._folder = None
            warnings.warn(
                f"parsed text cannot be stored in {cache_folder()} ({error}) and will be parsed again next time: "
                "set DNI_JAX_CACHE to a folder that can be written",
                stacklevel=2,
            )

    def prune(self, limit: int = LIMIT) -> None:
        """Remove the oldest entries, of all languages, if they exceed `limit` bytes together."""
        if self._folder is None:
            return
        try:
            remove_leftovers(self._folder)
            found = [(file.stat(), file) for file in self._folder.parent.glob("*/*.npz")]
            total = sum(status.st_size for status, _ in found)
            if total <= limit:
                return
            for status, file in sorted(found, key=lambda pair: pair[0].st_mtime):
                file.unlink(missing_ok=True)
                total -= status.st_size
                if total <= _AFTER_PRUNING * limit:
                    return
        except OSError:  # another process is removing them too
            return


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
