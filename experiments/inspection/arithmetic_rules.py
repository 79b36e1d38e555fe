"""Figure 3 of Lin & Wu 2017: which neurons know the rules of arithmetic.

Claims    (d) Scores of a rule's range (inside it) lie above those of its impulse (at its ends).
          (e) Some neurons reach near 90 % for digits and for matching parentheses.
          (f) Binary expressions, above all * and /, score low.
Command   python -m experiments.inspection.arithmetic_rules
Run time  about 3 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    the tables of README.md in this folder
"""

import dni_jax as dni
from experiments._shared.subjects import arguments, both_protocols, spread, subject, table

RULES = ["e -> ( e )", "e -> e + e", "e -> e - e", "e -> e * e", "e -> e / e"]
FEATURES = ["digit", "parenthesis", *[f"{kind}:{rule}" for rule in RULES for kind in ("range", "impulse")]]


def of_one_network(seed, networks):
    case = subject("arithmetic", seed, networks)
    states = dni.record(case.model, case.held_out)
    labels = case.language.features().select(FEATURES).label(case.held_out)
    paper, ours = both_protocols(states.hidden, labels, states.groups, seed)
    best = paper["accuracy"].mean("fold").max("neuron")
    base = paper["baseline"].mean("fold")
    auc = ours["auc"].mean("fold").max("neuron")
    return {
        name: (float(best.sel(feature=name)), float(base.sel(feature=name)), float(auc.sel(feature=name)))
        for name in FEATURES
    }


def main():
    asked = arguments(__doc__)
    found = [of_one_network(seed, asked.networks) for seed in asked.seeds]
    rows = []
    for name in FEATURES:
        best, base, auc = zip(*(one[name] for one in found), strict=True)
        lift = [(b - m) / (1 - m) for b, m in zip(best, base, strict=True)]
        rows.append([name, spread(base), spread(best), spread(lift), spread(auc)])
    head = ["feature", "majority", "best accuracy (paper's)", "share of the way to 1", "best AUC (whole strings)"]
    table(head, rows)


if __name__ == "__main__":
    main()
