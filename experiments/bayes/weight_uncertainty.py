"""Whether averaging over weights keeps a network from overfitting a small text (after Gan et al. 2017).

A network reads few strings many times. It is trained by Adam, by Adam with dropout, and by samplers of its posterior,
without and with dropout. Each is judged on unseen text by its last weights, and by the average of the probabilities
that the weights of the looks in its last half give; so Adam is averaged as well, which is no posterior.

Claims    (a) Averaging over a sampler's draws predicts unseen text better than Adam's weights, which overfit.
          (b) Dropout together with Langevin noise is better than either.
Command   python -m experiments.bayes.weight_uncertainty [--seeds 0 1 2] [--out FILE.png]
Run time  about 2 minutes on 2 CPU cores
Result    the tables of README.md in this folder
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax.lab.posterior import combine_losses, count_symbols, posterior_gradient, predictive_losses, psgld, sgld
from dni_jax.models import TrainConfig, make_batches, zero_carries
from experiments._shared.subjects import spread, table
from experiments.bayes._dropout import Learner, learn

LANGUAGE, STRINGS, HIDDEN, BATCH, WINDOW = "arithmetic", 300, 64, 16, 32
UNSEEN = 6_000  # characters that networks are judged on, and as many to choose a step size by
LOOK = 50  # steps between two looks
KEEP = 0.7  # of the neurons that the readout sees, with dropout
ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
STEP_SIZES = {"psgld": (3e-3, 1e-2, 3e-2), "sgld": (1e-4, 3e-4, 1e-3)}  # chosen from by seed 0


@dataclass(frozen=True)
class Way:
    """One way to fit a network: a sampler at a step size, or Adam; and how many neurons dropout keeps."""

    sampler: str | None
    step_size: float = 0.0
    keep: float = 1.0


@dataclass(frozen=True)
class Course:
    """What a way led to, look by look, in nats per symbol of unseen text."""

    steps: np.ndarray
    train: np.ndarray
    alone: np.ndarray
    averaged: np.ndarray


def texts(seed):
    """A small text to learn, one to judge by, and one to choose step sizes by."""
    corpus = dni.languages.get(LANGUAGE).sample(3_000, seed=seed)
    small = corpus.train.take(np.arange(STRINGS))
    return replace(small, split=np.zeros_like(small.split)), corpus.test.head(UNSEEN), corpus.validation.head(UNSEEN)


def course(way, small, unseen, seed, steps):
    """Fit a network from its initial weights, and judge what it passes through."""
    start = dni.models.TrainedModel.init(small.vocabulary, TrainConfig(hidden=HIDDEN, seed=seed)).weights
    key, noise = jax.random.split(jax.random.key(seed))
    if way.sampler is None:
        optimizer, memory = ADAM, ADAM.init(start)
    else:
        n = jnp.float32(count_symbols(small))
        # psgld's damping is stated for the gradient of one symbol.
        chain = (
            sgld(way.step_size, key=noise)
            if way.sampler == "sgld"
            else psgld(way.step_size, key=noise, damping=1e-5 * n)
        )
        optimizer = optax.chain(posterior_gradient(n), chain)
        memory = optimizer.init(start)
    state = Learner(start, memory, zero_carries(start, BATCH), key)
    plan = TrainConfig(steps=steps, batch=BATCH, window=WINDOW, seed=seed).plan(1)
    train, losses = [], []
    for batch in make_batches(small, [plan], 0, LOOK):
        state, loss = learn(state, [array[0] for array in batch[:4]], optimizer, way.keep)
        train.append(float(loss.mean()))
        losses.append(predictive_losses(jax.tree.map(lambda array: np.asarray(array)[None], state.weights), unseen)[0])
    alone = np.asarray([combine_losses(one[None]).average for one in losses])
    averaged = [combine_losses(np.stack(losses[(n + 1) // 2 : n + 1])).average for n in range(len(losses))]
    return Course(LOOK * np.arange(1, len(losses) + 1), np.asarray(train), alone, np.asarray(averaged))


def chosen_step_sizes(steps):
    """For each sampler, the step size whose average predicts best, on text that is used for nothing else."""
    small, _, choosing = texts(0)
    best = {}
    rows = []
    for sampler, step_sizes in STEP_SIZES.items():
        found = {step: course(Way(sampler, step), small, choosing, 0, steps) for step in step_sizes}
        ends = {step: one.averaged[-1] if np.isfinite(one.averaged[-1]) else np.inf for step, one in found.items()}
        best[sampler] = min(ends, key=ends.get)
        rows += [[sampler, f"{s:g}", f"{found[s].train[-1]:.3f}", f"{found[s].alone[-1]:.3f}", f"{ends[s]:.3f}"]
                 for s in step_sizes]  # fmt: skip
    table(["sampler", "step size", "training loss", "last draw", "averaged"], rows)
    return best


def draw(found, path):
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, courses in found.items():
        for axes, kind in ((left, "alone"), (right, "averaged")):
            mean = np.mean([getattr(one, kind) for one in courses], axis=0)
            axes.plot(courses[0].steps, mean, label=name)
    left.set(title="last weights", xlabel="steps", ylabel="unseen text, nats per symbol")
    right.set(title="average of probabilities", xlabel="steps")
    low = min(one.averaged.min() for courses in found.values() for one in courses)
    left.set_ylim(low - 0.02, low + 0.6)
    right.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main(seeds, steps, out):
    best = chosen_step_sizes(steps)
    ways = {
        "Adam": Way(None),
        "Adam, dropout": Way(None, keep=KEEP),
        "SGLD": Way("sgld", best["sgld"]),
        "pSGLD": Way("psgld", best["psgld"]),
        "pSGLD, dropout": Way("psgld", best["psgld"], KEEP),
    }
    found = {name: [] for name in ways}
    for seed in seeds:
        small, unseen, _ = texts(seed)
        for name, way in ways.items():
            found[name].append(course(way, small, unseen, seed, steps))
    rows = [
        [
            name,
            spread([one.train[-1] for one in courses]),
            spread([one.alone.min() for one in courses]),
            spread([one.alone[-1] for one in courses]),
            spread([one.averaged[-1] for one in courses]),
        ]
        for name, courses in found.items()
    ]
    table(["", "training loss, last", "unseen, best look", "unseen, last weights", "unseen, averaged"], rows)
    draw(found, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1_200)
    parser.add_argument("--out", type=Path, default=Path("runs/weight_uncertainty.png"))
    given = parser.parse_args()
    main(given.seeds, given.steps, given.out)
