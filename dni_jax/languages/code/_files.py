"""Text files of a folder, or of a tar archive without unpacking it."""

from __future__ import annotations

import io
import lzma
import tarfile
import tokenize
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

_MARGIN = 1 << 24  # bytes that are read beyond those that the characters wanted can take


@dataclass(frozen=True)
class TextFile:
    """A file's name and text, or the error that prevents reading it."""

    name: str
    text: str
    error: str = ""

    @classmethod
    def decode(cls, name: str, content: bytes, whole: bool = True) -> TextFile:
        r"""Decode UTF-8 text, and Python in the coding that it declares (PEP 263); line ends become ``\\n``.

        Of a content that is not whole, a last character that is cut is left out.
        """
        coding = "utf-8-sig"
        try:
            if name.endswith((".py", ".pyi")):
                coding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
            text = content.decode(coding) if whole else _decode_beginning(content, coding)
        except (UnicodeDecodeError, SyntaxError, LookupError) as error:
            expected = "UTF-8 text" if coding == "utf-8-sig" else f"text in the declared coding {coding}"
            return cls(name, "", f"expected {expected}, got {error}")
        return cls(name, text.replace("\r\n", "\n").replace("\r", "\n"))

    @classmethod
    def read(cls, path: Path, max_chars: int | None = None) -> TextFile:
        """Read a file, or of a much larger one as much as `max_chars` characters can need."""
        try:
            if path.exists() and not path.is_file():
                return cls(str(path), "", "expected a file that can be read, got a folder, pipe or device")
            with path.open("rb") as file:
                return cls._read(str(path), file, max_chars)
        except OSError as error:
            return cls(str(path), "", f"expected a file that can be read, got {error}")

    @classmethod
    def _read(cls, name: str, file: Any, max_chars: int | None) -> TextFile:
        most = -1 if max_chars is None else 4 * max_chars + _MARGIN  # UTF-8 has at most four bytes a character
        content = file.read(most)
        return cls.decode(name, content, len(content) != most)


def _decode_beginning(content: bytes, coding: str) -> str:
    """Decode bytes that may end within a character."""
    for missing in range(3):
        try:
            return content[: len(content) - missing].decode(coding)
        except UnicodeDecodeError:
            continue
    return content[:-3].decode(coding)


def find_files(path: str | Path, glob: str = "**/*") -> list[Path]:
    """List the files in a folder that match, sorted; a file's path gives the file itself.

    Raises
    ------
    ValueError
        If there is no such file or folder, or no file in it matches.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"expected a file or a folder of text, got {str(path)!r}, which does not exist")
    files = sorted(file for file in path.glob(glob) if file.is_file())
    if not files:
        raise ValueError(f"expected files that match {glob!r} under {str(path)!r}, got none: try another --glob")
    return files


def read_files(path: str | Path, glob: str, seed: int, max_chars: int | None) -> Iterator[TextFile]:
    """Read the matching files of a folder or a tar archive in random order, or a single file.

    Parameters
    ----------
    path
        A file, a folder, or a tar archive, compressed or not.
    glob
        Which files to read, as for ``Path.glob``; in an archive it applies to the members' paths.
    seed
        Decides the order.
    max_chars
        How many characters are wanted. Only as much of an archive is held in memory as they can need.

    Raises
    ------
    ValueError
        If there is nothing at the path, no file matches, or the archive is broken.
    """
    path = Path(path)
    if path.is_file() and tarfile.is_tarfile(path):
        yield from _read_archive(path, glob, seed, max_chars)
        return
    files = find_files(path, glob)
    for row in np.random.default_rng(seed).permutation(len(files)):
        yield TextFile.read(files[row], max_chars)


def _read_archive(path: Path, glob: str, seed: int, max_chars: int | None) -> Iterator[TextFile]:
    try:
        with tarfile.open(path) as archive:
            members = {str(PurePosixPath(one.name)): one for one in archive if not one.isdir()}
            names = sorted(name for name in members if matches_glob(name, glob))
            if not names:
                raise ValueError(
                    f"expected members of {str(path)!r} that match {glob!r}, got none: it holds "
                    f"{', '.join(sorted(members)[:3]) or 'no file'}; try another glob"
                )
            names = [names[row] for row in np.random.default_rng(seed).permutation(len(names))]
            if max_chars is not None:
                sizes = np.cumsum([members[name].size for name in names])
                names = names[: int(np.searchsorted(sizes, 2 * max_chars + _MARGIN)) + 1]
            # Members are read in the archive's order: seeking back in a compressed file decompresses it from the start.
            texts = {
                name: _read_member(archive, members[name], name, max_chars)
                for name in sorted(names, key=[*members].index)
            }
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"expected a tar archive that can be read, got {str(path)!r}: {error}") from error
    for name in names:
        yield texts.pop(name)


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, max_chars: int | None) -> TextFile:
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        return TextFile(name, "", "expected a regular file in the archive, got a link or a device")
    return TextFile._read(name, file, max_chars)


def matches_glob(name: str, glob: str) -> bool:
    """Return whether ``Path.glob`` would find a relative path: ``**`` stands for any number of folders.

    Examples
    --------
    >>> [matches_glob(name, "**/*.c") for name in ["a.c", "a/b/c.c", "a/b.h"]]
    [True, True, False]
    >>> [matches_glob(name, "kernel/*.c") for name in ["kernel/fork.c", "kernel/bpf/core.c", "a/kernel/fork.c"]]
    [True, False, False]
    """
    return _match(name.split("/"), glob.removeprefix("./").split("/"))


def _match(folders: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not folders
    if patterns[0] == "**":
        return any(_match(folders[count:], patterns[1:]) for count in range(len(folders) + 1))
    return bool(folders) and fnmatchcase(folders[0], patterns[0]) and _match(folders[1:], patterns[1:])
