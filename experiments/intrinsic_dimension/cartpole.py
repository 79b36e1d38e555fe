"""How many dimensions balancing a pole takes: policy gradient and evolution strategies in random subspaces.

Claim     CartPole is solved in a small subspace of a policy's weights (Li et al. 2018, section 4: d90 = 25 of a
          Q-network's), by gradients or without them.
Command   python -m experiments.intrinsic_dimension.cartpole [--core] [--seeds 0 1 2]
          Measures what is missing in results_cartpole.json beside this file; --results FILE starts a file of your own.
Run time  and results: README.md in this folder
"""

import argparse
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import dni_jax as dni
from dni_jax.lab.intrinsic_dimension import measure_dimension, random_projection
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments.intrinsic_dimension import _cartpole as game
from experiments.intrinsic_dimension._models import init, logits

SIZES = (4, 32, 32, 1)  # of the policy: 1,249 weights
DIMS = (1, 2, 4, 8, 16, 32)
EPISODES = 100  # that a policy is judged by


def log_odds(params, states):
    return logits(params, states.reshape(-1, 4)).reshape(states.shape[:-1])


def judge(params):
    """Return the mean return of fresh episodes."""
    return game.mean_return(partial(log_odds, params), jax.random.split(jax.random.key(1_000), EPISODES))


def by_policy_gradient(seed, steps):
    """Return mean returns by dimension, and the full network's; a batch is 16 episodes, each known by its seed."""

    def loss(params, seeds):
        return game.policy_gradient_loss(log_odds, params, jax.vmap(jax.random.key)(seeds))

    found = measure_dimension(
        loss, init(SIZES, seed), DIMS, "dense", data=np.arange(16 * steps, dtype=np.uint32), performance=jax.jit(judge),
        batch=16, steps=steps, learning_rate=0.01, seed=seed, progress=False,
    )  # fmt: skip
    return found.performance[:, 0], found.full


def by_evolution(seed, steps):
    """Return the same without gradients: the d numbers are what evolves, in all D dimensions the weights."""
    flat, unravel = jax.flatten_util.ravel_pytree(init(SIZES, seed))
    reached = []
    for d in (*DIMS, flat.size):
        p = random_projection("dense", flat.size, d, (seed, 0)) if d < flat.size else None

        def params(z, p=p):
            return unravel(flat + (z if p is None else p.apply(z)))

        def fitness(z, key, params=params):
            return game.mean_return(partial(log_odds, params(z)), jax.random.split(key, 4))

        # The length of a step in the weights is that of d numbers: both scales make it equal in all subspaces.
        stretch = np.sqrt(flat.size / d).astype(np.float32)
        climb = jax.jit(
            partial(game.evolve, fitness, steps=steps, pairs=16, sigma=0.1 * stretch, rate=0.05 * stretch**2)
        )
        z, _ = climb(jnp.zeros(d), jax.random.key(seed))
        reached.append(float(jax.jit(judge)(params(z))))
    return np.asarray(reached[:-1]), reached[-1]


WAYS = {"policy gradient": (by_policy_gradient, 200), "evolution strategies": (by_evolution, 100)}


def measured(way, seed, share):
    run, steps = WAYS[way]
    began = time.process_time()
    reached, full = run(seed, round(share * steps))
    enough = np.flatnonzero(reached >= 0.9 * full)
    return {
        "dims": list(DIMS),
        "returns": [round(float(one), 1) for one in reached],
        "full": round(float(full), 1),
        "d90": DIMS[enough[0]] if len(enough) else None,
        "cpu_seconds": round(time.process_time() - began),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", action="store_true", help="a quarter of the steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_cartpole.json"))
    asked = parser.parse_args()
    dni.devices.use_all_cores()
    results, share = Results(asked.results), 0.25 if asked.core else 1.0
    rows = [
        results.measured(partial(measured, way, seed, share), way=way, seed=seed, share=share)
        for way in WAYS
        for seed in asked.seeds
    ]
    table(
        ["", *(f"d = {d}" for d in DIMS), "all 1,249", "d90, each seed"],
        [
            [way, *(spread(column, 0) for column in np.transpose([row["returns"] for row in some])),
             spread([row["full"] for row in some], 0), ", ".join(str(row["d90"]) for row in some)]
            for way in WAYS
            if (some := [row for row in rows if row["way"] == way])
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
