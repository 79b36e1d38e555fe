"""Rows of measurements in a file, so that a sweep that was stopped goes on, and a later one adds to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dni_jax.files import atomic_write

Row = dict[str, Any]


class Results:
    """Rows of a JSON file, one a line; the file is whole after every new row.

    Parameters
    ----------
    path
        The file; made with its first row.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.rows: list[Row] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def find(self, **key: Any) -> list[Row]:
        """Return the rows that have these values."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in key.items())]

    def measured(self, measure: Callable[[], Row], **key: Any) -> Row:
        """Return the row with this key; where there is none, measure it and write it down.

        Raises
        ------
        ValueError
            If what is measured has a name of the key.
        """
        found = self.find(**key)
        if found:
            return found[0]
        values = measure()
        if set(values) & set(key):
            raise ValueError(f"expected measurements beside the key, got {sorted(set(values) & set(key))} in both")
        self.rows.append(key | values)
        lines = ",\n".join(json.dumps(row) for row in self.rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as part:
            part.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(json.dumps(self.rows[-1]), flush=True)
        return self.rows[-1]
