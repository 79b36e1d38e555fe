"""The manifest of a run's folder: the content of each result, and the fingerprint of the network they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dni_jax.files import FORMAT, atomic_write, check_format, read_text

NAME = "manifest.json"

# SHA-256 of the content by the file's name. None while the file is being replaced: it is then the old or the new one.
Files = Mapping[str, str | None]


def read_manifest(folder: Path) -> Files | None:
    """Read the manifest of a folder; None if it has none, as a run of an earlier version.

    Raises
    ------
    ValueError
        If the manifest is broken, or was written by a newer version.
    """
    file = folder / NAME
    if not file.exists():
        return None
    try:
        held = json.loads(read_text(file))
        check_format(held.get("format"), file)
        files = held["files"]
        if not all(value is None or isinstance(value, str) for value in files.values()):
            raise ValueError("a file without a hash")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if "newer dni_jax" in str(error):
            raise
        raise ValueError(
            f"expected the manifest of a run in {str(file)!r}, got a broken one ({error}): remove it to read the "
            "folder without a check"
        ) from error
    return dict(files)


def write_manifest(folder: Path, files: Files) -> None:
    """Write the manifest of a folder."""
    with atomic_write(folder / NAME) as part:
        part.write_text(json.dumps({"format": FORMAT, "files": dict(sorted(files.items()))}, indent=1))


def list_files(folder: Path, names: Iterable[str]) -> Files:
    """Return the manifest of a folder that has none: the files of these names, as they are."""
    return {name: hash_file(folder / name) for name in names if (folder / name).is_file()}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_problem(folder: Path, files: Files, names: Iterable[str]) -> str | None:
    """Return why a file of these names is not the one that the manifest lists, or None if all are."""
    for name in names:
        path = folder / name
        if not path.exists():
            continue
        if not path.is_file():
            return f"expected a file in {str(path)!r}, got a folder, pipe or device: is it a run's folder?"
        try:
            content = hash_file(path)
        except FileNotFoundError:  # removed in the meantime
            continue
        if name not in files:
            problem = f"expected in {str(folder)!r} only files of this run, got {str(path)!r}, which it has not written"
        elif files[name] not in (None, content):
            problem = f"expected {str(path)!r} as the run has written it, got other content (damage, or another run's)"
        else:
            continue
        return (
            f"{problem}: put the run's own file back; or remove it, and `dni run --resume --out {folder}` computes it "
            f"again; or remove {NAME}, to read the folder without a check"
        )
    return None
