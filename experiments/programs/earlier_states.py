"""Section 5 of Lin & Wu 2017, future work: what several earlier states say together, beyond the best single one.

Question  (v) How much better is a feature read from h(t), h(t-1), ... h(t-5) of a neuron, or of ten, than from one of
          these states?
Command   python -m experiments.programs.earlier_states
Run time  see README.md in this folder; networks and measurements that are there already are not made again
Result    its table
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dni_jax as dni
from experiments._shared.networks import FOLDER, Plan, kept, train, unseen
from experiments._shared.subjects import arguments, spread, table

FEATURES = {
    "parentheses": ["depth", "depth=1", "depth=2", "digit", "range:e3"],
    "arithmetic_long": ["depth", "digit", "parenthesis", "range:e -> ( e )", "range:e -> e + e"],
}
PLANS = [Plan(language, "default", 64, 1_000) for language in FEATURES]
SCORED, LAGS, BEST = 10_000, range(6), 10


def measure(plan: Plan, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Measure one network: every neuron alone, and the ten that know each feature best together."""
    model = dni.load(folder / plan.name / str(seed) / "network")
    scored, _ = unseen(plan.language, SCORED, SCORED)
    labels = dni.languages.get(plan.language).features().select(FEATURES[plan.language]).label(scored)
    states = dni.record(model, scored)
    relevance = dni.inspect(states, labels, folds=10, seed=seed)
    sets = {name: dni.top(relevance, name, k=BEST)["neuron"].tolist() for name in labels.names}
    settings = {"lags": LAGS, "joint": True, "seed": seed}
    alone = dni.inspection.lags(states, labels, scored, **settings)
    together = dni.inspection.lags(states, labels, scored, sets=sets, **settings)
    rows = []
    for name in labels.names:
        one, ten = alone.sel(feature=name), together.sel(feature=name, set=name)
        score = one["score"].mean("fold")
        best = int(score.argmax("neuron"))
        rows.append(
            {
                "feature": name,
                "neurons with a gain (q < .05)": int((one["q"] < 0.05).sum()),
                "mean gain": float(one["gain"].mean()),
                "largest gain": float(one["gain"].max()),
                "best neuron, one lag": float(one["single"].mean("fold").max()),
                "best neuron, all lags": float(score[best]),
                f"top {BEST}, one lag": float(ten["single"].mean()),
                f"top {BEST}, all lags": float(ten["score"].mean()),
                f"p, top {BEST}": float(np.asarray(ten["p"])),
            }
        )
    return rows


def main() -> None:
    asked = arguments(__doc__, FOLDER)
    frames = []
    for plan in PLANS:
        train(plan, asked.seeds, asked.networks)
        for seed in asked.seeds:
            path = asked.networks / plan.name / str(seed) / f"lags-{SCORED}-{len(LAGS)}-{BEST}.json"
            rows = kept(path, lambda plan=plan, seed=seed: measure(plan, seed, asked.networks))
            frames.append(pd.DataFrame(rows).assign(language=plan.language))
    results = pd.concat(frames)
    keys = ["language", "feature"]
    columns = [name for name in results if name not in keys]
    rows = [[*key, *(spread(some[name]) for name in columns)] for key, some in results.groupby(keys, sort=False)]
    table([*keys, *columns], rows)


if __name__ == "__main__":
    main()
