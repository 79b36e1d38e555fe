"""Text files of a folder or of a tar archive, in random order, without unpacking."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from dni_jax.languages.code._realtext import TextFile
from dni_jax.languages.code._textfiles import find_files

_SPARE = 1 << 24  # bytes of an archive that are looked at beyond twice what is wanted


def read_files(path: str | Path, glob: str, seed: int, max_chars: int | None) -> Iterator[TextFile]:
    """Read the files of a folder, or the members of a tar archive, that match, in random order; or the one file.

    Parameters
    ----------
    path
        A file, a folder, or a tar archive, compressed or not.
    glob
        What to read, as for ``Path.glob``; in an archive, of the members' paths.
    seed
        Decides the order.
    max_chars
        How many characters are wanted; no more of an archive is held than can be needed for them.

    Raises
    ------
    ValueError
        Where there is nothing at the path, nothing matches, or the archive is broken.
    """
    path = Path(path)
    if path.is_file() and tarfile.is_tarfile(path):
        yield from _from_archive(path, glob, seed, max_chars)
        return
    files = find_files(path, glob)
    for row in np.random.default_rng(seed).permutation(len(files)):
        name = str(files[row])
        try:
            yield TextFile.decoded(name, files[row].read_bytes())
        except OSError as error:
            yield TextFile(name, "", f"expected a file that can be read, got {error}")


def _from_archive(path: Path, glob: str, seed: int, max_chars: int | None) -> Iterator[TextFile]:
    try:
        with tarfile.open(path) as archive:
            members = {str(PurePosixPath(one.name)): one for one in archive if not one.isdir()}
            names = sorted(name for name in members if matches(name, glob))
            if not names:
                raise ValueError(
                    f"expected members of {str(path)!r} that match {glob!r}, got none: it holds "
                    f"{', '.join(sorted(members)[:3]) or 'no file'}; try another glob"
                )
            names = [names[row] for row in np.random.default_rng(seed).permutation(len(names))]
            if max_chars is not None:
                sizes = np.cumsum([members[name].size for name in names])
                names = names[: int(np.searchsorted(sizes, 2 * max_chars + _SPARE)) + 1]
            # In the archive's own order: going back in a compressed file means to begin anew.
            texts = {name: _member(archive, members[name], name) for name in sorted(names, key=list(members).index)}
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"expected a tar archive that can be read, got {str(path)!r}: {error}") from error
    for name in names:
        yield texts.pop(name)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> TextFile:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        return TextFile(name, "", "expected a regular file in the archive, got a link or a device")
    return TextFile.decoded(name, file.read())


def matches(name: str, glob: str) -> bool:
    """Whether a relative path matches as ``Path.glob`` would find it: ``**`` stands for any number of folders.

    Examples
    --------
    >>> [matches(name, "**/*.c") for name in ["a.c", "a/b/c.c", "a/b.h"]]
    [True, True, False]
    >>> [matches(name, "kernel/*.c") for name in ["kernel/fork.c", "kernel/bpf/core.c", "a/kernel/fork.c"]]
    [True, False, False]
    """
    return _match(name.split("/"), glob.removeprefix("./").split("/"))


def _match(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match(parts[count:], patterns[1:]) for count in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match(parts[1:], patterns[1:])
