"""Flows that write digits: a small Glow beside RealNVP, a masked autoregressive flow and a Gaussian.

Claim     Invertible 1 x 1 convolutions with splits, which know that neighboring pixels are neighbors, model images
          better than flows of unordered numbers, with fewer weights (Kingma & Dhariwal 2018).
Data      MNIST, padded to 32 x 32 and averaged to 16 x 16 pixels of 256 values, with uniform noise below one value.
Measures  bits per pixel of held-out images (8 for uniform values); the share of 500 samples and 500 held-out images
          whose nearest other image is of their own kind (.5 where both are alike).
Command   python -m experiments.flows.digits [--seeds 0 1 2] [--core] [--picture]
          Measures what is missing in results_digits.json beside this file; --results FILE starts one of your own.
Run time  and results: README.md in this folder
"""

import argparse
import math
import time
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax.lab.densities import Chain, fit, init_flow, log_prob_in_blocks
from experiments._shared.images import mnist
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments._shared.two_samples import nearest_neighbor_test
from experiments.flows._glow import Glow, Logit

SIDE, PIXELS, VALUES = 16, 256, 256
GLOW = {"levels": 3, "steps": 6, "width": 64}
TRAINED, STOPPING, JUDGED = 50_000, 1_000, 1_000
KINDS = ("gaussian", "realnvp", "maf", "glow")
RATES = {"realnvp": 2e-3, "maf": 1e-3, "glow": 1e-3}  # twice as fast, one fit in three of maf and glow diverges
SIZES = {"realnvp": {"layers": 6, "width": 128}, "maf": {"layers": 4, "width": 256, "depth": 1}}


def pictures(x, rng):
    """Return rows of pixels from 0 to 1, each value spread evenly over its 256th."""
    padded = np.pad(x[..., 0], ((0, 0), (2, 2), (2, 2)))
    small = padded.reshape(len(x), SIDE, 2, SIDE, 2).mean((2, 4))
    values = np.round(small * (VALUES - 1)).reshape(len(x), PIXELS)
    return ((values + rng.random(values.shape)) / VALUES).astype(np.float32)


def start(kind, rows, seed):
    """Return a flow that begins with the logit and goes on with the Gaussian of that, Glow with one of its latents."""
    opened = np.asarray(jax.jit(Logit().forward)(rows)[0])
    if kind != "glow":
        return Chain((Logit(), init_flow(kind, opened, seed=seed, **SIZES.get(kind, {}))))
    return Chain((Logit(), Glow.init(jax.random.key(seed), SIDE, **GLOW).standardized(opened[:1_000])))


def fitted(kind, read, seed, steps):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(read.x_train))[: TRAINED + STOPPING]
    rows = pictures(read.x_train[order], rng)
    flow = start(kind, rows[:TRAINED], seed)
    if kind == "gaussian":
        return flow
    settings = {"steps": steps, "batch": 64, "learning_rate": RATES[kind], "patience": steps, "seed": seed}
    return fit(flow, rows[:TRAINED], rows[TRAINED:], **settings).bijection


def drawn(flow, seed, count):
    inverse = jax.jit(lambda z: flow.inverse(z)[0])
    return np.asarray(inverse(jax.random.normal(jax.random.key(seed), (count, PIXELS), jnp.float32)))


def bits(log_prob):
    """Return bits per pixel of a log-density of pixels from 0 to 1, in nats."""
    return math.log2(VALUES) - float(np.mean(log_prob, dtype=np.float64)) / (math.log(2) * PIXELS)


def measured(flow, read, seed):
    unseen = pictures(read.x_test[:JUDGED], np.random.default_rng(seed))
    share, _ = nearest_neighbor_test(drawn(flow, seed, JUDGED // 2).clip(0, 1), unseen[: JUDGED // 2])
    return {
        "bits": round(bits(log_prob_in_blocks(flow, unseen)), 4),
        "own_neighbor": round(share, 3),
        "weights": sum(leaf.size for leaf in jax.tree.leaves(flow)),
    }


def draw(flows, read, path):
    """Real images, and samples of every flow."""
    shown = {"real": pictures(read.x_test[:36], np.random.default_rng(0))}
    shown |= {kind: drawn(flow, 1, 36) for kind, flow in flows.items()}
    figure = Figure(figsize=(2.2 * len(shown), 2.4), layout="constrained")
    for axis, (name, rows) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        mosaic = rows.reshape(6, 6, SIDE, SIDE).swapaxes(1, 2).reshape(6 * SIDE, 6 * SIDE)
        axis.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)
        axis.set(title=name, xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--core", action="store_true", help="seed 0, 300 steps")
    parser.add_argument("--picture", action="store_true", help="draw samples of every flow, seed 0")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_digits.json"))
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    asked = parser.parse_args()
    if asked.core:
        asked.seeds, asked.steps = [0], 300
    dni.devices.use_all_cores()
    read, results, rows = mnist(asked.mnist), Results(asked.results), []

    @cache
    def fit_once(kind, seed):
        return fitted(kind, read, seed, asked.steps)

    def row(kind, seed):
        began = time.process_time()
        found = measured(fit_once(kind, seed), read, seed)
        return found | {"cpu_seconds": round(time.process_time() - began)}

    for kind in asked.kinds:
        some = [
            results.measured(partial(row, kind, seed), kind=kind, steps=asked.steps, seed=seed) for seed in asked.seeds
        ]
        numbers = [spread([one[key] for one in some]) for key in ("bits", "own_neighbor")]
        rows.append([kind, f"{some[0]['weights']:,}", *numbers])
    table(["", "weights", "bits per pixel", "own nearest"], rows)
    if asked.picture:
        draw({kind: fit_once(kind, 0) for kind in asked.kinds}, read, Path(__file__).with_name("digits.png"))


if __name__ == "__main__":
    main()
