"""Figure 4 of Lin & Wu 2017: setting the top neurons of a class of characters to 1 changes what the network writes.

Claims    (g) The share of digits in generated text grows with k, the number of digit neurons held at 1, and more than
          with k random neurons (the paper's printed samples hold .94 digits at k = 10 against .56).
          (h) For "+" there is no growth beyond k = 1.
Command   python -m experiments.inspection.set_to_one
Run time  about 3 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    the tables of README.md in this folder
"""

import numpy as np

import dni_jax as dni
from experiments._shared.subjects import arguments, spread, subject, table

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


def next_one(feature, counts):
    """The feature's labels one character ahead: what the network is about to write."""
    return dni.feature(f"next {feature}", lambda text: [counts(c) for c in text[1:]] + [False])


def of_one_network(name, feature, counts, seed, networks):
    """Shares of the feature's characters with k neurons held, for each way to choose them and for random sets.

    "score" and "auc" are the paper's way: the neurons that tell the character just read, all held at 1. "next" are
    those that tell the character to come, each held at 1 or -1 as it then is; random sets have signs at random.
    """
    case = subject(name, seed, networks)
    library = case.language.features().select([feature]) + next_one(feature, counts)
    states = dni.record(case.model, case.held_out)
    labels = library.label(case.held_out)
    relevance = dni.inspect(states, labels, seed=seed)
    ahead = labels[f"next {feature}"] == 1
    sign = np.sign(states.hidden[ahead].mean(0) - states.hidden[~ahead].mean(0))
    rng = np.random.default_rng(seed)
    ones = np.ones(case.model.n_neurons)
    ways = {by: (dni.top(relevance, feature, k=max(KS), by=by)["neuron"].to_numpy(), ones) for by in ("score", "auc")}
    ways["next"] = (dni.top(relevance, f"next {feature}", k=max(KS), by="auc")["neuron"].to_numpy(), sign)
    for draw in range(RANDOM_SETS):
        order = rng.permutation(len(ones))
        ways["random", draw] = (order, ones)
        ways["random signs", draw] = (order, rng.choice([-1.0, 1.0], len(ones)))
    sets = [(way, k) for way in ways for k in KS]
    held = [dni.clamp(ways[w][0][:k], ways[w][1][ways[w][0][:k]].tolist()) if k else None for w, k in sets]
    texts = dni.models.generate_each(case.model, held, n=64, length=200, seed=seed)
    boundary = case.model.vocabulary.boundary_text
    return {pair: share(written, boundary, counts) for pair, written in zip(sets, texts, strict=True)}


def drawn(found, kind, k):
    """(network, draw): shares with random sets of k."""
    return np.asarray([[one[(kind, draw), k] for draw in range(RANDOM_SETS)] for one in found])


def p_values(found, way, kind, k):
    """For each network, how often a random set does as much."""
    random = drawn(found, kind, k)
    return [(1 + (row >= one[way, k]).sum()) / (1 + RANDOM_SETS) for row, one in zip(random, found, strict=True)]


def main():
    asked = arguments(__doc__)
    for name, feature, counts in CASES:
        found = [of_one_network(name, feature, counts, seed, asked.networks) for seed in asked.seeds]
        print(f"Share of {feature} in the texts of networks on {name}:\n")
        rows = []
        for k in KS:
            shares = {way: spread([one[way, k] for one in found]) for way in ("score", "auc", "next")}
            random = drawn(found, "random", k)
            row = [k, shares["score"], shares["auc"], f"{random.mean():.3f}", f"{np.quantile(random, 0.95):.3f}"]
            p = [
                spread(p_values(found, *pair, k), 2) if k else "-"
                for pair in (("auc", "random"), ("next", "random signs"))
            ]
            rows.append([*row, p[0], shares["next"], p[1]])
        head = ["k", "top k by accuracy at 1", "top k by AUC at 1", "random k at 1", "95th percentile", "p (AUC's)"]
        table([*head, "top k for the next character, own signs", "p (random signs)"], rows)


if __name__ == "__main__":
    main()
