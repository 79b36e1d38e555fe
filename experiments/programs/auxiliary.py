"""Section 5 of Lin & Wu 2017, future work: features found on a small language regularize a network on a larger one.

Question  (y) A network on nested parentheses knows some features well. Does a network on arithmetic learn faster, or
          better from little text, if its states are asked to say these features too?
Command   python -m experiments.programs.auxiliary
          python -m experiments.programs.auxiliary --texts all little   (also from 300 strings)
Run time  see README.md in this folder; training and measurements resume where they stopped
Result    its tables
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dni_jax as dni
from dni_jax.models import cross_entropy
from experiments._shared.networks import FOLDER, Plan, corpus_of, ideal_of, kept, loss_text, train, unseen
from experiments._shared.subjects import parser_of, spread, table

SMALL, LARGE = "parentheses", "arithmetic_long"
PLAN = Plan(SMALL, "default", 64, 1_000)
KNOWN, SCORED = 0.9, 10_000  # a feature is known if one neuron's AUC is above
HIDDEN, STEPS, EVERY, WEIGHTS = 32, 200, 50, (0.3,)
LONGER = STEPS + EVERY  # more than what the readout of the targets costs
TEXTS = {"all": None, "little": 300}  # strings to learn from


def known_features(seed: int, folder: Path) -> list[str]:
    """Return the features of both languages that a neuron of the network on the small language knows."""
    model = dni.load(folder / PLAN.name / str(seed) / "network")
    scored, _ = unseen(SMALL, SCORED, SCORED)
    both = set(dni.languages.get(LARGE).features().names)
    library = dni.languages.get(SMALL).features()
    labels = library.select([name for name in library.names if name in both]).label(scored)
    labels = labels.select([name for name in labels.names if name not in labels.constant])
    relevance = dni.inspect(dni.record(model, scored), labels, folds=10, seed=seed)
    best = relevance["auc"].mean("fold").max("neuron")
    return [str(name) for name in best["feature"].values if float(best.sel(feature=name)) > KNOWN]


def measure(text: str, seeds: Sequence[int], names: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Train a population for each kind of target; return the losses at every evaluation."""
    corpus = corpus_of(LARGE)
    if TEXTS[text] is not None:
        corpus = corpus.take(np.concatenate([np.flatnonzero(corpus.split == 0)[: TEXTS[text]],
                                             np.flatnonzero(corpus.split == 1)]))  # fmt: skip
    labels = dni.languages.get(LARGE).features().select(list(names)).label(corpus)
    random = np.roll(labels.values, len(labels.values) // 2, axis=0)  # as smooth, but of other text
    kinds: dict[tuple[str, float], dict[str, Any]] = {("none", 0.0): {}}
    for weight in WEIGHTS:
        kinds["features", weight] = {"auxiliary": labels, "weight": weight}
        kinds["random", weight] = {"auxiliary": random, "weight": weight}
    kinds["none, longer", 0.0] = {}
    rows: list[dict[str, Any]] = []
    for (kind, weight), extra in kinds.items():
        began = time.process_time()
        steps = LONGER if kind == "none, longer" else STEPS
        found = curves(corpus, seeds, folder / f"{text}-{kind}-{weight}", steps, extra)
        about = {"text": text, "targets": kind, "weight": weight, "steps": steps}
        rows += [about | {"seconds": time.process_time() - began} | row for row in found]
    return rows


def curves(
    corpus: dni.Corpus, seeds: Sequence[int], checkpoints: Path, steps: int, extra: dict[str, Any]
) -> list[dict[str, Any]]:
    """Train one network for each seed; return its losses on validation strings, and on unseen text in the end."""
    settings = {"hidden": HIDDEN, "steps": steps, "evaluate_every": EVERY, "patience": 100, "progress": False}
    found = dni.train_population(corpus, seeds, checkpoints=checkpoints, **settings, **extra)
    ideal, unseen_text = ideal_of(LARGE), loss_text(LARGE)
    rows = []
    for seed, model in zip(seeds, found, strict=True):
        losses = {f"step {one['step']}": one["validation_loss"] for one in model.history}
        rows.append({"seed": seed, "gap": cross_entropy(model.weights, unseen_text) - ideal} | losses)
    return rows


def main() -> None:
    parser = parser_of(__doc__, FOLDER, range(5))
    parser.add_argument(
        "--texts", nargs="+", default=["all"], choices=list(TEXTS), help="how much there is to learn from"
    )
    asked = parser.parse_args()
    train(PLAN, [0], asked.networks)
    names = known_features(0, asked.networks)
    print(f"Features with a neuron of AUC > {KNOWN} in the network on {SMALL}: {', '.join(names)}\n")
    frames = []
    for text in asked.texts:
        settings = (HIDDEN, STEPS, EVERY, *WEIGHTS, "seeds", *asked.seeds)
        folder = asked.networks / "auxiliary" / "-".join(map(str, settings))
        rows = kept(folder / f"{text}.json", lambda text=text, to=folder: measure(text, asked.seeds, names, to))
        frames.append(pd.DataFrame(rows))
    results = pd.concat(frames)
    body = []
    for key, some in results.groupby(["text", "targets", "weight", "steps"], sort=False):
        none = results[(results["text"] == key[0]) & (results["targets"] == "none")].set_index("seed")["gap"]
        better = int((some.set_index("seed")["gap"] < none).sum()) if key[1] != "none" else ""
        body.append([*key, spread(some["gap"], 4), better, f"{some['seconds'].iloc[0]:.0f}"])
    head = ["text", "targets", "weight", "steps", "gap to the best possible loss, nats", "seeds better than none"]
    table([*head, "CPU seconds (little if resumed)"], body)
    steps = [f"step {step}" for step in range(EVERY, STEPS + 1, EVERY)]
    curve = [[*key, *(f"{some[step].mean():.4f}" for step in steps)]
             for key, some in results.groupby(["text", "targets", "weight", "steps"], sort=False)]  # fmt: skip
    table(["text", "targets", "weight", "steps", *steps], curve)


if __name__ == "__main__":
    main()
