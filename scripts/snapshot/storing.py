"""The files of a snapshot, and the choice of cases by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

Snapshot = tuple[dict[str, np.ndarray], dict[str, Any], dict[str, dict[str, Any]]]  # arrays, texts, log of the cases


def write_snapshot(
    folder: Path, arrays: dict[str, np.ndarray], texts: dict[str, Any], log: dict[str, dict[str, Any]]
) -> None:
    """Save the results, keyed by the case and, after a bar, the place within it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    for name, held in (("texts", texts), ("cases", log)):
        (folder / f"{name}.json").write_text(json.dumps(held, ensure_ascii=False, indent=1), encoding="utf-8")


def read_snapshot(folder: Path) -> Snapshot:
    """Read what `write_snapshot` saved."""
    with np.load(folder / "arrays.npz") as held:
        arrays = {key: held[key] for key in held.files}
    texts, log = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("texts", "cases"))
    return arrays, texts, log


def chosen(names: Iterable[str], only: str, skip: str) -> list[str]:
    """Return the names that match one pattern and not the other."""
    return [name for name in names if re.search(only, name) and not re.search(skip, name)]
