"""Several devices, and several processes, find what one finds; a lost process ends the others, and the run goes on."""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from tests.support.cli_runs import SMALL

pytestmark = pytest.mark.slow

WAIT = 90  # seconds within which the others notice; 30 without an answer, on a machine that does other things too
JOB = """
import sys, warnings
import jax
from dni_jax.app.config import Hosts
target, n_devices, port, number = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
jax.config.update("jax_num_cpu_devices", n_devices)
from dni_jax import processes
from dni_jax.app import distributed
if port != "none":
    distributed.start(Hosts(True, f"127.0.0.1:{port}", 2, int(number)))
import numpy as np
import dni_jax as dni
from dni_jax.probes import direct_scores
language = dni.languages.get("parentheses")
corpus = language.sample(600, seed=0)
small = dict(hidden=9, steps=20, window=16, evaluate_every=10, progress=False)
model = dni.train(corpus, batch=64, **small)
checkpoints = dni.train(corpus, batch=64, checkpoints=target + "-states", **small)
population = dni.train_population(corpus, seeds=(0, 1), learning_rates=(0.01, 0.003), batch=16, **small)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    tiny = dni.train(corpus, batch=8, **small)
asked = port != "none" and processes.is_first()
assert [str(one.message).startswith("a batch of 8 texts is too small") for one in told] == [True] * asked, told
held_out = corpus.test.shuffle(0)
labels = language.features().label(held_out)
states = dni.record(model, held_out, what=("cell", "gates"), intervention=dni.clamp([2], 0.5))
plain = dni.record(model, held_out)
relevance = dni.inspect(plain, labels, folds=4)
effect = dni.verify(model, held_out, relevance, "depth=1", ks=(1, 3), n_random=5)
binary = labels.of_kind("binary").matrix
folds = dni.make_folds(len(plain.hidden), k=4, groups=held_out.string_ids)
binned = dni.score_neurons(plain.hidden, binary, folds, engine="binned", n_bins=32)
test = dni.permutation_test(plain.hidden, binary, held_out.string_ids, null="shift", n_null=19)
known = dict(
    losses=[[row["train_loss"], row["validation_loss"]] for row in model.history],
    kept=[[row["train_loss"], row["validation_loss"]] for row in checkpoints.history],
    population=[[row["train_loss"], row["validation_loss"]] for one in population for row in one.history],
    tiny=[[row["train_loss"], row["validation_loss"]] for row in tiny.history],
    hidden=states.hidden, cell=states.cell, gates=states.gates, plain=plain.hidden,
    score=relevance["score"].values, auc=relevance["auc"].values, effect=effect["top"].values,
    random=effect["random"].values, binned=binned["auc"], error=binned.attrs["auc_error"], p=test["p"], q=test["q"],
    direct=direct_scores(plain.hidden, binary), strata=direct_scores(plain.hidden, binary, strata=held_out.flat_codes),
)
every = processes.gather_list(np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in known.values()]))
assert all(np.array_equal(each, every[0], equal_nan=True) for each in every)
if processes.is_first():
    np.savez(target, **known)
"""
EXACT = ("auc", "score", "binned", "p", "q", "direct", "strata", "error")  # of equal states


def environment():
    plain = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    return plain | {"JAX_PLATFORMS": "cpu"}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def ended(process, timeout=600):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def job(target, n_devices, n_processes=1):
    port = free_port() if n_processes > 1 else "none"
    each = [start("-c", JOB, target, n_devices, port, number) for number in range(n_processes)]
    for code, _, err in [ended(one) for one in each]:
        assert code == 0, err[-3000:]
    return dict(np.load(target))


@pytest.fixture(scope="module")
def of_one(tmp_path_factory):
    return job(tmp_path_factory.mktemp("one") / "one.npz", 1)


@pytest.mark.parametrize(("n_devices", "n_processes"), [(8, 1), (2, 2)])
def test_devices_and_processes_find_what_one_device_finds(n_devices, n_processes, of_one, tmp_path):
    many = job(tmp_path / "many.npz", n_devices, n_processes)
    assert set(many) == set(of_one)
    for name in ("losses", "kept", "population", "tiny"):
        np.testing.assert_allclose(many[name], of_one[name], rtol=1e-5, err_msg=name)
    for name in ("hidden", "cell", "gates", "plain", "effect", "random"):
        np.testing.assert_allclose(many[name], of_one[name], atol=2e-5, err_msg=name)
    # States that differ in their last bit may change places: one pair in a ranking, one position in a fold.
    for name in EXACT:
        np.testing.assert_allclose(many[name], of_one[name], atol=2e-3, err_msg=name)
    if np.array_equal(many["plain"], of_one["plain"]):
        for name in ("auc", "binned", "p", "q", "direct", "strata", "error"):
            np.testing.assert_array_equal(many[name], of_one[name], err_msg=name)


def run(out, *more, port=None, number=0, command="run"):
    hosts = () if port is None else ("--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2")
    own = () if port is None else ("--process-id", str(number))
    return start("-m", "dni_jax.app.cli", command, "parentheses", "--out", out, *more, *hosts, *own)


def rankings(table):
    means = table.groupby(["feature", "neuron"], sort=False)["auc"].mean().round(5)
    return {
        feature: list(own.droplevel(0).sort_values(kind="stable").index) for feature, own in means.groupby("feature")
    }


def test_a_run_of_two_processes_is_that_of_one(tmp_path):
    settings = [*SMALL, "--batch", "32"]
    code, _, err = ended(run(tmp_path / "one", *settings))
    assert code == 0, err
    port = free_port()
    two = [run(tmp_path / "two", *settings, "--json", port=port, number=number) for number in range(2)]
    (code, out, err), (other_code, other_out, other_err) = (ended(one) for one in two)
    assert (code, other_code) == (0, 0), err + other_err
    assert out.startswith("{")
    assert out.count("\n") == 1
    assert other_out == other_err == ""
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    one, both = (pd.read_parquet(tmp_path / name / "relevance.parquet") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, both, atol=1e-5, rtol=1e-5)
    assert rankings(one) == rankings(both)
    effects = [pd.read_parquet(tmp_path / name / "effects.parquet") for name in ("one", "two")]
    pd.testing.assert_frame_equal(*effects, atol=1e-4, rtol=1e-5)
    texts = [(tmp_path / name / "config.toml").read_text() for name in ("one", "two")]
    assert texts[0] == texts[1]


def wait_for(path, process, seconds=300):
    began = time.monotonic()
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() - began < seconds
        time.sleep(0.1)


LONG = [*SMALL, "--batch", "32", "--steps", "600", "--evaluate-every", "20", "--patience", "1000"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, _, err = ended(run(folder, *LONG, command="train"))
    assert code == 0, err
    return pd.read_csv(folder / "training.csv")


@pytest.mark.parametrize(("lost", "by"), [(1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_lost_process_ends_the_other_and_the_run_goes_on(lost, by, uninterrupted, tmp_path):
    out, port = tmp_path / "run", free_port()
    both = [run(out, *LONG, port=port, number=number, command="train") for number in range(2)]
    wait_for(out / "training" / "40", both[0])
    os.kill(both[lost].pid, by)
    began = time.monotonic()
    code, _, err = ended(both[1 - lost], WAIT)
    assert time.monotonic() - began < WAIT
    os.kill(both[lost].pid, signal.SIGKILL)
    both[lost].communicate()
    assert code not in (0, 2)
    assert f"process {1 - lost} of 2 ended before the run did" in err
    assert "--resume continues from there" in err
    port = free_port()
    again = [None] if by == signal.SIGSTOP or lost else [0, 1]  # by one process, or again by two
    each = [
        run(out, "--resume", port=None if number is None else port, number=number, command="train") for number in again
    ]
    for code, _, err in [ended(one) for one in each]:
        assert code == 0, err
    columns = ["step", "characters", "train_loss", "validation_loss", "learning_rate"]
    found = pd.read_csv(out / "training.csv")
    pd.testing.assert_frame_equal(found[columns], uninterrupted[columns], rtol=1e-3)
    assert (out / "checkpoint").exists()


def test_what_is_wrong_with_the_processes_is_said(tmp_path):
    bare = {name: value for name, value in environment().items() if not name.startswith(("SLURM", "OMPI", "JAX_CO"))}
    command = [sys.executable, "-m", "dni_jax.app.cli", "run", "--distributed", "--out", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, env=bare, timeout=300, check=False)
    assert done.returncode == 2
    assert "expected a cluster that JAX knows" in done.stderr
    assert "--coordinator HOST:PORT" in done.stderr
    port = free_port()
    both = [run(tmp_path / "two", *SMALL, "--seed", str(number), port=port, number=number) for number in range(2)]
    for code, out, err in [ended(one) for one in both]:
        assert code == 2, err
        assert "expected the same settings in every process, got different ones in process 1 than in process 0" in err
        assert "Traceback" not in err + out
    assert not (tmp_path / "two").exists()


def test_an_error_of_the_first_process_is_that_of_all(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "something").write_text("")
    port = free_port()
    both = [run(tmp_path / "taken", *SMALL, port=port, number=number) for number in range(2)]
    for number, (code, _, err) in enumerate([ended(one) for one in both]):
        assert code == 2, err
        assert f"process {number}: expected an empty or new folder" in err
