"""The description of a store of states: what they depend on, and how many are there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dni_jax.files import atomic_write

FORMAT = 2  # raised when an older version could not read a store
_WITHOUT_SYMBOLS = 1  # older versions read stores of networks of our own
NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The description of a store.

    Attributes
    ----------
    corpus, network, intervention
        Fingerprints of what the states depend on; the last is None where nothing was overridden.
    what, dtype
        The kinds of states, and the type of their numbers.
    chunk
        How many characters the network read at a time.
    n_positions, n_neurons
        The sizes T and N of the whole.
    gate_names
        As of `Activations`.
    with_symbols
        Whether the store says which symbol was read at each position: those of imported networks do, which may
        have none.
    done
        How many positions are durably on disk, from the first: always the end of a chunk.
    low, high
        Smallest and largest hidden state of each neuron so far.
    """

    corpus: str
    network: str
    intervention: str | None
    what: tuple[str, ...]
    dtype: str
    chunk: int
    n_positions: int
    n_neurons: int
    gate_names: tuple[str, ...]
    with_symbols: bool = False
    done: int = 0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all positions are there."""
        return self.done == self.n_positions

    def difference(self, other: Manifest) -> str | None:
        """Describe how another recording differs from this one; None where it is the same."""
        words = {
            "corpus": "another corpus",
            "network": "another network (other weights or another vocabulary)",
            "intervention": "another intervention",
        }
        for field in fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            if field.name not in ("done", "low", "high") and mine != its:
                return words.get(field.name, f"{field.name} {_plain(mine)} instead of the requested {_plain(its)}")
        return None

    def write(self, folder: Path) -> None:
        """Write it into a store in one step; it is on disk when this returns."""
        with atomic_write(folder / NAME) as part, part.open("w", encoding="utf-8") as file:
            version = FORMAT if self.with_symbols else _WITHOUT_SYMBOLS
            json.dump({"format": version, **asdict(self)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read a store's description.

    Raises
    ------
    ValueError
        Where there is none, or it is of a newer version or broken.
    """
    try:
        about: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        version = about.pop("format")
        if version > FORMAT:
            raise ValueError(f"format {version}, which is newer than this version's {FORMAT}: install a newer dni_jax")
        lists = {name: tuple(value) for name, value in about.items() if isinstance(value, list)}
        return Manifest(**(about | lists))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a store of states in {str(folder)!r}, got: {error}") from error


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
