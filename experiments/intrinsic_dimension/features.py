"""How many random directions of an LSTM's states a probe needs for each feature, and what goes with it.

Asked     A linear probe whose weights lie in a random d-dimensional subspace sees d random mixtures of the neurons. The
          smallest d that comes 90 % of the way from chance to the probe of all neurons, d90 (Li et al. 2018), is a
          feature's intrinsic dimension. Is it small for features that many neurons know? Does it tell the same as the
          number of neurons that a sparse probe needs?
Command   python -m experiments.intrinsic_dimension.features
Run time  about 10 CPU minutes, the networks being there
Result    parentheses, three networks: d90 of 38 features from 3 to 96 of 128, median 7. Its rank correlation is -.75
          (-.88 to -.53) with the number of neurons of AUC > .9, -.60 with that of neurons half way from the majority
          to 1, -.71 with the best neuron's AUC, and .53 (.28 to .67) with the number of neurons of a sparse probe.
          That the text is at depth 0 takes 3 random directions (40 neurons have AUC > .9, a sparse probe needs 3);
          that a digit was read takes 15, though all neurons together tell it without error and 7 chosen ones suffice:
          many mixtures hold the first, few the second.

          arithmetic, three networks: d90 of 36 features from 3 to 24, median 10; rank correlation -.86 (-.91 to -.84)
          with the number of neurons of AUC > .9, -.68 with that of neurons half way, -.84 with the best neuron's AUC,
          .47 (.44 to .50) with the neurons of a sparse probe.
"""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import dni_jax as dni
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.probes import score_jointly
from experiments._shared.subjects import arguments, spread, subject, table

LANGUAGES = ("parentheses", "arithmetic")
GOOD = 0.9  # an AUC that few neurons reach
MOST = 32  # neurons of a sparse probe
SHOWN = 12  # features with the smallest and with the largest dimension


def of_one_network(name, seed, networks):
    """One row per feature: its intrinsic dimension, and what inspection and sparse probes say of it."""
    case = subject(name, seed, networks)
    states = dni.record(case.model, case.held_out)
    labels = case.language.features().label(case.held_out).of_kind("binary")
    labels = labels.drop([one for one in labels.names if one in labels.constant or one in labels.duplicates])
    found = measure_probe_dimension(states, labels, seed=seed)
    relevance = dni.inspect(states, labels, folds=5, seed=seed)
    auc, accuracy = (relevance[one].mean("fold").values for one in ("auc", "accuracy"))
    majority = relevance["baseline"].mean("fold").values
    sparse = dni.inspection.sparse_probe(states, labels, k=MOST, folds=5, seed=seed)["r2"].mean("fold").values
    folds = np.asarray(dni.make_folds(len(states.hidden), k=5, groups=states.groups, seed=seed))
    every = score_jointly(states.hidden, labels.matrix, folds, metrics=("r2",), alpha=1e-3)["r2"].mean(1)
    enough = sparse >= 0.9 * every
    rows = pd.DataFrame(
        {
            "feature": labels.names,
            "d90": found["dimension"].values,
            "below": found["below"].values,
            "full AUC": found["full"].values,
            "neurons of AUC > .9": (auc > GOOD).sum(0),
            "neurons half way": (accuracy > (1 + majority) / 2).sum(0),
            "best AUC": auc.max(0),
            "sparse k": np.where(enough.any(0), enough.argmax(0) + 1, np.inf),
            "r2 of all": every,
            "share of the rarer class": np.minimum(labels.values.mean(0), 1 - labels.values.mean(0)),
        }
    )
    return rows[np.isfinite(rows["d90"])]


def together(tables):
    """The mean over networks of features that all of them tell."""
    every = pd.concat(tables).groupby("feature", sort=False)
    return every.mean().loc[every.size() == len(tables)].sort_values("d90")


def rank_correlations(tables):
    """Spearman's rank correlation of d90 with each other column, over features, by network."""
    rows = []
    for column in [one for one in tables[0].columns if one not in ("feature", "d90", "below")]:
        rows.append([column, spread([spearmanr(one["d90"], one[column]).statistic for one in tables], 2)])
    return rows


def main():
    asked = arguments(__doc__)
    for name in LANGUAGES:
        tables = [of_one_network(name, seed, asked.networks) for seed in asked.seeds]
        mean = together(tables)
        print(f"\n{name}: {len(mean)} features that are told by all networks, d90 from {mean['d90'].min():.0f} to "
              f"{mean['d90'].max():.0f}, median {mean['d90'].median():.0f}\n")  # fmt: skip
        table(["Spearman's rank correlation of d90 with", name], rank_correlations(tables))
        shown = pd.concat([mean.head(SHOWN), mean.tail(SHOWN)]) if len(mean) > 2 * SHOWN else mean
        digits = {"full AUC": 3, "best AUC": 3, "r2 of all": 2, "share of the rarer class": 3}
        rows = [
            [key, *[f"{row[one]:.{digits.get(one, 0)}f}".replace("inf", f"> {MOST}") for one in mean.columns]]
            for key, row in shown.iterrows()
        ]
        table(["feature", *mean.columns], rows)


if __name__ == "__main__":
    main()
