"""How computations are spread over devices, and what a caller hears who started JAX first."""

import os
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest

import dni_jax as dni
from dni_jax import devices
from dni_jax.models import predict


def test_models_first_then_lanes():
    assert jax.local_device_count() == 2
    assert dict(devices.make_grid(8, 64).shape) == {"models": 2, "lanes": 1}
    assert dict(devices.make_grid(1, 64).shape) == {"models": 1, "lanes": 2}
    assert dict(devices.make_grid(3, 64).shape) == {"models": 1, "lanes": 2}
    assert dict(devices.make_grid(1, 15).shape) == {"models": 1, "lanes": 1}
    assert dict(devices.make_grid(1, 8).shape) == {"models": 1, "lanes": 1}  # too few lanes to split
    assert devices.make_mesh("sets", 6).size == 2
    assert devices.make_mesh("sets").size == 2


SCRIPT = """
import sys, warnings
warnings.simplefilter("always")
import jax.numpy as jnp
if "first" in sys.argv:
    jnp.zeros(3).sum()
import dni_jax as dni
if "asked" in sys.argv:
    dni.devices.use_all_cores()
corpus = dni.languages.get("parentheses").sample(60, seed=0)
dni.train(corpus, hidden=4, steps=2, batch=16, window=8, progress=False)
import jax
print(jax.local_device_count())
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "first"])
def test_all_cores_are_used_or_a_notice_says_why_not(first):
    """In a process of its own: with JAX untouched, and where the caller computed something before."""
    if devices.count_cores() < 2:
        pytest.skip("needs two cores")
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, first], capture_output=True, text=True, env=environment, check=True
    )
    assert int(result.stdout) == (1 if first else devices.count_cores())
    assert ("use_all_cores()" in result.stderr) == bool(first)
    assert result.stderr.count("before the first JAX computation") == (1 if first else 0)


def test_asking_again_changes_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices.use_all_cores()
    assert jax.local_device_count() == 2


@pytest.mark.slow
@pytest.mark.parametrize("given", [None, "own"])
def test_compiled_programs_are_kept_unless_the_user_has_given_a_folder(given, tmp_path):
    script = (
        "import sys; from pathlib import Path; import jax; from dni_jax.devices import use_compilation_cache\n"
        "use_compilation_cache(Path(sys.argv[1]))\n"
        "jax.jit(lambda x: x + 1)(1.0)"
    )
    own = {} if given is None else {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / given)}
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"} | own
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "ours")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stderr == ""
    assert (tmp_path / "ours").exists() == (given is None)
    if given is None:
        assert any((tmp_path / "ours").iterdir())


def test_a_cache_folder_that_cannot_be_made_changes_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    before = jax.config.values["jax_compilation_cache_dir"]
    devices.use_compilation_cache(tmp_path / "file" / "xla")
    assert jax.config.values["jax_compilation_cache_dir"] == before


@pytest.mark.slow
def test_all_at_once_is_one_after_the_other(corpus, held_out, monkeypatch):
    """What an accelerator does in parallel: training, looks, predictions and texts come out the same."""
    small = {"hidden": 8, "batch": 16, "window": 16, "steps": 20, "evaluate_every": 10, "progress": False}
    masks = np.random.default_rng(0).random((5, 8)) < 0.3

    def everything():
        jax.clear_caches()
        models = dni.train_population(corpus, seeds=(0, 1), **small)
        some = held_out.take(np.arange(20))
        silenced = dni.ablate(range(8)).bind(8, some.n_positions, sets=masks)
        predictions = predict(models[0].weights, models[0].encode(some), silenced)
        texts = dni.models.generate_each(models[1], [None, dni.clamp([1], 1.0), dni.clamp([2], 0.5)], n=4, length=20)
        return jax.tree.leaves([model.weights for model in models]), predictions.loss, texts, models[0].history

    in_turn = everything()
    monkeypatch.setattr("dni_jax.devices.is_accelerated", lambda mesh=None: True)
    monkeypatch.setattr("dni_jax.models._prediction.is_accelerated", lambda mesh=None: True)
    monkeypatch.setattr("dni_jax.models._rollout.SETS_AT_ONCE", 2)
    monkeypatch.setattr("dni_jax.models._prediction.SETS_AT_ONCE", 2)
    at_once = everything()
    monkeypatch.undo()
    jax.clear_caches()
    for one, other in zip(in_turn[0], at_once[0], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    np.testing.assert_allclose(in_turn[1], at_once[1], atol=1e-5)
    assert in_turn[2] == at_once[2]
    assert in_turn[3][-1]["validation_loss"] == pytest.approx(at_once[3][-1]["validation_loss"], abs=1e-5)
