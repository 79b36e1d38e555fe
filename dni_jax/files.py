"""Atomic writes, and the format number of written files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dni_jax import processes

# All files of a run share one number, because one version of the program writes them. Files without a number are
# format 1.
FORMAT = 2


def check_format(found: object, path: str | Path) -> None:
    """Raise an error if a file has a newer format than this version can read.

    Parameters
    ----------
    found
        The format number in the file; None, if it has no number, means format 1.
    path
        The file, for the message.

    Raises
    ------
    ValueError
        If the format is newer than `FORMAT`, or not a positive integer.

    Examples
    --------
    >>> check_format(None, "config.toml")
    >>> check_format(FORMAT + 1, "config.toml")
    Traceback (most recent call last):
    ValueError: expected 'config.toml' in format 2 or older, got format 3, written by a newer dni_jax: update it
    """
    number = 1 if found is None else found
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"expected {str(path)!r} with a format number, got {found!r}: is the file broken?")
    if number > FORMAT:
        raise ValueError(
            f"expected {str(path)!r} in format {FORMAT} or older, got format {number}, written by a newer dni_jax: "
            "update it"
        )


@contextmanager
def atomic_write(path: str | Path, *, any_process: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, remove it otherwise.

    Works for files and for folders that the block creates. An existing file is replaced in one step. An existing folder
    is moved aside first and removed last, so the old or the new one exists at every moment.

    Parameters
    ----------
    path
        The file or folder to write.
    any_process
        When several processes share a run, only the first one writes, and files of the others are discarded. True lets
        every process write.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with atomic_write(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    if not (any_process or processes.is_first()):
        with tempfile.TemporaryDirectory() as discarded:
            yield Path(discarded) / path.name
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = str(os.getpid()) if processes.is_first() else f"{os.getpid()}-{processes.index()}"
    part = path.with_name(f".{path.name}.{writer}.part")
    _remove(part)
    try:
        yield part
        if path.is_dir():
            old = path.with_name(f".{path.name}.{writer}.old")
            os.replace(path, old)
            os.replace(part, path)
            _remove(old)
        else:
            os.replace(part, path)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
