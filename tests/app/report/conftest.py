"""A small run folder made of constructed tables: every kind of claim is in it, and text that tries to break out."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tomli_w
import xarray as xr

from dni_jax.app.report._excerpt import make_excerpt
from dni_jax.features import Labels
from dni_jax.inspection import relevance_table, write_table
from dni_jax.text import Corpus

EVIL = 'range:</script><img src=x onerror=hacked()>&"'
N_NEURONS, N_FOLDS = 12, 4

# name, kind, share, AUC (R^2) of the best neuron, p_family, auc_within_symbol, loss_on effect, p of it
FEATURES = [
    ("depth", "continuous", 0.4, 0.8, 0.01, 0.7, 0.2, 0.04),
    ("depth=1", "binary", 0.3, 0.99, 0.01, 0.9, 0.5, 0.04),
    (EVIL, "binary", 0.2, 0.9, 0.01, 0.8, -0.1, 0.6),
    ("digit", "binary", 0.5, 0.97, 0.01, np.nan, 0.3, 0.04),
    ("symbol:\n", "binary", 0.1, 0.95, 0.01, 0.52, 0.0, 1.0),
    ("lucky", "binary", 0.5, 0.7, 0.4, 0.6, 0.0, 0.9),
    ("faint", "binary", 0.5, 0.55, 0.01, 0.55, 0.4, 0.02),
    ("seldom", "binary", 0.01, 0.9, 0.01, 0.9, np.nan, np.nan),
    ("copy", "binary", 0.3, 0.99, 0.01, 0.9, 0.5, 0.04),
    ("always", "binary", 1.0, np.nan, np.nan, np.nan, np.nan, np.nan),
]
NAMES = [feature[0] for feature in FEATURES]


def constructed_relevance(features=FEATURES, n_neurons=N_NEURONS):
    """The best neuron of the f-th feature is neuron f; the others fall off from it."""
    names = [feature[0] for feature in features]
    kinds = np.asarray([feature[1] for feature in features], object)
    best, p, given = (np.asarray([feature[at] for feature in features], float) for at in (3, 4, 5))
    away = np.abs(np.arange(n_neurons)[:, None] - np.arange(len(names))[None, :]) / n_neurons
    strength = best[None, :] - 0.4 * away
    binary = kinds == "binary"
    auc = np.where(binary, strength, np.nan)[:, :, None] + np.zeros(N_FOLDS)
    auc[:, [at for at, name in enumerate(names) if name == "seldom"], 1:] = np.nan
    score = np.where(binary, 0.5 + 0.4 * strength, strength)
    score = np.nan_to_num(score, nan=1.0)[:, :, None] + np.zeros(N_FOLDS)
    dims, pair = ("neuron", "feature", "fold"), ("neuron", "feature")
    p_family = p[None, :] + np.zeros((n_neurons, 1))
    return xr.Dataset(
        {
            "score": (dims, score.astype(np.float32)),
            "auc": (dims, auc.astype(np.float32)),
            "baseline": (("feature", "fold"), np.where(binary, 0.6, -0.01)[:, None] + np.zeros(N_FOLDS)),
            "p": (pair, p_family),
            "p_family": (pair, p_family),
            "p_global": (pair, np.minimum(1, 2 * p_family)),
            "q": (pair, p_family),
            "statistic": (pair, np.where(np.arange(n_neurons)[:, None] % 2, strength, 1 - strength)),
            "null_repetitions": ("feature", np.full(len(names), 99)),
            "auc_within_symbol": (pair, given[None, :] + np.zeros((n_neurons, 1))),
            "selectivity": (pair, 0.2 + 0 * p_family),
            "untrained": ("feature", np.full(len(names), 0.3)),
            "untrained_auc": ("feature", np.where(kinds == "binary", 0.6, np.nan)),
        },
        coords={
            "neuron": np.arange(n_neurons),
            "feature": np.asarray(names, object),
            "fold": np.arange(N_FOLDS),
            "kind": ("feature", kinds),
            "share": ("feature", np.asarray([feature[2] for feature in features], float)),
        },
    )


def constructed_effects(features=FEATURES, ks=(1, 2)):
    rows = []
    for intervention, some in (("ablate", features), ("clamp", features[:2])):
        for name, *_, effect, p in some:
            if np.isnan(effect):
                continue
            for k in ks:
                for measure in ("type_accuracy", "loss_on", "loss_off", "class_probability_on"):
                    spread = {"top_effect_low": -0.05, "top_effect_high": 0.05}
                    row = {"intervention": intervention, "feature": name, "measure": measure, "k": k, "intact": 0.7}
                    row |= {"top_effect": effect * k / max(ks), "p": p, "random_effect": 0.01}
                    row |= {key: row["top_effect"] + value for key, value in spread.items()}
                    row |= {"random_effect_low": -0.1, "random_effect_high": 0.12, "symbols": "digit"}
                    rows.append(row)
    return pd.DataFrame(rows)


def constructed_text(n_strings=40, seed=0):
    rng = np.random.default_rng(seed)
    signs = [*list("01()<>&\"' \n"), "😀", "é"]
    strings = ["".join(rng.choice(signs, size=int(rng.integers(8, 24)))) for _ in range(n_strings)]
    return ["</script><script>hacked()</script>", "<!--<img src=x onerror=hacked()>", *strings]


def constructed_excerpt(names=NAMES):
    corpus = Corpus.from_strings(constructed_text())
    rng = np.random.default_rng(1)
    columns, kinds = [], []
    for name, kind, share, *_ in FEATURES:
        if name in names:
            kinds.append(kind)
            drawn = rng.random(corpus.n_positions)
            columns.append(drawn.astype(np.float32) if kind == "continuous" else (drawn < share).astype(np.int8))
    mask = np.ones(corpus.n_positions, bool)
    mask[50:60] = False
    labels = Labels(tuple(names), tuple(kinds), tuple(columns), mask)
    states = np.tanh(rng.normal(size=(corpus.n_positions, N_NEURONS)))
    return SimpleNamespace(
        corpus=corpus, labels=labels, states=states, excerpt=make_excerpt(corpus, states, labels, characters=700)
    )


def constructed_samples():
    def one(neurons, digits, text):
        shares = {"digit": digits, "parenthesis": 1 - digits}
        return {
            "neurons": neurons,
            "characters": 800,
            "strings": 20,
            "shares": shares,
            "matched": 0.9,
            "depths": [0.5, 0.3, 0.2],
            "parses": None,
            "texts": [text],
        }

    return {
        "intact": one(None, 0.5, "01(\n</pre><script>hacked()</script>"),
        "random neurons set to 1": one([4, 5], 0.52, "0(1)"),
        "depth=1 neurons set to 1": one([1, 2], 0.8, "<b>(1)</b>"),
    }


def write_run(folder, without=(), effects=None):
    """Write a run's files, but those named."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "language": "paren<theses>",
        "random_sets": 64,
        "train": {"cell": "lstm", "layers": 1, "hidden": N_NEURONS},
    }
    summary = {"loss": 0.64, "ideal": 0.63, "positions": 1234, "coverage": {}}
    training = pd.DataFrame({"step": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0], "validation_loss": [3.1, 2.2, 1.2]})
    steps = [(step, n, "depth=1", 0.5 + step / 10, 0.9) for step in (1, 2, 3) for n in (0, 1)]
    findings = pd.DataFrame({"feature": NAMES, "same_as": ["depth=1" if name == "copy" else "" for name in NAMES]})
    writers = {
        "config.toml": lambda path: path.write_text(tomli_w.dumps(config)),
        "summary.json": lambda path: path.write_text(json.dumps(summary)),
        "relevance.parquet": lambda path: write_table(relevance_table(constructed_relevance()), path),
        "findings.csv": lambda path: findings.to_csv(path, index=False),
        "effects.parquet": lambda path: write_table(constructed_effects() if effects is None else effects, path),
        "samples.json": lambda path: path.write_text(json.dumps(constructed_samples())),
        "training.csv": lambda path: training.to_csv(path, index=False),
        "dynamics.parquet": lambda path: write_table(
            pd.DataFrame(steps, columns=["step", "neuron", "feature", "auc", "score"]), path
        ),
        "excerpt.npz": lambda path: constructed_excerpt().excerpt.save(path),
    }
    for name, write in writers.items():
        if name not in without:
            write(folder / name)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def constructed():
    """The makers of run folders and their parts, for tests that need others."""
    return SimpleNamespace(
        write_run=write_run,
        relevance=constructed_relevance,
        effects=constructed_effects,
        excerpt=constructed_excerpt,
        features=FEATURES,
        names=NAMES,
        evil=EVIL,
    )
