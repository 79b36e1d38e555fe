"""A convolutional network on few images of MNIST, by Adam, dropout and samplers (after Li et al. 2016, section 5).

Claims    (a) The average of a sampler's draws predicts better than Adam's weights, and its probabilities are honest.
          (b) Images of high uncertainty lie at the boundaries between classes, and are those that it gets wrong.
Data      2,000 images to learn, 2 x 2 pixels averaged to 14 x 14; 2,000 others to judge by.
Measures  error, nats (cross entropy) and calibration (expected calibration error, 15 bins) on held-out images; area
          under the ROC curve of telling wrong answers by the disagreement of draws; of the tenth of images with the
          largest disagreement and of the others, which share of the ten nearest (by mean hidden state) are of another
          class; R-hat of the loss over chains from two starts (with ArviZ).
Command   python -m experiments.bayes.mnist_cnn [--seeds 0 1 2] [--core]
          Measures what is missing in results_mnist_cnn.json beside this file; --results FILE starts one of your own.
Run time  and results: README.md in this folder
"""

import argparse
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import dni_jax as dni
from dni_jax.lab.posterior import convergence, measure_uncertainty, sample_weights
from dni_jax.plot import PALETTE
from experiments._shared.images import mnist
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table

PICTURES, JUDGED = 2_000, 2_000  # learned, and held out; as many others choose step sizes
BATCH, DRAWS, DROPPED = 50, 20, 0.5
STEP_SIZES = {
    "SGLD": (3e-5, 1e-4, 3e-4),
    "pSGLD": (1e-3, 3e-3, 1e-2),
    "pSGLD, Adagrad": (1e-2, 3e-2, 1e-1),
}
OPTIONS = {"SGLD": {}, "pSGLD": {}, "pSGLD, Adagrad": {"preconditioner": "adagrad"}}
METHODS = ("Adam", "Adam, dropout", *STEP_SIZES)


class CNN(nn.Module):
    """Two convolutions and two full layers; returns logits and the last hidden layer. A rate drops hidden units."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        """Give logits (batch, 10) and hidden states (batch, 64)."""
        for channels in (8, 16):
            x = nn.max_pool(nn.relu(nn.Conv(channels, (3, 3), padding="VALID")(x)), (2, 2), (2, 2))
        hidden = nn.relu(nn.Dense(64)(x.reshape(len(x), -1)))
        return nn.Dense(10)(nn.Dropout(self.rate, deterministic=self.rate == 0)(hidden)), hidden


def parts(read, seed):
    """Return images to learn, to choose step sizes by, and to judge by; float32 and int32."""

    def small(x):
        return x.reshape(len(x), 14, 2, 14, 2, 1).mean((2, 4))

    order = np.random.default_rng(seed).permutation(len(read.x_train))
    few, other = order[:PICTURES], order[PICTURES : PICTURES + JUDGED]
    return (
        (small(read.x_train[few]), read.y_train[few]),
        (small(read.x_train[other]), read.y_train[other]),
        (small(read.x_test[:JUDGED]), read.y_test[:JUDGED]),
    )


def init(data, seed):
    return CNN().init(jax.random.key(seed), data[0][:1])


def loss(params, batch):
    logits, _ = CNN().apply(params, batch[0])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()


def by_adam(data, seed, steps, rate):
    """Train by Adam; with a rate, hidden units are dropped."""
    keys = jax.random.split(jax.random.key(seed), steps)
    return _adam_steps(init(data, seed), *map(jnp.asarray, data), keys, rate)


@partial(jax.jit, static_argnames="rate")
def _adam_steps(params, x, y, keys, rate):
    adam = optax.adam(1e-3)

    def step(state, key):
        params, memory = state
        rows = jax.random.randint(key, (BATCH,), 0, len(x))

        def dropped(params):
            logits, _ = CNN(rate).apply(params, x[rows], rngs={"dropout": jax.random.fold_in(key, 1)})
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

        update, memory = adam.update(jax.grad(dropped)(params), memory)
        return (optax.apply_updates(params, update), memory), None

    return jax.lax.scan(step, (params, adam.init(params)), keys)[0][0]


def by_sampling(method, data, seed, steps, step_size):
    """Draw from two starts; half of the steps are the burn-in."""
    starts = [init(data, seed), init(data, seed + 1_000)]
    return sample_weights(
        loss, starts, data, method.split(",")[0].lower(), step_size=step_size, batch=BATCH, n_draws=DRAWS // 2,
        thin=steps // DRAWS, burn_in=steps // 2, prior_sd=0.3, seed=seed, progress=False, **OPTIONS[method],
    )  # fmt: skip


def answers(params, x):
    """Return probabilities and hidden states."""
    logits, hidden = CNN().apply(params, x)
    return jax.nn.softmax(logits), hidden


def judged(method, data, unseen, seed, steps, step_size=None):
    """Return the uncertainty of held-out images, the mean hidden states, and R-hat of the loss."""
    x, r_hat = jnp.asarray(unseen[0]), None
    if method.startswith("Adam"):
        rate = DROPPED if "dropout" in method else 0.0
        params = by_adam(data, seed, steps, rate)
        keys = jax.random.split(jax.random.key(seed), DRAWS if rate else 1)
        drop = jax.jit(lambda params, key: jax.nn.softmax(CNN(rate).apply(params, x, rngs={"dropout": key})[0]))
        return measure_uncertainty(np.asarray(drop(params, key)) for key in keys), answers(params, x)[1], r_hat
    draws = by_sampling(method, data, seed, steps, step_size)
    with suppress(ImportError):  # without ArviZ everything else is measured all the same
        r_hat = float(convergence(draws.each(lambda params: loss(params, (x, jnp.asarray(unseen[1]))))).r_hat)
    hidden = draws.each(lambda params: answers(params, x)[1]).mean((0, 1))
    return draws.uncertainty(lambda params: answers(params, x)[0]), hidden, r_hat


def of_other_classes(hidden, labels, neighbors=10):
    """Return the share of each image's nearest ones that are of another class."""
    near = NearestNeighbors(n_neighbors=neighbors + 1).fit(hidden).kneighbors(hidden, return_distance=False)[:, 1:]
    return (labels[near] != labels[:, None]).mean(1)


def calibration_error(probabilities, labels, bins=15):
    """Return the mean distance of confidence and accuracy, over bins of confidence weighted by their images."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((right[place == one] - confidence[place == one]).sum()) for one in np.unique(place)]
    return float(sum(gaps)) / len(labels)


def measured(method, read, seed, steps, step_size):
    began = time.process_time()
    data, _, unseen = parts(read, seed)
    unsure, hidden, r_hat = judged(method, data, unseen, seed, steps, step_size)
    labels, p = unseen[1], unsure.mean
    wrong, others = p.argmax(1) != labels, of_other_classes(np.asarray(hidden), unseen[1])
    blur = unsure.disagreement if method != "Adam" else unsure.total  # one network has no disagreement
    top = np.argsort(-blur)[: len(labels) // 10]
    rest = np.setdiff1d(np.arange(len(labels)), top)
    return {
        "step_size": step_size,
        "error": round(float(wrong.mean()), 4),
        "nats": round(float(-np.log(np.maximum(p[np.arange(len(p)), labels], 1e-30)).mean()), 4),
        "calibration": round(calibration_error(p, labels), 4),
        "auc_of_errors": round(float(roc_auc_score(wrong, blur)), 3),
        "others_near_unsure": round(float(others[top].mean()), 3),
        "others_near_sure": round(float(others[rest].mean()), 3),
        "std": round(float(unsure.std.max(1).mean()), 4),
        "r_hat": None if r_hat is None else round(r_hat, 3),
        "cpu_seconds": round(time.process_time() - began),
    }


def best_step_size(method, read, results, steps):
    """Return the step size of the lowest loss on images that are used for nothing else, seed 0."""

    def nats(step_size):
        data, choosing, _ = parts(read, 0)
        try:
            p = judged(method, data, choosing, 0, steps, step_size)[0].mean
        except ValueError as error:  # a chain that diverges is no candidate
            print(error)
            return {"nats": float("inf")}
        return {"nats": float(-np.log(np.maximum(p[np.arange(len(p)), choosing[1]], 1e-30)).mean())}

    rows = [results.measured(partial(nats, one), method=method, tried=one, steps=steps) for one in STEP_SIZES[method]]
    return min(rows, key=lambda row: row["nats"])["tried"]


def draw(read, steps, step_size, path, shown=600):
    """t-SNE of the mean hidden states of pSGLD's draws: by class, and by how much the draws disagree."""
    data, _, unseen = parts(read, 0)
    unsure, hidden, _ = judged("pSGLD", data, [one[:shown] for one in unseen], 0, steps, step_size)
    places = TSNE(random_state=0, init="pca").fit_transform(np.asarray(hidden)).T
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(*places, c=[PALETTE[one % len(PALETTE)] for one in unseen[1][:shown]], s=12)
    for digit in range(10):
        outlined = [withStroke(linewidth=3, foreground="white")]
        center = np.median(places[:, unseen[1][:shown] == digit], axis=1)
        left.text(*center, digit, fontsize=15, weight="bold", path_effects=outlined)
    order = np.argsort(unsure.disagreement)
    dots = right.scatter(*places[:, order], c=unsure.std.max(1)[order], s=12, cmap="viridis")
    figure.colorbar(dots, ax=right, label="standard deviation of the draws' probabilities")
    left.set(title="mean hidden state, by class", xticks=[], yticks=[])
    right.set(title="by the deviation of predictions", xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--core", action="store_true", help="seed 0, Adam and pSGLD, 200 steps")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_mnist_cnn.json"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("mnist_cnn.png"))
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    asked = parser.parse_args()
    if asked.core:
        asked.seeds, asked.methods, asked.steps = [0], ("Adam", "pSGLD"), 200
    dni.devices.use_all_cores()
    read, results = mnist(asked.mnist), Results(asked.results)
    found = {}
    for method in asked.methods:
        best = best_step_size(method, read, results, asked.steps) if method in STEP_SIZES else None
        found[method] = [
            results.measured(
                partial(measured, method, read, seed, asked.steps, best), method=method, steps=asked.steps, seed=seed
            )
            for seed in asked.seeds
        ]
        if method == "pSGLD" and not asked.out.exists():
            draw(read, asked.steps, best, asked.out)
    columns = ("error", "nats", "calibration", "auc_of_errors", "others_near_unsure", "others_near_sure")
    head = [
        "",
        "error",
        "nats",
        "calibration error",
        "AUROC of errors",
        "others near unsure",
        "near sure",
        "R-hat",
    ]
    cells = [
        [method, *(spread([row[name] for row in rows]) for name in columns), [row["r_hat"] for row in rows]]
        for method, rows in found.items()
    ]
    table(head, cells)


if __name__ == "__main__":
    main()
