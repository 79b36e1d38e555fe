"""Figure 4 of Lin & Wu 2017: setting the digit neurons to 1 makes the network write more digits.

Claim     The share of digits in generated text grows with k, the number of digit neurons held at 1, and more than with
          k random neurons (the paper prints samples; at k = 10 they hold .94 digits against .56).
Command   python experiments/digits_set_to_one.py
Run time  about 2 minutes on 2 CPU cores
Result    see the table in experiments/README.md, which this command prints
"""

import numpy as np

import dni_jax as dni
from dni_jax.verification import symbol_shares

KS = (0, 1, 2, 5, 10, 20)
SEEDS = (0, 1, 2)
RANDOM_SETS = 16


def digit_share(model, neurons, seed):
    intervention = dni.clamp(neurons, 1.0) if len(neurons) else None
    texts = dni.generate(model, n=64, length=200, seed=seed, intervention=intervention)
    return symbol_shares(texts, model.vocabulary.boundary_text).get("digit", 0.0)


def one_network(seed):
    """Digit shares for the top k (K,) and for random sets of k (K, R), on a network trained afresh."""
    language = dni.languages.get("parentheses")
    corpus = language.sample(60_000, seed=seed)
    model = dni.train(corpus, seed=seed)
    held_out = corpus.test.head(20_000)
    labels = language.features().select(["digit"]).label(held_out)
    relevance = dni.inspect(dni.record(model, held_out), labels)
    best = dni.top(relevance, "digit", k=max(KS), by="auc")["neuron"].tolist()
    rng = np.random.default_rng(seed)
    top = [digit_share(model, best[:k], seed) for k in KS]
    draws = [rng.permutation(model.n_neurons).tolist() for _ in range(RANDOM_SETS)]
    return top, [[digit_share(model, draw[:k], seed) for draw in draws] for k in KS]


def main():
    results = [one_network(seed) for seed in SEEDS]
    top = np.asarray([result[0] for result in results])
    random = np.asarray([result[1] for result in results])
    print("| k | top k set to 1, a network each | random k, mean | random k, 95th percentile |")
    print("|---|---|---|---|")
    for row, k in enumerate(KS):
        each = " ".join(f"{share:.3f}" for share in top[:, row])
        print(f"| {k} | {each} | {random[:, row].mean():.3f} | {np.quantile(random[:, row], 0.95):.3f} |")


if __name__ == "__main__":
    main()
