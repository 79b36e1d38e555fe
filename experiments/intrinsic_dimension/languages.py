"""How many dimensions of an LSTM's weights a language needs.

Asked     Trained in a random subspace of its weights, how large must the subspace be for the network to come 90 % of
          the way from symbols' frequencies to what the network trained in the full space predicts? Which language is
          harder? Performance is how many nats per symbol the network is below the entropy of frequencies.
Command   python -m experiments.intrinsic_dimension.languages
Run time  about 7 CPU minutes
Result    LSTM of 64 neurons, 800 steps, sparse projection, seed 0; the columns by d are shares of the full network's
          gain:

          language       symbols  weights  best possible gain  full network  d = 100   200   400   800    d90
          parentheses          8   19,208               1.309         1.307     .596  .757  .935  .980    400
          arithmetic          19   22,739               1.175         1.172     .504  .606  .834  .939    800
          c_expressions       96   47,456        not computed         1.030    -.082  .066  .225  .367  > 800

          Arithmetic takes twice as many dimensions as parentheses; C expressions, of 96 symbols, more than were tried.
"""

import argparse

import jax
import numpy as np

import dni_jax as dni
from dni_jax.models import TrainConfig, TrainedModel, compute_logits, compute_losses, network_scan, zero_carries
from experiments._shared.subjects import table

LENGTH = 240  # symbols of a row; whole strings stand one behind the other in it
UNSEEN = 40_000  # symbols that networks are judged on
ROWS = 16  # of a step
EXACT = ("parentheses", "arithmetic")  # the best possible predictor is computed in minutes; long C takes hours


def rows_of(corpus):
    """Whole strings in rows: codes, targets, weights (0 where nothing follows) and where a string begins."""
    rows, place = [[]], 0
    for codes in np.split(corpus.flat_codes, corpus.offsets[1:-1]):
        if place + len(codes) + 1 > LENGTH:
            rows.append([])
            place = 0
        rows[-1].append(codes)
        place += len(codes) + 1
    shape = (len(rows), LENGTH)
    codes, targets = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    weights, resets = np.zeros(shape, np.float32), np.ones(shape, bool)
    for row, strings in enumerate(rows):
        place = 0
        for one in strings:
            span = slice(place, place + len(one) + 1)
            codes[row, span] = [dni.text.BOUNDARY, *one]
            targets[row, span] = [*one, dni.text.BOUNDARY]
            weights[row, span], resets[row, place + 1 : place + len(one) + 1] = 1, False
            place += len(one) + 1
    return codes, targets, weights, resets


def loss(params, batch):
    """Nats a symbol."""
    codes, targets, weights, resets = batch
    hidden, _ = network_scan(params, codes.T, resets.T, zero_carries(params, len(codes)))
    return (compute_losses(compute_logits(params, hidden), targets.T) * weights.T).sum() / weights.sum()


def entropy_of_frequencies(train, unseen):
    """The cross entropy, in nats per symbol, of the training text's frequencies."""
    counts = np.bincount(train[1][train[2] > 0], minlength=2)
    return float(-np.log(counts / counts.sum())[unseen[1][unseen[2] > 0]].mean())


def of_one_language(name, seed, asked):
    language = dni.languages.get(name)
    corpus = language.sample(asked.strings, seed=seed)
    short = np.flatnonzero(np.diff(corpus.offsets) < LENGTH)
    print(f"{name}: {len(corpus) - len(short)} of {len(corpus)} strings are left out, of {LENGTH} symbols or more")
    corpus = corpus.take(short)
    test = corpus.test.head(UNSEEN)
    train, unseen = rows_of(corpus.train), rows_of(test)
    simple = entropy_of_frequencies(train, unseen)
    ideal = f"{simple - language.ideal_cross_entropy(test):.4f}" if name in EXACT else "not computed"
    start = TrainedModel.init(corpus.vocabulary, TrainConfig(hidden=asked.hidden, seed=seed)).weights

    @jax.jit
    def gained(params):
        return simple - loss(params, unseen)

    found = dni.lab.intrinsic_dimension.measure_dimension(
        loss, start, asked.dims, asked.projection, data=train, performance=gained, batch=ROWS, steps=asked.steps,
        learning_rate=asked.rate, repeats=1, seed=seed,
    )  # fmt: skip
    print(f"seed {seed}: frequencies {simple:.4f} nats per symbol, best possible gain {ideal}; {found!r}", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", nargs="+", default=["parentheses", "arithmetic", "c_expressions"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[25, 50, 100, 200, 400, 800])
    parser.add_argument("--projection", default="sparse")
    parser.add_argument("--strings", type=int, default=20_000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rate", type=float, default=0.01)
    asked = parser.parse_args()
    for name in asked.languages:
        every = [of_one_language(name, seed, asked) for seed in asked.seeds]
        head = ["d", *(f"seed {seed}: nats gained" for seed in asked.seeds), "of the full network's"]
        rows = [
            [d, *(f"{one.performance[place, 0]:.3f}" for one in every),
             f"{np.mean([one.table['share'][place] for one in every]):.3f}"]
            for place, d in enumerate(every[0].dims)
        ]  # fmt: skip
        rows.append([f"{every[0].n_params:,}", *(f"{one.full:.3f}" for one in every), "1.000"])
        print(f"\n{name}: d90 {', '.join(str(one.d90) for one in every)}\n")
        table(head, rows)


if __name__ == "__main__":
    main()
