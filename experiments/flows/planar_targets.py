"""Planar flows of K = 1 to 32 maps fitted to four densities of the plane (Rezende & Mohamed 2015, figure 3).

Claim     With more maps a planar flow comes closer to targets with two modes, waves and forks.
Measures  KL from the flow to the target: the exact log of the target's integral, by a grid, minus the bound that the
          fit maximizes; 0 where both are equal.
Command   python -m experiments.flows.planar_targets [--seeds 0 1 2] [--core] [--picture]
          Measures what is missing in results_planar.json beside this file; --results FILE starts one of your own.
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

import dni_jax as dni
from dni_jax.lab.densities import Chain, Inverse, Planar, fit_reverse
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table

MAPS = (1, 2, 4, 8, 16, 32)


def wave(x):
    return jnp.sin(jnp.pi * x / 2)


def bump(x):
    return 3 * jnp.exp(-0.5 * jnp.square((x - 1) / 0.6))


def step(x):
    return 3 * jax.nn.sigmoid((x - 1) / 0.3)


def ring(x):
    """Two modes on a ring of radius 2 (U_1)."""
    radius = 0.5 * jnp.square((jnp.linalg.norm(x, axis=-1) - 2) / 0.4)
    modes = [-0.5 * jnp.square((x[..., 0] - side) / 0.6) for side in (2, -2)]
    return jnp.logaddexp(*modes) - radius


def sine(x):
    """A wave (U_2)."""
    return -0.5 * jnp.square((x[..., 1] - wave(x[..., 0])) / 0.4) - _edges(x)


def fork(x):
    """A wave that splits (U_3)."""
    off = x[..., 1] - wave(x[..., 0])
    return jnp.logaddexp(-0.5 * jnp.square(off / 0.35), -0.5 * jnp.square((off + bump(x[..., 0])) / 0.35)) - _edges(x)


def stairs(x):
    """A wave that leaves a second one (U_4)."""
    off = x[..., 1] - wave(x[..., 0])
    return jnp.logaddexp(-0.5 * jnp.square(off / 0.4), -0.5 * jnp.square((off + step(x[..., 0])) / 0.35)) - _edges(x)


def _edges(x):
    """The waves have no end, so they have no integral; this ends them smoothly at 4."""
    return 2 * jnp.square(jax.nn.relu(jnp.abs(x[..., 0]) - 3))


TARGETS = {"ring": ring, "sine": sine, "fork": fork, "stairs": stairs}


def grid(n=400, reach=7.0):
    line = jnp.linspace(-reach, reach, n)
    return jnp.stack(jnp.meshgrid(line, line), -1), float(line[1] - line[0]) ** 2


def log_integral(target):
    points, area = grid()
    return float(jax.nn.logsumexp(target(points)) + np.log(area))


def fitted(target, maps, seed, steps):
    """Fit the inverse of each map, so that samples of the flow go through maps in closed form."""
    keys = jax.random.split(jax.random.key(seed), maps)
    flow = Chain(tuple(Inverse(Planar.init(key, 2)) for key in keys))
    return fit_reverse(flow, TARGETS[target], 2, steps=steps, learning_rate=5e-3, seed=seed)


def measured(target, maps, seed, steps):
    began = time.process_time()
    bound = fitted(target, maps, seed, steps).evaluations[0].validation
    kl = log_integral(TARGETS[target]) - bound
    return {"kl": round(kl, 4), "cpu_seconds": round(time.process_time() - began, 1)}


def draw(steps, path):
    """Targets, and samples of flows, seed 0."""
    figure = Figure(figsize=(1.9 * (len(MAPS) + 1), 1.9 * len(TARGETS)), layout="constrained")
    points, _ = grid(200, 4.0)
    for row, (name, target) in zip(figure.subplots(len(TARGETS), len(MAPS) + 1), TARGETS.items(), strict=True):
        row[0].imshow(jnp.exp(target(points)), extent=(-4, 4, -4, 4), origin="lower", cmap="magma")
        row[0].set_ylabel(name)
        for axis, maps in zip(row[1:], MAPS, strict=True):
            flow = fitted(name, maps, 0, steps).bijection
            x, _ = flow.inverse(jax.random.normal(jax.random.key(1), (20_000, 2), jnp.float32))
            axis.hist2d(*np.asarray(x).T, bins=80, range=((-4, 4), (-4, 4)), cmap="magma")
            axis.set_title(f"K = {maps}", fontsize=9)
        for axis in row:
            axis.set(xticks=[], yticks=[], aspect="equal")
    figure.savefig(path, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--core", action="store_true", help="seed 0, K = 1 and 8, 300 steps")
    parser.add_argument("--picture", action="store_true", help="draw samples of every flow, seed 0")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_planar.json"))
    asked = parser.parse_args()
    maps = MAPS
    if asked.core:
        asked.seeds, asked.steps, maps = [0], 300, (1, 8)
    dni.devices.use_all_cores()
    results, rows = Results(asked.results), []
    for target in TARGETS:
        cells = []
        for k in maps:
            some = [
                results.measured(
                    partial(measured, target, k, seed, asked.steps), target=target, maps=k, steps=asked.steps, seed=seed
                )
                for seed in asked.seeds
            ]
            cells.append(spread([row["kl"] for row in some]))
        rows.append([target, *cells])
    table(["KL to the target, nats", *(f"K = {k}" for k in maps)], rows)
    if asked.picture:
        draw(asked.steps, Path(__file__).with_name("planar_targets.png"))


if __name__ == "__main__":
    main()
