"""Variational autoencoders of MNIST: posterior collapse and its cures, and bounds with more samples.

Claims    collapse  A strong decoder, masked autoregressive, ignores the latents: the KL term stays at 0 (Bowman et al.
                    2016, Chen et al. 2017), here where the decoder has learned the images first, as a language model
                    does. Annealing the KL term, free bits, or a weakened decoder bring the latents back.
          bounds    Training and evaluating with K = 1, 5, 50 samples tightens the bound (Burda et al. 2016, table 1).
Data      MNIST, 2 x 2 pixels averaged to 14 x 14, binary at one half. One bit a pixel is what a coin needs.
Command   python -m experiments.flows.vae collapse (or bounds) [--seeds 0 1 2] [--core]
          Measures what is missing in results_vae.json beside this file; --results FILE starts one of your own.
Run time  and results: README.md in this folder
"""

import argparse
import math
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax.lab.densities import kl_weight
from experiments._shared.images import mnist
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments._shared.two_samples import nearest_neighbor_test
from experiments.flows import _vae
from experiments.flows._vae import Variant

BATCH, JUDGED, PIXELS = 50, 1_000, 196
COLLAPSE = {
    "plain decoder": Variant(),
    "masked decoder": Variant(masked=True),
    "masked, learns first": Variant(masked=True, alone=0.5),
    "then KL annealed": Variant(masked=True, alone=0.5, anneal=0.5),
    "then half a nat free": Variant(masked=True, alone=0.5, floor=0.5),
    "then half of the pixels hidden": Variant(masked=True, alone=0.5, hidden_share=0.5),
}
BOUNDS = {f"K = {k}": Variant(k=k) for k in (1, 5, 50)}


def binary(pictures):
    """Return 14 x 14 images of zeros and ones, as rows."""
    return (pictures.reshape(-1, 14, 2, 14, 2).mean((2, 4)) > 0.5).astype(np.float32).reshape(-1, PIXELS)


def train(variant, x, seed, steps):
    """Fit by Adam."""
    params, rows, alone = _vae.init(jax.random.key(seed), variant), jnp.asarray(x), round(variant.alone * steps)
    if alone:
        params = _steps(params, rows, jax.random.key(seed + 2), None, alone)
    return _steps(params, rows, jax.random.key(seed + 1), variant, steps - alone)


@partial(jax.jit, static_argnames=("variant", "steps"))
def _steps(params, rows, key, variant, steps):
    """Take steps of Adam; without a variant, of the decoder alone."""
    adam = optax.adam(1e-3)

    def step(state, at):
        params, memory = state
        now = jax.random.fold_in(key, at)
        chosen = rows[jax.random.randint(now, (BATCH,), 0, len(rows))]
        if variant is None:
            slopes = jax.grad(_vae.loss_alone)(params, chosen)
        else:
            weight = kl_weight(at, round(variant.anneal * steps)) if variant.anneal else jnp.ones(())
            slopes = jax.grad(_vae.loss)(params, chosen, jax.random.fold_in(now, 1), variant, weight)
        update, memory = adam.update(slopes, memory)
        return (optax.apply_updates(params, update), memory), None

    return jax.lax.scan(step, (params, adam.init(params)), jnp.arange(steps))[0][0]


def measured(variant, read, seed, steps, ks):
    began = time.process_time()
    params = train(variant, binary(read.x_train), seed, steps)
    unseen = binary(read.x_test[:JUDGED])
    found = _vae.bounds(params, jnp.asarray(unseen), jax.random.key(0), ks)
    kl, active = _vae.usage(params, jnp.asarray(unseen))
    samples = np.asarray(jax.jit(_vae.sample, static_argnums=2)(params, jax.random.key(seed), JUDGED // 2))
    share, _ = nearest_neighbor_test(samples, unseen[: JUDGED // 2])
    return {
        "bounds": {str(k): round(value, 3) for k, value in found.items()},
        "kl": round(kl, 3),
        "active": active,
        "own_neighbor": round(share, 3),
        "cpu_seconds": round(time.process_time() - began),
    }


def bits(nats):
    return -nats / (math.log(2) * PIXELS)


def draw(variants, read, steps, path):
    """Samples of every variant, seed 0, beside real images."""
    figure = Figure(figsize=(1.9 * (len(variants) + 1), 2.2), layout="constrained")
    shown = {"real images": binary(read.x_test[:25])}
    for name, variant in variants.items():
        shown[name] = np.asarray(_vae.sample(train(variant, binary(read.x_train), 0, steps), jax.random.key(0), 25))
    for axis, (name, pictures) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        axis.imshow(pictures.reshape(5, 5, 14, 14).swapaxes(1, 2).reshape(70, 70), cmap="gray_r")
        axis.set_title(name, fontsize=8)
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("collapse", "bounds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--core", action="store_true", help="seed 0, 500 steps, no image")
    parser.add_argument("--picture", action="store_true", help="draw samples of every variant")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_vae.json"))
    parser.add_argument("--mnist", help="your copy of mnist.npz")
    asked = parser.parse_args()
    if asked.core:
        asked.seeds, asked.steps = [0], 500
    dni.devices.use_all_cores()
    read, results = mnist(asked.mnist), Results(asked.results)
    variants, ks = (COLLAPSE, (1, 50)) if asked.part == "collapse" else (BOUNDS, (1, 5, 50, 500))
    rows = []
    for name, variant in variants.items():
        some = [
            results.measured(
                partial(measured, variant, read, seed, asked.steps, ks),
                part=asked.part, variant=name, steps=asked.steps, seed=seed,
            )
            for seed in asked.seeds
        ]  # fmt: skip
        each = [[row["bounds"][str(k)] for row in some] for k in ks]
        rows.append([
            name, *(spread(one, 2) for one in each), f"{bits(np.mean(each[-1])):.4f}",
            *(spread([row[key] for row in some], 2) for key in ("kl", "active", "own_neighbor")),
        ])  # fmt: skip
    head = [
        "",
        *(f"L_{k}, nats" for k in ks),
        f"bits per pixel by L_{ks[-1]}",
        "KL, nats",
        "active of 16",
        "own nearest",
    ]
    table(head, rows)
    if asked.picture:
        draw(variants, read, asked.steps, Path(__file__).with_name(f"vae_{asked.part}.png"))


if __name__ == "__main__":
    main()
