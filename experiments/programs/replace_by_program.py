"""Section 5 of Lin & Wu 2017, future work: a program in the place of the neurons that know a feature.

Question  (w) Can a procedure that counts brackets, or a parser, stand for the neurons that know the depth, while text
          is read and while it is written, and can the network then do without the weights that lead into them?
Command   python -m experiments.programs.replace_by_program
Run time  see README.md in this folder; networks and measurements that are there already are not made again
Result    its tables
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dni_jax as dni
from dni_jax.models import cross_entropy, fine_tune, predict
from dni_jax.programs import Program, depth
from dni_jax.verification import Replacement, draw_variance_matched, replace, variance_strata
from experiments._shared.networks import FOLDER, Plan, corpus_of, kept, train, unseen
from experiments._shared.subjects import arguments, spread, table

PLAN = Plan("parentheses", "default", 64, 1_000)
KS, TUNED = (5, 10, 20), 20
SCORED, VERIFIED, RANDOM_SETS, TEXTS, LENGTH, STEPS = 10_000, 5_000, 16, 32, 100, 150


def measure(seed: int, folder: Path) -> list[dict[str, Any]]:
    """Measure one network: each program for the top k neurons of depth, and for random ones."""
    model = dni.load(folder / PLAN.name / str(seed) / "network")
    language = dni.languages.get(PLAN.language)
    scored, verified = unseen(PLAN.language, SCORED, VERIFIED)
    labels = language.features().select(["depth"]).label(scored)
    relevance = dni.inspect(dni.record(model, scored), labels, folds=10, seed=seed)
    best = dni.top(relevance, "depth", k=max(KS))["neuron"].tolist()
    rows = []
    for name, program in (("depth", depth()), ("parser", language.program())):
        for k in KS:
            stand_in = replace(model, best[:k], program, scored)
            settings = {"language": language, "n_texts": TEXTS, "length": LENGTH, "seed": seed}
            found = stand_in.evaluate(verified, RANDOM_SETS, **settings)
            row = {"program": name, "k": k, "r2": float(stand_in.r2.mean())}
            row |= {f"loss {each}": float(found["loss"].sel(condition=each)) for each in found["condition"].values}
            row |= {f"parses {each}": float(found["parses"].sel(condition=each)) for each in found["condition"].values}
            row |= {name: float(found[name]) for name in ("recovered", "p", "p_used")}
            row["random recovered"] = float(np.nanmedian(found["random_recovered"]))
            row["random parses"] = float(found["random_parses"].mean())
            row["weights removed"] = stand_in.n_weights_removed / stand_in.n_weights
            rows.append(row | (tuned(stand_in, scored, program, seed) if k == TUNED else {}))
    return rows


def tuned(stand_in: Replacement, scored: dni.Corpus, program: Program, seed: int) -> dict[str, float]:
    """Train on without the cluster's weights: with the program, without anything, and with the program for others."""
    _, verified = unseen(PLAN.language, SCORED, VERIFIED)
    model, corpus = stand_in.model, corpus_of(PLAN.language)
    strata = variance_strata(stand_in.variances)
    others = draw_variance_matched(np.asarray(stand_in.neurons), strata, 1, np.random.default_rng(seed))[0]
    found = {}
    for name, one in (("program", stand_in), ("random", replace(model, others.tolist(), program, scored))):
        smaller = one.fine_tune(corpus, STEPS, seed=seed, progress=False)
        result = smaller.evaluate(verified, 1, language=dni.languages.get(PLAN.language), n_texts=TEXTS, length=LENGTH)
        found[f"tuned loss {name}"] = float(result["loss"].sel(condition="program"))
        found[f"tuned parses {name}"] = float(result["parses"].sel(condition="program"))
    held = dni.ablate(range(model.n_neurons), "mean", reference=dni.record(model, scored))
    without = fine_tune(model, corpus, held.select(stand_in.neurons), steps=STEPS, seed=seed, progress=False)
    mask = np.isin(np.arange(model.n_neurons), stand_in.neurons)[None]
    bound = held.bind(model.n_neurons, verified.n_positions, model.parts, sets=mask)
    found["tuned loss mean"] = float(predict(without.weights, verified, bound).total_loss[0])
    on = fine_tune(model, corpus, steps=STEPS, seed=seed, progress=False)
    return found | {"tuned loss intact": cross_entropy(on.weights, verified)}


def main() -> None:
    asked = arguments(__doc__, FOLDER)
    train(PLAN, asked.seeds, asked.networks)
    name = f"replaced-{SCORED}-{VERIFIED}-{RANDOM_SETS}-{TEXTS}-{LENGTH}-{STEPS}.json"
    frames = []
    for seed in asked.seeds:
        path = asked.networks / PLAN.name / str(seed) / name
        frames.append(pd.DataFrame(kept(path, lambda seed=seed: measure(seed, asked.networks))))
    results = pd.concat(frames)
    groups = list(results.groupby(["program", "k"], sort=False))
    losses = ["loss intact", "loss program", "loss mean"]
    parses = ["parses intact", "parses program", "parses mean", "random parses"]
    columns = ["r2", *losses, "recovered", "random recovered", "p", *parses, "weights removed"]
    table(["program", "k", *columns], [[*key, *(spread(some[name]) for name in columns)] for key, some in groups])
    columns = [name for name in results if name.startswith("tuned")]
    rows = [[*key, *(spread(some[name]) for name in columns)] for key, some in groups if key[1] == TUNED]
    table(["program", "k", *columns], rows)


if __name__ == "__main__":
    main()
