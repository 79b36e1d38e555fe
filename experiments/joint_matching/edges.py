"""From edges to colored digits and back, with no pairs and with one pair per digit (after Li et al. 2017, section 5.3).

Images x are threes in red and sevens in blue; z are the edges of digits, in no color. Images and edges are of
different digits, so nothing but a few given pairs says which belong together.

Claim     Without pairs, matching distributions leaves open whether the edges of a three become a red three or a blue
          seven. One pair per digit settles it.
Measures  on unseen edges: the share whose image is the right digit (by the nearest of 1,000 images, without
          colors), has the right color, and both; the worst and the best seed tell whether digits are exchanged
          (near 0) or mixed (near .5). error is that of images to edges and back.
Command   python -m experiments.joint_matching.edges [--seeds 6] [--core] [--picture]
          Measures what is missing in results_edges.json beside this file; --results FILE starts one of your own.
Run time  and results: README.md in this folder
"""

import argparse
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import sobel
from scipy.spatial.distance import cdist

import dni_jax as dni
from experiments._shared.images import mnist
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments.joint_matching import _networks as nets
from experiments.joint_matching._networks import Batch, Setting, ask, train_many

DIGITS = (3, 7)  # in red, and in blue
SIDE, BATCH, NOISE, LAYERS = 14, 32, 4, (128, 128)
METHODS = {
    "ALI": (nets.ali, nets.pairs),
    "ALICE": (nets.explicit, nets.explicit_and_pairs),
    "CycleGAN": (nets.cyclegan, nets.cyclegan_and_pairs),
}


def colored(gray, digit):
    """Return two planes, red and blue, side by side: threes are in the first, sevens in the second."""
    is_second = (digit == DIGITS[1])[:, None]
    return np.concatenate([np.where(is_second, 0, gray), np.where(is_second, gray, 0)], axis=1)


def edges_of(gray):
    """Return the length of the gradient of each image (Sobel), at most 1."""
    # One image at a time: scipy's Sobel filter smooths along all other axes, also from image to image.
    lengths = [np.hypot(sobel(one, 0), sobel(one, 1)) for one in gray.reshape(-1, SIDE, SIDE)]
    return np.minimum(np.stack(lengths) / 2, 1).reshape(len(gray), -1)


def parts(read):
    """Return gray images and digits: of images, of edges, two that are given as pairs, and unseen ones."""

    def of(x, y, many):
        chosen = np.flatnonzero(np.isin(y, DIGITS))[:many]
        small = x[chosen].reshape(-1, SIDE, 2, SIDE, 2).mean((2, 4))
        return small.reshape(len(chosen), -1).astype(np.float32), y[chosen]

    gray, digit = of(read.x_train, read.y_train, 8_000)
    pair = [int(np.flatnonzero(digit == one)[0]) for one in DIGITS]
    rest = np.setdiff1d(np.arange(len(gray)), pair)
    half = len(rest) // 2
    return {
        "x": (gray[rest[:half]], digit[rest[:half]]),
        "z": (gray[rest[half:]], digit[rest[half:]]),
        "given": (gray[pair], digit[pair]),
        "unseen": of(read.x_test, read.y_test, 1_000),
    }


def batches(data):
    """Return a function that draws a batch of images and of edges, not paired, with the given pairs."""
    x = jnp.asarray(colored(*data["x"]), jnp.float32)
    z = jnp.asarray(edges_of(data["z"][0]), jnp.float32)
    given = [jnp.asarray(one, jnp.float32) for one in (colored(*data["given"]), edges_of(data["given"][0]))]

    def draw(key, _):
        rows, others, noise, more = jax.random.split(key, 4)
        return Batch(
            x[jax.random.randint(rows, (BATCH,), 0, len(x))],
            z[jax.random.randint(others, (BATCH,), 0, len(z))],
            jax.random.normal(noise, (2, BATCH, NOISE)),
            *given,
            jax.random.normal(more, (2, len(DIGITS), NOISE)),
        )

    return draw


def judged(made, gray, digit, reference):
    """Return the shares of images of the right digit, of the right color, and of both.

    Parameters
    ----------
    made
        Images made of the edges of `gray`, ``(n, 2 * 196)``.
    gray, digit
        What they should be.
    reference
        Gray images and digits; the nearest one is the digit that an image is of.
    """
    red, blue = np.split(made, 2, axis=1)
    nearest = reference[1][cdist(red + blue, reference[0]).argmin(1)]
    right_digit, right_color = nearest == digit, (blue.sum(1) > red.sum(1)) == (digit == DIGITS[1])
    return right_digit.mean(), right_color.mean(), (right_digit & right_color).mean()


def trained(method, draw, seeds, steps):
    settings = Setting(*(jnp.full(seeds, value, jnp.float32) for value in (3e-4, 3e-4, 1.0, 1, LAYERS[0], 1.0, 1.0, 0)))
    settings = settings._replace(
        every=jnp.ones(seeds, jnp.int32), width=jnp.full(seeds, LAYERS[0], jnp.int32), seed=jnp.arange(seeds)
    )
    return train_many(method, settings, draw, jax.random.split(jax.random.key(7), steps), batch=seeds, layers=LAYERS)


def measured(name, with_pairs, data, seeds, steps):
    began = time.process_time()
    players = trained(METHODS[name][with_pairs], batches(data), seeds, steps)
    gray, digit = data["unseen"]
    x, z = jnp.asarray(colored(gray, digit), jnp.float32), jnp.asarray(edges_of(gray), jnp.float32)
    noise = jax.random.normal(jax.random.key(9), (2, len(gray), NOISE))

    @jax.jit
    def both(players):
        again = ask(players.decoder, ask(players.encoder, x, noise[0]), noise[1])
        return ask(players.decoder, z, noise[1]), jnp.square(x - again).sum(-1).mean()

    reference = tuple(one[:1_000] for one in data["x"])
    rows = []
    for seed in range(seeds):
        made, error = both(jax.tree.map(lambda array, at=seed: array[at], players))
        rows.append([*judged(np.asarray(made), gray, digit, reference), error])
    columns = ("right_digit", "right_color", "right", "error")
    shares = {
        key: [round(float(one), 3) for one in column]
        for key, column in zip(columns, zip(*rows, strict=True), strict=True)
    }
    return shares | {"cpu_seconds": round(time.process_time() - began)}


def draw_pictures(data, steps, path, shown=8):
    """Edges of four threes and four sevens, and what each method makes of them, seed 0."""
    gray, digit = data["unseen"]
    chosen = np.concatenate([np.flatnonzero(digit == one)[: shown // 2] for one in DIGITS])
    z = jnp.asarray(edges_of(gray[chosen]), jnp.float32)
    names = [(name, with_pairs) for name in METHODS for with_pairs in (False, True)]
    figure = Figure(figsize=(shown, len(names) + 1), layout="constrained")
    axes = figure.subplots(len(names) + 1, shown)
    for axis, edge in zip(axes[0], np.asarray(z), strict=True):
        axis.imshow(edge.reshape(SIDE, SIDE), cmap="gray_r")
    for row, (name, with_pairs) in zip(axes[1:], names, strict=True):
        players = trained(METHODS[name][with_pairs], batches(data), 1, steps)
        decoder = jax.tree.map(lambda array: array[0], players.decoder)
        made = np.asarray(ask(decoder, z, jnp.zeros((shown, NOISE)))).reshape(shown, 2, SIDE, SIDE).clip(0, 1)
        for axis, (red, blue) in zip(row, made, strict=True):
            axis.imshow(1 - np.stack([blue, np.maximum(red, blue), red], axis=-1))  # white paper, colored ink
        row[0].set_ylabel(name + (", 2 pairs" if with_pairs else ""), fontsize=7)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6, help="how many, trained side by side")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--core", action="store_true", help="two seeds, 300 steps")
    parser.add_argument("--picture", action="store_true", help="draw what each method makes of eight edges, seed 0")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_edges.json"))
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    asked = parser.parse_args()
    if asked.core:
        asked.seeds, asked.steps = 2, 300
    dni.devices.use_all_cores()
    data, results, rows = parts(mnist(asked.mnist)), Results(asked.results), []
    for name in METHODS:
        for with_pairs in (False, True):
            row = results.measured(
                partial(measured, name, with_pairs, data, asked.seeds, asked.steps),
                method=name, pairs=2 * with_pairs, seeds=asked.seeds, steps=asked.steps,
            )  # fmt: skip
            shares = [spread(row[key], 2) for key in ("right_digit", "right_color", "right", "error")]
            rows.append([name, row["pairs"], *shares])
    table(["method", "pairs", "right digit", "right color", "both", "squared error"], rows)
    if asked.picture:
        draw_pictures(data, asked.steps, Path(__file__).with_name("edges.png"))


if __name__ == "__main__":
    main()
