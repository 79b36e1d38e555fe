"""Figure 5 of Lin & Wu 2017: removing the neurons that know a feature, or driving them by its labels.

Claims    (i) Removing the top 1 changes accuracy little, the top 5 and 10 much, random neurons little.
          (j) Oracle (driving the top neurons by the feature's labels) gives no measurable improvement.
Command   python -m experiments.inspection.neurons_removed
Run time  about 4 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    the tables of README.md in this folder
"""

import numpy as np

import dni_jax as dni
from experiments._shared.subjects import arguments, spread, subject, table

KS = (1, 5, 10)
CASES = (("parentheses", "digit"), ("parentheses", "depth=1"), ("arithmetic", "digit"), ("arithmetic", "parenthesis"))
KINDS = {"ablate": "removed", "oracle": "Oracle, -1 to 1", "fitted": "Oracle, each neuron's own line"}
CHARACTERS = 10_000


def of_one_network(name, feature, seed, networks):
    case = subject(name, seed, networks)
    labels = case.language.features().select([feature]).label(case.held_out)
    relevance = dni.inspect(dni.record(case.model, case.held_out), labels, seed=seed)
    unseen = case.corpus.test.shuffle(seed).head(CHARACTERS)
    return {
        kind: dni.verify(case.model, unseen, relevance, feature, ks=KS, intervention=kind, by="auc", seed=seed)
        for kind in KINDS
    }


def main():
    asked = arguments(__doc__)
    rows = []
    for name, feature in CASES:
        found = [of_one_network(name, feature, seed, asked.networks) for seed in asked.seeds]
        for kind, words in KINDS.items():
            for k in KS:
                effects = [one[kind].sel(k=k) for one in found]
                right = [effect.sel(measure="type_accuracy") for effect in effects]
                row = [name, feature, words, k, spread([float(effect["intact"]) for effect in right])]
                row += [spread([float(effect[what]) for effect in right]) for what in ("top", "bottom")]
                row += [spread([float(effect["random"].mean()) for effect in right])]
                for measure in ("type_accuracy", "loss_on"):
                    row.append(spread([float(e["p_differs"].sel(measure=measure)) for e in effects], 2))
                loss = [effect.sel(measure="loss_on") for effect in effects]
                row.append(f"{np.mean([float(e['top_effect']) for e in loss]):+.3f}")
                row.append(spread([float(effect["top"].sel(measure="distance")) for effect in effects], 1))
                rows.append(row)
    head = ["text", "feature", "top k", "k", "intact", "top k", "bottom k", "random k", "p", "p (loss where it holds)"]
    table([*head, "change of that loss", "distance"], rows)


if __name__ == "__main__":
    main()
