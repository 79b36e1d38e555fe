"""What holds for every test: strict dtype promotion, two host devices as on a user's machine, one small network."""

import atexit
import fcntl
import gc
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support import typechecker  # noqa: F401
from tests.support.compiling import compile_quickly

# isort: split
# The import hook of jaxtyping names the checker, so it is imported before the package is.
import dni_jax as dni

compile_quickly()

os.environ["DNI_JAX_CACHE"] = tempfile.mkdtemp(prefix="dni_jax_tests_")  # never the user's own
# All workers, and later runs, share what they compile: most tests need the same few programs, and JAX knows by their
# content, flags and versions which of them are still the same.
os.environ.setdefault("DNI_JAX_TESTS_PROGRAMS", str(Path(__file__).resolve().parent.parent / ".test_programs"))
jax.config.update("jax_compilation_cache_dir", os.environ["DNI_JAX_TESTS_PROGRAMS"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave examples that train a network, which other tests do in the same way, to the slow run."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and any(
            "dni.train" in example.source for example in item.dtest.examples
        ):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Take what was imported and collected out of the garbage collector's sight: it lives to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # tracing makes objects by the million, and hardly any that end in a cycle


def pytest_sessionfinish():
    """End at once: Pytest would look for cycles five times over, and JAX free its programs one by one."""
    gc.collect()
    gc.freeze()  # Python itself looks for cycles once more
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose exit code nobody reads
        atexit.register(os._exit, 0)


@pytest.fixture(scope="session")
def parentheses():
    return dni.languages.get("parentheses")


@pytest.fixture(scope="session")
def corpus(parentheses):
    return parentheses.sample(2_000, seed=0)


@pytest.fixture(scope="session")
def model(corpus):
    """A network that has learned something: 24 neurons, a few seconds."""
    return dni.train(corpus, hidden=24, steps=150, batch=16, window=32, evaluate_every=50, progress=False)


@pytest.fixture(scope="session")
def cut_off():
    """Give a one-layer LSTM's weights with some neurons' outgoing weights multiplied by a number."""

    def multiplied(weights, neurons, by=0.0):
        (layer,) = weights.layers
        factor = np.ones(weights.n_neurons, np.float32)
        factor[list(neurons)] = by
        return replace(
            weights,
            layers=(replace(layer, wh=layer.wh * factor[:, None]),),
            head=weights.head * factor[:, None],
        )

    return multiplied


@pytest.fixture(scope="session")
def held_out(corpus):
    return corpus.test


@pytest.fixture(scope="session")
def states(model, held_out):
    return dni.record(model, held_out, what=("hidden", "cell", "gates"))


@pytest.fixture(scope="session")
def labels(parentheses, held_out):
    return parentheses.features().label(held_out)


@pytest.fixture(scope="session")
def relevance(states, labels):
    return dni.inspect(states, labels, folds=5)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small run from the command line, whole; not to be changed. The first process makes it, the others wait."""
    from dni_jax.app.cli import main
    from dni_jax.app.run_folder import RunFolder
    from tests.support.cli_runs import SMALL

    base = tmp_path_factory.getbasetemp()
    runs = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "runs"
    runs.mkdir(exist_ok=True)
    with (runs / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not RunFolder(runs / "first").is_finished:
            shutil.rmtree(runs / "first", ignore_errors=True)
            main(["run", "parentheses", "--out", str(runs / "first"), *SMALL])
    return runs / "first"
