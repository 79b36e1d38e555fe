"""Which folders are meant: paths and patterns in, run folders and their short names out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

_MARK = "config.toml"  # what makes a folder a run


def find_runs(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Find the run folders that are meant, each once, in the order in which they were named.

    A pattern passes over what is no run. What is there by its whole name is no pattern, whatever signs it holds.

    Parameters
    ----------
    paths
        A folder, a pattern (``runs/*``, ``runs/**/``), or several; ``~`` is the home folder.

    Raises
    ------
    ValueError
        For a folder named as it is that holds no run, or where there is no run at all.
    """
    asked = [paths] if isinstance(paths, str | Path) else list(paths)
    found: dict[Path, Path] = {}
    for one in asked:
        for folder in _folders(os.path.expanduser(one)):
            path = Path(os.path.abspath(folder))
            found.setdefault(path.resolve(), path)
    if not found:
        raise ValueError(
            f"expected at least one run (a folder with a {_MARK}) at {', '.join(repr(str(one)) for one in asked)}, "
            f"looked for from {os.getcwd()!r}, got none: a run is what `dni run` leaves behind"
        )
    return list(found.values())


def _folders(path: str) -> list[str]:
    if has_magic(path) and not os.path.exists(path):
        return sorted(folder for folder in glob(path, recursive=True) if _is_run(folder))
    if not _is_run(path):
        what = (
            "which holds no run" if os.path.isdir(path) else "which is no folder" if os.path.exists(path) else "nothing"
        )
        raise ValueError(
            f"expected a run's folder (with a {_MARK}) in {path!r}, got {what}: a pattern in quotes, 'runs/*', passes "
            "over what is no run"
        )
    return [path]


def _is_run(path: str) -> bool:
    return os.path.isfile(os.path.join(path, _MARK))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Give each path the shortest ending that no other path has.

    Examples
    --------
    >>> short_names([Path("/a/runs/one"), Path("/a/runs/two"), Path("/b/runs/two")])
    ['one', 'a/runs/two', 'b/runs/two']
    """
    endings = [["/".join(path.parts[-n:]) for n in range(1, len(path.parts) + 1)] for path in paths]
    counts = Counter(ending for own in endings for ending in own)
    return [next(ending for ending in own if counts[ending] == 1) for own in endings]
