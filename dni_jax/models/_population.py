"""Networks of one shape that were trained together, and differ in seed and learning rate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from dni_jax import processes
from dni_jax.files import atomic_write, check_regular_files
from dni_jax.models._trained import TrainedModel, load

_INDEX = "population.json"


@dataclass(frozen=True, eq=False)
class Population(Sequence[TrainedModel]):
    """A sequence of networks that read the same symbols.

    Attributes
    ----------
    models
        The networks.
    diverged
        For each, the step at which its loss stopped being finite, or None; its weights are then those of its best
        evaluation before.
    """

    models: tuple[TrainedModel, ...]
    diverged: tuple[int | None, ...]

    @overload
    def __getitem__(self, index: int) -> TrainedModel: ...

    @overload
    def __getitem__(self, index: slice) -> Population: ...

    def __getitem__(self, index: int | slice) -> TrainedModel | Population:
        """Return one network, or some as a population."""
        if isinstance(index, slice):
            return Population(self.models[index], self.diverged[index])
        return self.models[index]

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[TrainedModel]:
        return iter(self.models)

    def __repr__(self) -> str:
        losses = self.validation_losses
        span = f"validation loss {np.nanmin(losses):.4f} to {np.nanmax(losses):.4f} nats"
        return f"Population({len(self)} of {self.models[0]!r}; {span})"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Each network's seed."""
        return tuple(-1 if model.config is None else model.config.seed for model in self.models)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Each network's highest learning rate."""
        return tuple(float("nan") if model.config is None else model.config.learning_rate for model in self.models)

    @property
    def validation_losses(self) -> tuple[float, ...]:
        """Each network's best validation loss, in nats per symbol."""
        return tuple(model.validation_loss for model in self.models)

    @property
    def best(self) -> TrainedModel:
        """The network with the lowest validation loss."""
        return self.models[int(np.nanargmin(self.validation_losses))]

    def save(self, path: str | Path) -> None:
        """Write all networks to a folder; it appears whole or not at all, and replaces a population that was there.

        With several processes, only the first writes.

        Raises
        ------
        ValueError
            Where the folder holds anything but a population.
        """
        if not processes.is_first():
            return
        models = (file.parent.name for file in Path(path).glob("*/model.json") if file.parent.name.isdecimal())
        with atomic_write(path, replaces=(_INDEX, *models)) as folder:
            folder.mkdir()
            for number, model in enumerate(self.models):
                model.save(folder / str(number))
            (folder / _INDEX).write_text(json.dumps({"diverged": self.diverged}), encoding="utf-8")


def load_population(path: str | Path) -> Population:
    """Read a population that `Population.save` has written.

    Raises
    ------
    ValueError
        Where the folder holds none, or a broken one.
    """
    return processes.broadcast(lambda: _load_population(Path(path)))


def _load_population(path: Path) -> Population:
    check_regular_files(path)
    try:
        diverged = json.loads((path / _INDEX).read_text(encoding="utf-8"))["diverged"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"expected a saved population in {str(path)!r}, got: {error}") from error
    return Population(tuple(load(path / str(number)) for number in range(len(diverged))), tuple(diverged))
