"""The number of devices changes nothing: counts to the bit, scores to 1e-6."""

import os
import subprocess
import sys

import numpy as np
import pytest

_SCRIPT = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpy as np
import pytest
from dni_jax.probes import ProbeSpec, Sample, choose_engine, score_neurons
rng = np.random.default_rng(0)
hidden = rng.normal(size=(500, 11)).astype(np.float32)
labels = hidden[:, :3] + rng.normal(size=(500, 3)) > 0.3
folds = (np.arange(500) % 4).astype(np.int32)
svm, ols = score_neurons(hidden, labels, folds), score_neurons(hidden, labels, folds, probe="ols")
spec = ProbeSpec(n_bins=32).resolve(labels)
engine = choose_engine(spec, None)
stats = engine.update(engine.init(spec, Sample(hidden, labels, folds, 4)), hidden, labels, folds)
binned = engine.score(stats)
assert svm.attrs["n_devices"] == int(sys.argv[1])
np.savez(sys.argv[2], accuracy=svm["accuracy"], auc=svm["auc"], r2=ols["r2"], counts=stats.counts,
         binned=binned["auc"])
"""


def _run(n_devices, path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    subprocess.run([sys.executable, "-c", _SCRIPT, str(n_devices), str(path)], check=True, env=environment, timeout=300)
    return np.load(path)


@pytest.mark.slow
def test_eight_devices_give_what_one_gives(tmp_path):
    one, eight = (_run(n, tmp_path / f"{n}.npz") for n in (1, 8))
    assert one["accuracy"].shape == (11, 3, 4)
    for key in one:
        np.testing.assert_allclose(eight[key], one[key], atol=1e-6, err_msg=key)
    for key in ("counts", "accuracy", "auc", "binned"):
        np.testing.assert_array_equal(eight[key], one[key])
