"""Sweeps that are killed, whose processes die, that run in several processes or on a cluster; all slow."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w

from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep import SweepConfig, Workers, read_sweep, sweep
from dni_jax.app.sweep._folder import POPULATIONS, Group, SweepFolder
from tests.support.sweeps import TINY, weights_in

pytestmark = pytest.mark.slow

LONG = {**TINY, "inspect_every": 100, "train": {**TINY["train"], "steps": 200, "patience": 100}}
GRID = {"hidden": [12, 8], "seed": [0, 1]}


def command(file, folder):
    return [sys.executable, "-m", "dni_jax.app.cli", "sweep", str(file), "--out", str(folder)]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("killed") / "long.toml"
    file.write_text(tomli_w.dumps({"settings": LONG, "grid": GRID}))
    return file


@pytest.fixture(scope="module")
def whole(file):
    """The sweep, never interrupted."""
    folder = file.parent / "whole"
    subprocess.run(command(file, folder), check=True, capture_output=True)
    return folder


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_sweep_goes_on_bit_by_bit(file, whole, tmp_path):
    """Killed in the middle of the first population, then while its second run is being inspected."""
    folder, config = tmp_path / "killed", read_sweep(file)
    names = [run.name for run in config.runs]
    first = folder / names[0]

    def half_way():
        kept = list((folder / POPULATIONS).glob("*/*/arrays")) if (folder / POPULATIONS).is_dir() else []
        return len(kept) > 1 and not (first / "checkpoint").exists()

    def first_is_finished():
        return RunFolder(first).is_finished

    marks = None
    for moment in (half_way, first_is_finished):
        process = subprocess.Popen(command(file, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(moment, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if moment is first_is_finished:
            marks = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    again = subprocess.run(command(file, folder), check=True, capture_output=True, text=True)
    assert "1 of them finished" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == marks
    assert not (folder / POPULATIONS).exists()
    for name in names:
        for ours, theirs in zip(weights_in(folder / name), weights_in(whole / name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        ours, theirs = (pd.read_csv(root / name / "training.csv") for root in (folder, whole))
        np.testing.assert_array_equal(ours["validation_loss"], theirs["validation_loss"])
        for table in ("relevance.parquet", "dynamics.parquet", "effects.parquet"):
            pd.testing.assert_frame_equal(*(pd.read_parquet(root / name / table) for root in (folder, whole)))


def test_several_processes_give_the_same(file, whole, tmp_path):
    result = sweep(replace(read_sweep(file), out=str(tmp_path / "two")), workers=Workers(jobs=2))
    assert not result.failed
    for run in read_sweep(file).runs:
        # Each process has fewer devices: products are split, and summed, in another way.
        for ours, theirs in zip(weights_in(tmp_path / "two" / run.name), weights_in(whole / run.name), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


class Deadly(Group):
    """A task whose process dies as soon as it takes it, as one that is killed for its memory does."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_dies_fails_its_own_task_only(tmp_path):
    config = SweepConfig("s", TINY, {"hidden": [16, 12]}, out=str(tmp_path / "s"))
    folder = SweepFolder.claim(config)
    doomed, other = folder.plan_tasks(config)
    took = {}
    groups = [Deadly(doomed.networks), other]
    Workers(jobs=2).run(groups, folder.path, lambda group, outcome: took.update({group.runs[0].name: outcome.errors}))
    assert set(took) == {"hidden-16", "hidden-12"}
    assert not took["hidden-12"]
    assert "it was killed" in took["hidden-16"]["hidden-16"]
    assert "hidden = 16" in (folder.path / "hidden-16" / "error.txt").read_text()
    assert RunFolder(folder.path / "hidden-12").is_finished
    assert [group.runs for group in folder.plan_tasks(config)] == [doomed.runs]  # which is tried again


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_a_dask_cluster_does_the_tasks(tmp_path):
    distributed = pytest.importorskip("distributed")
    config = SweepConfig("dask", TINY, {"seed": [0, 1], "folds": [4, 5000]}, out=str(tmp_path / "dask"))
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        workers = Workers(backend="dask", address=cluster.scheduler_address)
        result = sweep(config, workers=workers)
    assert list(result.failed) == ["seed-0_folds-5000", "seed-1_folds-5000"]
    assert result.table["state"].tolist() == ["done", "failed"] * 2
    assert (Path(result.path) / "sweep.html").is_file()
