"""Figure 2 of Lin & Wu 2017: which neurons know the nesting levels of parentheses.

Claims    (a) Many neurons predict the first and the deepest nesting level, fewer the levels between.
          (b) The top neurons of different levels and representations are uncorrelated.
          (c) Most neurons are marginal, few are highly predictive.
Command   python -m experiments.inspection.nesting_levels
Run time  about 3 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    the tables of README.md in this folder
"""

import numpy as np

import dni_jax as dni
from experiments._shared.subjects import arguments, both_protocols, spread, subject, table

LEVELS = [f"depth={level}" for level in range(5)]
GOOD = 0.9  # an AUC that few neurons reach by chance or by knowing something near


def of_one_network(seed, networks):
    """For each level its best neuron and how many know it; how alike the top neurons are."""
    case = subject("parentheses", seed, networks)
    states = dni.record(case.model, case.held_out)
    labels = case.language.features().label(case.held_out)
    chosen = labels.select([*LEVELS, "digit", "parenthesis", *[n for n in labels.names if ":e" in n and "->" not in n]])
    chosen = chosen.select([name for name in chosen.names if name not in labels.constant])
    paper, ours = both_protocols(states.hidden, chosen, states.groups, seed)
    accuracy, auc = paper["accuracy"].mean("fold"), ours["auc"].mean("fold")
    base = paper["baseline"].mean("fold")
    correlation = np.abs(np.corrcoef(states.hidden, rowvar=False))
    tops = {str(name): int(auc.sel(feature=name).argmax("neuron")) for name in chosen.names}
    return {
        "best": {name: float(accuracy.sel(feature=name).max()) for name in chosen.names},
        "base": {name: float(base.sel(feature=name)) for name in chosen.names},
        "auc": {name: float(auc.sel(feature=name).max()) for name in chosen.names},
        "half": {name: int((accuracy.sel(feature=name) > (1 + base.sel(feature=name)) / 2).sum()) for name in LEVELS},
        "good": {name: int((auc.sel(feature=name) > GOOD).sum()) for name in chosen.names},
        "weak": float((auc < 0.6).mean()),
        "strong": float((auc > GOOD).mean()),
        "levels": mean_correlation(correlation, [tops[name] for name in LEVELS]),
        "representations": mean_correlation(correlation, sorted(set(tops.values()))),
        "all": float(correlation[np.triu_indices(len(correlation), 1)].mean()),
    }


def mean_correlation(correlation, neurons):
    """Mean absolute correlation of each two different ones of some neurons."""
    distinct = sorted(set(neurons))
    pairs = [(a, b) for place, a in enumerate(distinct) for b in distinct[place + 1 :]]
    return float(np.mean([correlation[pair] for pair in pairs])) if pairs else float("nan")


def main():
    asked = arguments(__doc__)
    found = [of_one_network(seed, asked.networks) for seed in asked.seeds]
    rows = [
        [
            name,
            spread([one["base"][name] for one in found]),
            spread([one["best"][name] for one in found]),
            spread([one["half"][name] for one in found], 1),
            spread([one["auc"][name] for one in found]),
            spread([one["good"][name] for one in found], 1),
        ]
        for name in LEVELS
    ]
    head = [
        "level",
        "majority",
        "best accuracy (paper's)",
        "neurons half way to 1",
        "best AUC",
        f"neurons of AUC > {GOOD}",
    ]
    table(head, rows)
    words = {
        "levels": "mean |r| of the top neurons of different levels",
        "representations": "mean |r| of the top neurons of all features (levels, characters, range, impulse)",
        "all": "mean |r| of all neurons",
        "weak": "share of neuron x feature pairs with AUC < .6",
        "strong": f"share with AUC > {GOOD}",
    }
    table(
        ["measure", "mean (range) over networks"],
        [[said, spread([one[n] for one in found])] for n, said in words.items()],
    )


if __name__ == "__main__":
    main()
