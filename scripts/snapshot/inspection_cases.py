"""`inspect` on states of every kind, and all that is added to what it finds."""

from __future__ import annotations

from functools import cache
from typing import Any

import names
import numpy as np
from registry import case
from shared import FOLDS, labels, language, library, network, population, relevance, rng, states, text

import dni_jax as dni


@case("inspect/arrays", "svm", "ridge", "ols")
def inspect_arrays(probe: str) -> Any:
    return dni.inspect(states().hidden, labels(), probe, FOLDS, groups=text().string_ids, seed=3)


@case("inspect/states")
def inspect_states() -> Any:
    folds = np.asarray(dni.make_folds(text().n_positions, FOLDS, scheme="shuffled"))
    binary, metrics = labels().select(kind="binary"), ("accuracy", "balanced_accuracy", "f1", "mcc", "auc")
    return {
        "all features": dni.inspect(states(), language().features().label(text()), folds=FOLDS),
        "metrics": dni.inspect(states(), binary, folds=FOLDS, metrics=metrics, class_weight="balanced", C=0.1),
        "folds": dni.inspect(states(), labels(), folds=folds),
        "binned": dni.inspect(states(), labels(), folds=FOLDS, engine="binned", n_bins=16),
        "memory": dni.inspect(states().cell, labels(), folds=FOLDS, groups=text().string_ids),
        "library": dni.inspect(states(), library(), folds=FOLDS, corpus=text()),
    }


@case("inspect/population")
def inspect_population() -> Any:
    recorded = dni.record(population(), text())
    return {
        "states": dni.inspect(recorded, labels(), folds=FOLDS),
        "arrays": dni.inspect(recorded.hidden, labels(), "ridge", FOLDS, groups=text().string_ids),
        "second": dni.inspect(recorded.of_model(1), labels(), folds=FOLDS),
    }


@case("inspect/stored")
def inspect_stored() -> Any:
    stored = dni.record(network(), text(), store="inspect_stored", chunk=200)
    chunked = dni.inspect(stored, library(), folds=FOLDS, corpus=text(), n_bins=64)
    return {
        "library": chunked,
        "labels": dni.inspect(names.open_states("inspect_stored"), labels(), "logistic", FOLDS, neuron_batch=5),
        "ridge": dni.inspect(stored, library().label_lazily(text()), "ridge", FOLDS, n_bins=64),
    }


@case("inspect/streamed")
def inspect_streamed() -> Any:
    return {
        "library": dni.inspect(names.stream(network(), text(), chunk=200), library(), folds=FOLDS, n_bins=64),
        "float32": dni.inspect(names.stream(network("gru"), text(), dtype="float32"), labels(), folds=FOLDS, n_bins=64),
    }


@case("inspect/streamed with a tolerance")
def inspect_with_tolerance() -> Any:
    many = language().sample(2_500, seed=5)
    some = library().select("digit", "depth")
    running = names.stream(network("rnn"), many, chunk=2_000)
    return dni.inspect(running, some, "ridge", FOLDS, tolerance=0.2, confidence=0.9, n_bins=32, seed=1)


@case("significance", "fresh", "shift", "string_permutation", "iid")
def significance(null: str) -> Any:
    more = {"length_tolerance": 0.3} if null == "fresh" else {}
    return dni.significance(relevance(), states(), labels(), text(), null=null, n_null=39, seed=1, **more)


@case("significance/other calls")
def significance_otherwise() -> Any:
    fresh = language().sample(300, seed=9, max_depth=6)
    asked = {"n_null": 39}
    return {
        "default": dni.significance(relevance(), states(), labels(), text(), **asked),
        "own strings": dni.significance(relevance(), states(), labels(), text(), fresh=fresh, **asked),
        "arrays": dni.significance(relevance(), states().hidden, labels(), groups=text().string_ids, **asked),
        "early": dni.significance(relevance(), states(), labels(), text(), null="shift", n_null=99, stop_above=0.2),
    }


@case("baselines")
def baselines() -> Any:
    more = {"model": network(), "n_controls": 2, "seed": 1}
    alone = {"n_controls": 0, "untrained_states": rng().normal(size=(text().n_positions, 12))}
    return {
        "all": dni.baselines(relevance(), states(), labels(), text(), **more),
        "other states": dni.baselines(relevance(), states(), labels(), text(), **alone),
    }


@cache
def judged() -> Any:
    """A relevance with all that can be added to it."""
    tested = dni.significance(relevance(), states(), labels(), text(), n_null=39)
    return names.intervals(dni.baselines(tested, states(), labels(), text(), n_controls=1), states(), labels())


@case("intervals")
def intervals() -> Any:
    return names.intervals(relevance(), states(), labels(), level=0.9, n_draws=50, seed=2)


@case("top")
def top() -> Any:
    asked = [("digit", {"k": 12}), ("depth", {"minimum": 0.1}), ("depth=1", {"by": "auc"}), ("digit", {"by": "p"}),
             ("symbol:2", {"by": "q", "minimum": 0.5}), ("range:e3", {"by": "accuracy", "k": 3})]  # fmt: skip
    return [dni.top(judged(), feature, **more) for feature, more in asked]


@case("ranking")
def ranking() -> Any:
    by_score = {name: names.ranking(judged(), name) for name in labels().names}
    by_auc = {name: names.ranking(judged(), name, "auc") for name in labels().names}
    best = [names.best_per_feature(judged()), names.best_per_feature(judged(), 2, by="auc")]
    return {"by score": by_score, "by auc": by_auc, "best": best}


@case("neuron profile")
def neuron_profile() -> Any:
    return [names.neuron_profile(judged(), 0), names.neuron_profile(judged(), 5, k=3, by="score")]


@case("relevance on disk")
def on_disk() -> Any:
    table = names.relevance_table(judged())
    names.write_table(table, "relevance.parquet")
    return {"table": table, "read": names.read_relevance("relevance.parquet")}


@case("lags")
def lags() -> Any:
    found = names.lags(states(), labels(), text(), range(-3, 4))
    return {"lags": found, "peaks": names.peaks(found)}


@case("redundancy")
def redundancy() -> Any:
    return [names.redundancy(states()), names.redundancy(states().hidden, [3, 1, 8], threshold=0.3)]


@case("rank stability")
def rank_stability() -> Any:
    return names.rank_stability(states(), labels(), k=3, n_splits=5, seed=1)


@case("seed stability")
def seed_stability() -> Any:
    together = dni.inspect(dni.record(population(), text()), labels(), folds=FOLDS)
    return [names.seed_stability(together, k=3), names.seed_stability([relevance(), together.isel(model=1)], k=2)]


@case("sparse probe")
def sparse_probe() -> Any:
    return names.sparse_probe(states(), labels(), k=3, folds=FOLDS, seed=1)


@case("inspect/tokens")
def inspect_tokens() -> Any:
    """States of words of up to three characters; positions without a state are left out."""
    some, each, offsets = text(), [], []
    for first, last in zip(some.offsets[:-1], some.offsets[1:], strict=True):
        ends = [*range(3, last - first, 3), last - first]
        offsets.append(list(zip([1, *ends[:-1]], ends, strict=True)))
        each.append(states().hidden[[first + end - 1 for end in ends]])
    found = {assign: dni.from_tokens(each, offsets, some, assign) for assign in ("containing", "completed")}
    return {assign: dni.inspect(one, labels(), "ridge", FOLDS) for assign, one in found.items()}
