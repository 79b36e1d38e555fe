"""Files that appear whole or not at all, and the version of what is in them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dni_jax import processes

# One number for all files of a run: one program writes them together, and a reader wants to know who wrote the folder.
# Format 1, before there was a number, is read as what has none.
FORMAT = 2


def check_format(found: object, path: str | Path) -> None:
    """Refuse a file that a newer version has written; None, of a file without a number, is format 1.

    Raises
    ------
    ValueError
        For a newer format, or something that is no format; names the file.

    Examples
    --------
    >>> check_format(None, "config.toml")
    >>> check_format(FORMAT + 1, "config.toml")
    Traceback (most recent call last):
    ValueError: expected 'config.toml' in format 2 or older, got format 3, written by a newer dni_jax: update it
    """
    number = 1 if found is None else found
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"expected {str(path)!r} with the number of its format, got {found!r}: is the file broken?")
    if number > FORMAT:
        raise ValueError(
            f"expected {str(path)!r} in format {FORMAT} or older, got format {number}, written by a newer dni_jax: "
            "update it"
        )


@contextmanager
def atomic_write(path: str | Path, *, by_all: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place when the block ends well, remove it otherwise.

    Works for a file and for a folder (which the block creates). An existing file is replaced in one step; an
    existing folder is moved away first and removed last, so that one of the two is there at every moment.

    Of several processes that do one job, the first alone writes; what others write is thrown away, unless the file is
    one that each of them may write (`by_all`).

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with atomic_write(target) as aside:
    ...     _ = aside.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    if not (by_all or processes.is_first()):
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere) / path.name
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    own = str(os.getpid()) if processes.is_first() else f"{os.getpid()}-{processes.index()}"
    aside = path.with_name(f".{path.name}.{own}.part")
    _remove(aside)
    try:
        yield aside
        if path.is_dir():
            old = path.with_name(f".{path.name}.{own}.old")
            os.replace(path, old)
            os.replace(aside, path)
            _remove(old)
        else:
            os.replace(aside, path)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
