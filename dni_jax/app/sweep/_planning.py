"""Which runs of a sweep train together: those of one shape on one text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dni_jax.app.config import RunConfig
from dni_jax.app.sweep._config import Planned

_Network = tuple[float | None, int]  # learning rate, seed


@dataclass(frozen=True)
class Group:
    """Runs that are one task.

    Attributes
    ----------
    networks
        For every network, the runs that ask about it: runs that differ in no setting of the training have one
        network in common. Networks differ in seed and learning rate only, every seed with every rate.
    """

    networks: tuple[tuple[Planned, ...], ...]

    @property
    def runs(self) -> tuple[Planned, ...]:
        """All of them."""
        return tuple(run for runs in self.networks for run in runs)

    @property
    def firsts(self) -> tuple[Planned, ...]:
        """One run a network."""
        return tuple(runs[0] for runs in self.networks)

    @property
    def name(self) -> str:
        """A name of its own."""
        names = [run.name for run in self.firsts]
        return f"{names[0]}+{len(names) - 1}_{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the networks, each once."""
        return tuple(dict.fromkeys(run.config.train.seed for run in self.firsts))

    @property
    def rates(self) -> tuple[float, ...] | None:
        """Learning rates of the networks, each once; None where the text decides."""
        rates = dict.fromkeys(run.config.train.learning_rate for run in self.firsts)
        return None if None in rates else tuple(rate for rate in rates if rate is not None)


def grouped(runs: Iterable[Planned], together: int) -> tuple[Group, ...]:
    """Put runs together that can train as one population, in the order of their first runs.

    Parameters
    ----------
    runs
        Those to do.
    together
        The most networks in a group.

    Examples
    --------
    >>> from dni_jax.app.sweep import SweepConfig
    >>> sweep = SweepConfig("s", grid={"hidden": [8, 16], "seed": [0, 1, 2], "probe": ["svm", "ridge"]})
    >>> [(len(group.networks), len(group.runs)) for group in grouped(sweep.runs, together=16)]
    [(3, 6), (3, 6)]
    >>> [len(group.networks) for group in grouped(sweep.runs, together=2)]
    [2, 1, 2, 1]
    """
    shapes: dict[str, dict[_Network, list[Planned]]] = {}
    for run in runs:
        train = run.config.train
        shapes.setdefault(_shape(run.config), {}).setdefault((train.learning_rate, train.seed), []).append(run)
    return tuple(group for networks in shapes.values() for group in _groups(networks, together))


def _shape(config: RunConfig) -> str:
    """Everything that networks of one population share; what is asked of them counts where it is asked in training."""
    settings: dict[str, Any] = asdict(config)
    settings["text_seed"] = config.draws_text
    for name in ("seed", "learning_rate"):
        del settings["train"][name]
    if config.inspect_every is None:
        del settings["inspect"]
    del settings["verify"]
    return repr(settings)


def _groups(networks: dict[_Network, list[Planned]], together: int) -> Iterator[Group]:
    """Split networks so that each part has every one of its seeds with every one of its rates."""
    seeds_of: dict[float | None, list[int]] = {}
    for rate, seed in networks:
        seeds_of.setdefault(rate, []).append(seed)
    alike: dict[tuple[bool, frozenset[int]], list[float | None]] = {}
    for rate, seeds in seeds_of.items():
        alike.setdefault((rate is None, frozenset(seeds)), []).append(rate)
    for rates in alike.values():
        seeds = seeds_of[rates[0]]
        for some in _parts(seeds, together):
            for few in _parts(rates, together // len(some)):
                yield Group(tuple(tuple(networks[rate, seed]) for rate in few for seed in some))


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    most = max(most, 1)
    for first in range(0, len(values), most):
        yield values[first : first + most]
