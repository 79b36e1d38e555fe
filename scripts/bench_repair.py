"""Speed of a repair beside the linear program as the paper prints it, HiGHS on each class, and Clarabel.

    python scripts/bench_repair.py              # needs the extra "repair" for Clarabel
    python scripts/bench_repair.py --sizes 4096x200 800x1000 --repeats 1 --without literal

States are those of rectified linear units; 10 classes, wanted scores 1 and 0, cost 1. All take turns in one run; their
objectives are compared, and every ratio pairs the runs of one turn. The literal program holds all classes at once, a
variable for each weight and its bound, and is left out above 10,000,000 numbers other than 0.
"""

import argparse

import numpy as np
from bench_turns import contest, machine
from scipy import sparse
from scipy.optimize import linprog

import dni_jax as dni
from dni_jax.lab.repair import one_hot_targets

N_CLASSES = 10
MOST = 10_000_000


def problem(n_neurons, n_states, seed=0):
    rng = np.random.default_rng(seed)
    states = np.maximum(rng.normal(size=(n_states, n_neurons)), 0)
    weights = rng.normal(size=(N_CLASSES, n_neurons)) / np.sqrt(n_neurons)
    return weights, rng.normal(size=N_CLASSES), states, one_hot_targets(rng.integers(0, N_CLASSES, n_states), N_CLASSES)


def literal(weights, bias, states, targets):
    """Equation (3) with |g| <= a and |error| <= b, all classes in one program: its least value."""
    n_g, n_e = weights.size, targets.size
    scores = sparse.kron(sparse.csr_matrix(states), sparse.eye(N_CLASSES), format="csr")
    lacking = (targets - bias - states @ weights.T).ravel()
    one, other = sparse.eye(n_g), sparse.eye(n_e)
    rows = sparse.bmat(
        [[one, -one, None], [-one, -one, None], [scores, None, -other], [-scores, None, -other]], format="csr"
    )
    bounds = np.concatenate([np.zeros(2 * n_g), lacking, -lacking])
    price = np.concatenate([np.zeros(n_g), np.ones(n_g + n_e)])
    found = linprog(price, A_ub=rows, b_ub=bounds, bounds=(None, None), method="highs")
    return found.fun


def calls(head, without):
    """What takes part: a name and a function to the objective."""
    taking = {"ours": lambda: dni.repair_head(*head, cost=1.0).objective}
    for solver in ("highs", "clarabel"):
        taking[solver] = lambda solver=solver: dni.repair_head(*head, cost=1.0, solver=solver).objective
    if 2 * head[2].size * N_CLASSES <= MOST:
        taking["literal"] = lambda: literal(*head)
    return {name: call for name, call in taking.items() if name not in without}


def compared(taking, repeats):
    """The turns, and what each call gave last."""
    values = {}
    noted = {name: lambda name=name: values.update({name: taking[name]()}) for name in taking}
    return contest(noted, repeats), values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["4096x1", "4096x20", "800x200"], help="neurons x states")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=["highs", "clarabel", "literal"])
    asked = parser.parse_args()
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores; {N_CLASSES} classes")
    for size in asked.sizes:
        head = problem(*map(int, size.split("x")))
        turns, values = compared(calls(head, asked.without), asked.repeats)
        np.testing.assert_allclose(list(values.values()), values["ours"], rtol=1e-5)
        print(f"{size}: others had {np.mean(turns.others):.0%} of the cores")
        for name, took in turns.seconds.items():
            ratios = np.divide(took, turns.seconds["ours"])
            spread = f"({min(ratios):.1f} to {max(ratios):.1f})"
            print(f"  {name:9} {np.median(took):9.4f} s  {np.median(ratios):8.1f} times ours {spread}", flush=True)


if __name__ == "__main__":
    main()
