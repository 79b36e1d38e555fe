"""Section 5 of Lin & Wu 2017, future work: neurons that show when a network is about to err.

Question  (x) Neurons are decoded into what a parser says about the text so far. Does their disagreement with the parser
          predict a wrong prediction, or an ungrammatical continuation, better than the prediction's entropy?
Command   python -m experiments.programs.monitor
Run time  see README.md in this folder; networks and measurements that are there already are not made again
Result    its table
"""

from pathlib import Path
from typing import Any

import pandas as pd

import dni_jax as dni
from dni_jax.programs import depth
from dni_jax.verification import monitor
from experiments._shared.networks import FOLDER, Plan, kept, train, unseen
from experiments._shared.subjects import arguments, spread, table

# From a network that often errs to one that hardly does.
PLANS = [Plan("parentheses", "default", hidden, steps) for hidden, steps in ((16, 200), (64, 200), (64, 1_000))]
SCORED, VERIFIED, TEXTS, LENGTH, ALARMS, BEST = 10_000, 10_000, 128, 200, 0.01, 10


def measure(plan: Plan, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Measure one network: the depth by the ten neurons that know it best, and the parser by all neurons."""
    model = dni.load(folder / plan.name / str(seed) / "network")
    language = dni.languages.get(plan.language)
    scored, verified = unseen(plan.language, SCORED, VERIFIED)
    labels = language.features().select(["depth"]).label(scored)
    relevance = dni.inspect(dni.record(model, scored), labels, folds=10, seed=seed)
    best = dni.top(relevance, "depth", k=BEST)["neuron"].tolist()
    everything = list(range(model.n_neurons))
    rows = []
    for name, program, neurons in (("depth", depth(), best), ("parser", language.program(), everything)):
        watch = monitor(model, neurons, program, scored, alarm_rate=ALARMS)
        found = watch.evaluate(verified, language.violations(), n_texts=TEXTS, length=LENGTH, seed=seed)
        for outcome in found["outcome"].values:
            one = found.sel(outcome=outcome)
            row = {"program": name, "neurons": len(neurons), "outcome": str(outcome), "r2": watch.r2}
            row |= {f"AUC of {each}": float(one["auc"].sel(signal=each)) for each in one["signal"].values}
            row |= {each: float(one[each]) for each in ("flagged", "precision")}
            row["per 1,000"] = 1_000 * float(one["events"]) / float(one["positions"])
            row |= {f"µs {each}": float(found[f"microseconds_{each}"]) for each in ("program", "network")}
            rows.append(row)
    return rows


def main() -> None:
    asked = arguments(__doc__, FOLDER)
    name = f"monitored-{SCORED}-{VERIFIED}-{TEXTS}-{LENGTH}-{ALARMS}-{BEST}.json"
    frames = []
    for plan in PLANS:
        train(plan, asked.seeds, asked.networks)
        for seed in asked.seeds:
            path = asked.networks / plan.name / str(seed) / name
            rows = kept(path, lambda plan=plan, seed=seed: measure(plan, seed, asked.networks))
            frames.append(pd.DataFrame(rows).assign(network=f"{plan.hidden} neurons, {plan.steps:,} steps"))
    results = pd.concat(frames)
    keys = ["outcome", "network", "program", "neurons"]
    columns = [name for name in results if name not in keys]
    rows = [[*key, *(spread(some[name]) for name in columns)] for key, some in results.groupby(keys, sort=False)]
    table([*keys, *columns], sorted(rows, key=lambda row: row[0], reverse=True))


if __name__ == "__main__":
    main()
