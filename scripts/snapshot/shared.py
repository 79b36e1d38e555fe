"""The small text, networks, states and labels that many cases use; each is made once."""

from __future__ import annotations

from functools import cache
from typing import Any

import names
import numpy as np

import dni_jax as dni

FEATURES = ("digit", "depth", "depth=1", "symbol:2", "range:e3", "impulse:e2")
FOLDS = 4
BRIEF = {"hidden": 12, "steps": 40, "batch": 8, "window": 32, "evaluate_every": 20}


@cache
def language() -> Any:
    return dni.languages.get("parentheses")


@cache
def corpus() -> Any:
    return language().sample(400, seed=0)


@cache
def text() -> Any:
    """What networks read: 640 characters that they were not trained on."""
    return corpus().test


@cache
def network(cell: str = "lstm", layers: int = 1) -> Any:
    return names.train(corpus(), cell=cell, layers=layers, seed=0, **BRIEF)


@cache
def population() -> Any:
    return names.train_population(corpus(), (0, 1), (0.01, 0.003), **BRIEF)


@cache
def states() -> Any:
    return dni.record(network(), text(), what=("hidden", "cell", "gates", "logits"))


@cache
def library() -> Any:
    return language().features().select(*FEATURES)


@cache
def labels() -> Any:
    return library().label(text())


@cache
def relevance() -> Any:
    return dni.inspect(states(), labels(), folds=FOLDS)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def label_parts(found: Any) -> dict[str, Any]:
    """Labels as arrays by their names."""
    columns = {str(name): np.asarray(column) for name, column in zip(found.names, found.columns, strict=True)}
    return {"columns": columns, "kinds": list(found.kinds), "mask": found.mask}


def corpus_parts(some: Any) -> dict[str, Any]:
    """A corpus as its strings, splits and trees."""
    parts = {"strings": list(some.strings), "groups": some.groups, "split": some.split, "codes": some.flat_codes,
             "begins": some.begins, "ends": some.ends}  # fmt: skip
    return parts | ({} if some.trees is None else {"trees": names.tree_arrays(some.trees)})
