"""Atomic writes, locks on folders, and the format number of written files."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
import uuid
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dni_jax import processes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# All files of a run share one number, because one version of the program writes them. Files without a number are
# format 1.
FORMAT = 2
LOCK = ".lock"

# Names of what `atomic_write` writes aside: the target's name, the host (in names of this version), the process.
_ASIDE = re.compile(r"\.(?P<target>.+?)(?:\.(?P<host>h[0-9a-f]{8}))?\.(?P<process>\d+)(?:-\d+)?\.(?P<kind>part|old)")
_OLD = 86_400  # seconds after which what another machine, or one without a name, has written aside counts as left
# Two containers may have the same host name and number their processes alike.
_PROCESS = uuid.uuid4().hex


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


def check_array_path(path: str | Path) -> Path:
    """Return the absolute path of a folder for arrays.

    Raises
    ------
    ValueError
        If the path has a backslash, other than as a separator: TensorStore, which stores arrays, reads it as a slash
        and would write into another folder.
    """
    absolute = Path(path).resolve()
    if "\\" in str(absolute) and os.sep != "\\":
        raise ValueError(
            f"expected a path without a backslash, got {str(absolute)!r}: arrays would be stored in another folder, so "
            "rename this one"
        )
    return absolute


def read_text(path: str | Path) -> str:
    """Read UTF-8 text from a file, but not from a pipe or device, which a reader would wait for.

    Raises
    ------
    ValueError
        For a folder, pipe or device, and for what is not UTF-8.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError("a folder, pipe or device")
    return path.read_text(encoding="utf-8")


def check_regular_files(folder: str | Path) -> None:
    """Raise an error if a folder holds a pipe or a device, which readers of arrays would wait for.

    Raises
    ------
    ValueError
        If it does.
    """
    if not os.path.isdir(folder):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                check_regular_files(entry.path)
            elif not (entry.is_file() or entry.is_dir()) and os.path.exists(entry.path):
                raise ValueError(f"expected files and folders, got {entry.path!r}, a pipe or device: remove it")


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or one that it followed, says that a disk has no room left.

    Examples
    --------
    >>> is_disk_full(OSError(28, "No space left on device")), is_disk_full(ValueError("no such file"))
    (True, False)
    """
    found: BaseException | None = error
    while found is not None:
        text = str(found)
        if getattr(found, "errno", None) == errno.ENOSPC or "No space left on device" in text or "ENOSPC" in text:
            return True
        found = found.__cause__ or found.__context__
    return False


@contextmanager
def atomic_write(path: str | Path, *, any_process: bool = False, replaces: Collection[str] = ()) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, remove it otherwise.

    Works for files and for folders that the block creates. An existing file is replaced in one step. An existing folder
    is moved aside first and removed last, so the old or the new one exists at every moment. What killed processes
    have left aside of this file or folder is removed.

    Parameters
    ----------
    path
        The file or folder to write.
    any_process
        When several processes share a run, only the first one writes, and files of the others are discarded. True lets
        every process write.
    replaces
        The names that an existing folder may hold to be replaced by another folder. By default, only an empty folder
        is.

    Raises
    ------
    ValueError
        If `path` is a folder that would be lost.

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
    _check_replaceable(path, replaces)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not any_process:
        remove_leftovers(path.parent, path.name)
    writer = f"{_host()}.{os.getpid()}" + ("" if processes.is_first() else f"-{processes.index()}")
    part = path.with_name(f".{path.name}.{writer}.part")
    remove(part)
    try:
        yield part
        _check_replaceable(path, replaces)
        if path.is_dir() and not part.is_dir():
            raise ValueError(f"expected a path for a file, got the folder {str(path)!r}: use another path")
        if part.is_dir() and not path.is_dir() and os.path.lexists(path):
            raise ValueError(f"expected a path for a folder, got the file or link {str(path)!r}: use another path")
        if path.is_dir() and not replaces:
            path.rmdir()  # fails, and loses nothing, if something has come into it
        if path.is_dir():
            old = path.with_name(f".{path.name}.{writer}.old")
            os.replace(path, old)
            os.replace(part, path)
            remove(old)
        else:
            os.replace(part, path)
    finally:
        remove(part)


def _check_replaceable(path: Path, names: Collection[str]) -> None:
    """Raise a ValueError if a path is a folder that holds anything but these names."""
    others = sorted(set(os.listdir(path)).difference(names)) if path.is_dir() else []
    if others:
        raise ValueError(
            f"expected a new path, got {str(path)!r}, a folder that holds {others[0]!r}, which would be lost: use "
            "another path"
        )


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes have written aside in a folder, by default for all names in it.

    What processes of other machines have written aside is removed a day later. A folder that was moved aside to be
    replaced is moved back if nothing has come in its place.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / f".result.txt.{_host()}.999999999.part").write_text("half")
    >>> remove_leftovers(folder)
    >>> list(folder.iterdir())
    []
    """
    for path in sorted(folder.glob(".*")):
        found = _ASIDE.fullmatch(path.name)
        if found is None or found["target"] != (name or found["target"]):
            continue
        is_ours = found["host"] == _host() or found["host"] is None
        if is_ours and _is_running(int(found["process"])):
            continue
        if found["host"] != _host() and time.time() - path.lstat().st_mtime < _OLD:
            continue
        target = path.with_name(found["target"])
        if found["kind"] == "old" and not target.exists():
            os.replace(path, target)
        else:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _host() -> str:
    """Return a short name of this machine for file names."""
    return f"h{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, ValueError):
        return False
    except OSError:
        return True  # it belongs to somebody else
    return True


class FolderLock:
    """A lock on a folder that lasts until it is released or the process ends, however it ends.

    The file ``.lock`` in the folder names its holder. The operating system releases the lock of a process that is
    killed, so a file that was left is no obstacle. A process may lock a folder several times.

    Parameters
    ----------
    folder
        The folder; it must exist.

    Raises
    ------
    ValueError
        If another process holds the lock.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> lock = FolderLock(folder)
    >>> lock.release()
    >>> list(folder.iterdir())
    []
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None
        if fcntl is not None:
            self._file = self._acquire()

    def _acquire(self) -> int | None:
        while True:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read_holder(file)
                os.close(file)
                if (holder.get("process"), holder.get("key")) == (os.getpid(), _PROCESS):
                    return None
                raise ValueError(
                    f"expected a folder that no other process works in, got {str(self._path.parent)!r}, in use by "
                    f"process {holder.get('process', '(unknown)')} on {holder.get('host', '(unknown)')} since "
                    f"{holder.get('start', '(unknown)')}: wait for it or stop it, or use another folder"
                ) from None
            except OSError:  # a file system without locks
                os.close(file)
                return None
            if _is_at(file, self._path):
                os.ftruncate(file, 0)
                start = time.strftime("%Y-%m-%d %H:%M:%S")
                holder = {"host": socket.gethostname(), "process": os.getpid(), "start": start, "key": _PROCESS}
                os.write(file, json.dumps(holder).encode())
                return file
            os.close(file)  # the holder before has removed the file between opening and locking it

    def _open(self) -> int:
        """Open the file, but not what a link in its place leads to."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
        else:
            if stat.S_ISREG(os.fstat(file).st_mode):
                return file
            os.close(file)
        raise ValueError(
            f"expected a file or nothing in {str(self._path)!r}, got a link, folder, pipe or device: remove it"
        )

    def release(self) -> None:
        """Release the lock, if this one holds it."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _read_holder(file: int) -> dict[str, object]:
    try:
        held = json.loads(os.pread(file, 1_000, 0))
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}
