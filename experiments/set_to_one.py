"""Figure 4 of Lin & Wu 2017: setting the top neurons of a class of characters to 1 changes what the network writes.

Claims    (g) The share of digits in generated text grows with k, the number of digit neurons held at 1, and more than
          with k random neurons (the paper's printed samples hold .94 digits at k = 10 against .56).
          (h) For "+" there is no growth beyond k = 1.
Command   python experiments/set_to_one.py
Run time  about 3 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    see experiments/README.md, whose tables this command prints
"""

import numpy as np
from common import arguments, spread, subject, table

import dni_jax as dni

KS = (0, 1, 2, 5, 10, 20)
RANDOM_SETS = 64
CASES = (
    ("parentheses", "digit", str.isdigit),
    ("arithmetic", "digit", str.isdigit),
    ("arithmetic", "symbol:+", "+".__eq__),
)


def share(texts, boundary, counts):
    characters = [character for text in texts for character in text if character != boundary]
    return float(np.mean([counts(character) for character in characters]))


def of_one_network(name, feature, counts, seed, networks):
    """The share of the feature's characters with the top k set to 1, by accuracy and by AUC; and with random sets."""
    case = subject(name, seed, networks)
    labels = case.language.features().select([feature]).label(case.held_out)
    relevance = dni.inspect(dni.record(case.model, case.held_out), labels, seed=seed)
    rng = np.random.default_rng(seed)
    orders = {by: dni.top(relevance, feature, k=max(KS), by=by)["neuron"].tolist() for by in ("score", "auc")}
    orders |= {draw: rng.permutation(case.model.n_neurons).tolist() for draw in range(RANDOM_SETS)}
    sets = [(who, k) for who in orders for k in KS]
    held = [dni.clamp(orders[who][:k], 1.0) if k else None for who, k in sets]
    texts = dni.generate_each(case.model, held, n=64, length=200, seed=seed)
    boundary = case.model.vocabulary.boundary_text
    return {pair: share(written, boundary, counts) for pair, written in zip(sets, texts, strict=True)}


def main():
    asked = arguments(__doc__)
    for name, feature, counts in CASES:
        found = [of_one_network(name, feature, counts, seed, asked.networks) for seed in asked.seeds]
        print(f"Share of {feature} in the texts of networks on {name}:\n")
        rows = []
        for k in KS:
            random = np.asarray([[one[draw, k] for draw in range(RANDOM_SETS)] for one in found])
            p = [(1 + (row >= one["auc", k]).sum()) / (1 + RANDOM_SETS) for row, one in zip(random, found, strict=True)]
            tops = [spread([one[by, k] for one in found]) for by in ("score", "auc")]
            rows.append(
                [k, *tops, f"{random.mean():.3f}", f"{np.quantile(random, 0.95):.3f}", spread(p, 2) if k else "-"]
            )
        head = [
            "k",
            "top k by accuracy",
            "top k by AUC",
            "random k, mean",
            "95th percentile",
            "p (AUC's), a network each",
        ]
        table(head, rows)


if __name__ == "__main__":
    main()
