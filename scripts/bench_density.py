"""Speed of log-densities beside flowjax: a RealNVP of 128 dimensions, 8 couplings by networks of 2 x 256.

    python scripts/bench_density.py              # needs the extra "bench"

Both maps have the same shapes and start as drawn (a network's speed does not depend on its weights); ours is checked
against itself at one state at a time, and both take turns in one run. Ratios pair the runs of one turn.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from bench_turns import contest, foreign_seconds, machine

from dni_jax.devices import count_cores, use_all_cores
from dni_jax.lab.densities import init_flow, log_prob, log_prob_in_blocks

N_NEURONS, LAYERS, WIDTH, DEPTH = 128, 8, 256, 2
WANTED = 25_000


def theirs(n_neurons):
    import equinox
    from flowjax.distributions import StandardNormal
    from flowjax.flows import coupling_flow

    flow = coupling_flow(
        jax.random.key(0),
        base_dist=StandardNormal((n_neurons,)),
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=DEPTH,
    )
    return equinox.filter_jit(flow.log_prob)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    use_all_cores()
    states = np.random.default_rng(0).normal(size=(args.states, N_NEURONS)).astype(np.float32)
    flow = init_flow("realnvp", states, layers=LAYERS, width=WIDTH, depth=DEPTH, seed=0)
    keys = iter(jax.random.split(jax.random.key(1), 1_000))
    flow = jax.tree.map(lambda a: a + 0.01 * jax.random.normal(next(keys), a.shape), flow)  # not the identity
    single = np.asarray([log_prob(flow, jnp.asarray(state)) for state in states[:16]])
    np.testing.assert_allclose(log_prob_in_blocks(flow, states)[:16], single, rtol=1e-4)
    other, on_device = theirs(N_NEURONS), jnp.asarray(states)
    began, busy = time.perf_counter(), foreign_seconds()
    turns = contest(
        {"ours": lambda: log_prob_in_blocks(flow, states), "flowjax": lambda: other(on_device).block_until_ready()},
        args.repeats,
    )
    load = (foreign_seconds() - busy) / (time.perf_counter() - began) / count_cores()
    rates = {name: args.states / np.asarray(took) for name, took in turns.seconds.items()}
    ratios = np.divide(turns.seconds["flowjax"], turns.seconds["ours"])
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, others had {load:.0%} of them; {args.states:,} states")
    for name, rate in rates.items():
        wish = f"  at least {WANTED:,} wanted" if name == "ours" else ""
        print(f"{name:8} {np.median(rate):9,.0f} log-densities/s  ({rate.min():,.0f} to {rate.max():,.0f}){wish}")
    print(f"ours is {np.median(ratios):.2f} times as fast ({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
