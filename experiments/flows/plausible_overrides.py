"""Overrides of a trained LSTM's states, and whether they can be told from states that it visits.

Claim     Holding a neuron at 1, the paper's own intervention, leaves the states that the network visits; a normalizing
          flow (RealNVP) sees it more surely than a Gaussian of the same states does.
Command   python -m experiments.flows.plausible_overrides --seeds 0
Run time  145 CPU seconds (9 minutes on 2 CPU cores that others had three quarters of), the network being there
Result    AUROC of real against overridden states, one network, mean of 16 neurons, 4,096 held-out states:

          density     nats a visited state    h = 1    h = its 99th percentile    h of another position
          gaussian                     250     .975                       .899                     .844
          realnvp                      686    1.000                       .992                     .985
          planar                       259     .979                       .918                     .873
          sylvester                    285     .983                       .929                     .888
          plu                          257     .977                       .906                     .854
          qr                           253     .975                       .900                     .845

          Every flow is above the Gaussian. Of the median overridden state the percentile among visited ones is 0.0 for
          RealNVP in all three cases, and 0.4, 1.8 and 3.9 for the Gaussian.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

import dni_jax as dni
from dni_jax.lab.densities import KINDS, plausibility, split_states
from experiments._shared.subjects import arguments, spread, subject, table

CHARACTERS = 27_500
NEURONS = 16
JUDGED = 4_096  # of the states that calibrate; the fit has not seen them
OVERRIDES = ("h = 1", "h = its 99th percentile", "h of another position")


def overridden(states, neuron, kind, top, rng):
    changed = states.copy()
    if kind == OVERRIDES[0]:
        changed[:, neuron] = 1
    elif kind == OVERRIDES[1]:
        changed[:, neuron] = top
    else:
        changed[:, neuron] = rng.permutation(states[:, neuron])
    return changed


def of_one_network(seed, networks, kinds):
    """AUROC of real against overridden states, mean of 16 neurons; and the overridden states' median percentile."""
    case = subject("parentheses", seed, networks)
    states = dni.record(case.model, case.corpus.test.head(CHARACTERS))
    unseen = states.hidden[split_states(states, seed=seed) == 2][:JUDGED]
    top = np.quantile(states.hidden, 0.99, axis=0)
    neurons = np.random.default_rng(seed).choice(states.n_neurons, NEURONS, replace=False)
    found = {}
    for kind in kinds:
        density = plausibility(states, kind, seed=seed)
        real = density.log_prob(unseen)
        truth = np.repeat([1, 0], len(unseen))
        for override in OVERRIDES:
            rng = np.random.default_rng(seed)
            fakes = [density.log_prob(overridden(unseen, n, override, top[n], rng)) for n in neurons]
            areas = [roc_auc_score(truth, np.concatenate([real, fake])) for fake in fakes]
            typical = [float(np.median(density.percentile_of(fake))) for fake in fakes]
            found[kind, override] = float(np.mean(areas)), float(np.mean(typical))
        found[kind, "nats"] = float(real.mean(dtype=np.float64))
    return found


def figure(found, kinds, path):
    fig, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    width = 0.8 / len(kinds)
    for place, kind in enumerate(kinds):
        values = [np.mean([one[kind, override][0] for one in found]) for override in OVERRIDES]
        axes.bar(np.arange(len(OVERRIDES)) + (place - (len(kinds) - 1) / 2) * width, values, width, label=kind)
    axes.set_xticks(range(len(OVERRIDES)), OVERRIDES)
    axes.set_ylim(0.5, 1)
    axes.set_ylabel("AUROC, real against overridden")
    axes.legend(ncols=3, loc="lower left", framealpha=1)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main():
    asked = arguments(__doc__)
    found = [of_one_network(seed, asked.networks, KINDS) for seed in asked.seeds]
    rows = []
    for kind in KINDS:
        row = [kind, spread([one[kind, "nats"] for one in found], 0)]
        for override in OVERRIDES:
            row.append(spread([one[kind, override][0] for one in found]))
            row.append(f"{np.mean([one[kind, override][1] for one in found]):.1f}")
        rows.append(row)
    head = ["density", "nats a visited state"]
    for override in OVERRIDES:
        head += [f"AUROC, {override}", "median percentile"]
    table(head, rows)
    path = Path(asked.networks) / "plausible_overrides.png"
    figure(found, KINDS, path)
    print(f"drawn in {path}")


if __name__ == "__main__":
    main()
