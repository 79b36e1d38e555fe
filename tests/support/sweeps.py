"""What tests of sweeps share: settings of tiny runs, weights on disk."""

import jax
import numpy as np

import dni_jax as dni

# As `cli_runs.SMALL`, whose programs are compiled already.
TINY = {
    "strings": 1500,
    "inspect": {"inspect_characters": 2000},
    "verify": {"verify_characters": 1000, "random_sets": 4},
    "train": {"steps": 40, "batch": 8, "window": 32, "evaluate_every": 20},
}


def weights_in(folder):
    """The arrays of a run's network."""
    return [np.asarray(array) for array in jax.tree.leaves(dni.load(folder / "checkpoint").weights)]
