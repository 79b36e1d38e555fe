"""Nothing is lost by --force or a kill, and results of different processes do not mix."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dni_jax as dni
from dni_jax.app.config import RunConfig
from dni_jax.app.query import open_runs
from dni_jax.app.report import Excerpt
from dni_jax.app.report._run_files import RunFiles
from dni_jax.app.run_folder import RUN_FILES, RunFolder, resume_config
from dni_jax.app.sweep import SweepConfig, sweep, sweep_table
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.files import FolderLock, atomic_write, check_array_path, remove, remove_leftovers
from dni_jax.inspection import write_table
from tests.support.cli_runs import SMALL, refused

HOLDER = """
import fcntl, json, os, sys
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(json.dumps({"host": sys.argv[2], "process": os.getpid(), "start": "2026-01-01 00:00:00"}))
file.flush()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    """A folder with the files of a run, and one of the user's own."""
    folder = RunFolder.claim(RunConfig(out=str(tmp_path / "run")))
    folder.update_summary(loss=0.5)
    folder.model.mkdir()
    (folder.model / "model.json").write_text("{}")
    folder.set_fingerprint("0123456789abcdef")
    folder.report.write_text("a page")
    (folder.path / "notes.txt").write_text("my own")
    folder.release()
    return folder


@pytest.fixture
def held(run):
    """Another process that works in the run's folder."""
    command = [sys.executable, "-c", HOLDER, str(run.path / ".lock"), "elsewhere"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_force_removes_the_files_of_the_run_and_no_others(run):
    assert {path.name for path in run.path.iterdir()} - set(RUN_FILES) == {"notes.txt"}
    RunFolder.claim(RunConfig(out=str(run.path), force=True, strings=77)).release()
    assert {path.name for path in run.path.iterdir()} == {"notes.txt", "config.toml", "manifest.json"}
    assert "77" in (run.path / "config.toml").read_text()


@pytest.mark.parametrize("settings", [["--strings", "2"], ["--folds", "5000"], ["--headlines", "no such feature"]])
def test_force_with_settings_that_are_refused_keeps_the_old_run(run, settings, capsys):
    before = {path: path.read_text() for path in run.path.rglob("*") if path.is_file()}
    refused(["run", "parentheses", "--out", str(run.path), "--force", *SMALL, *settings], capsys)
    assert {path: path.read_text() for path in run.path.rglob("*") if path.is_file()} == before


def test_force_on_a_config_of_something_else_touches_nothing(tmp_path, capsys):
    for number, text in enumerate(['[tool.other]\nname = "mine"\n', "", "not TOML"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.toml").write_text(text)
        (folder / "training.csv").write_text("my own numbers")
        message = refused(["run", "parentheses", "--out", str(folder), "--force", *SMALL], capsys)
        assert "expected a run to replace" in message
        assert {path.name: path.read_text() for path in folder.iterdir()} == {
            "config.toml": text,
            "training.csv": "my own numbers",
        }


def test_force_replaces_only_what_a_run_has_written(run, tmp_path, capsys):
    command = ["run", "parentheses", "--force", *SMALL]
    (run.path / "samples.json").write_text("my own")
    message = refused([*command, "--out", str(run.path)], capsys)
    assert "got samples.json, which it has not written" in message
    by_hand = tmp_path / "by_hand"
    (by_hand / "training").mkdir(parents=True)
    (by_hand / "training" / "pictures").write_text("my own")
    (by_hand / "config.toml").write_text('language = "arithmetic"')
    assert "without the files that a run writes" in refused([*command, "--out", str(by_hand)], capsys)
    assert (by_hand / "training" / "pictures").read_text() == "my own"
    (by_hand / "summary.json").write_text('{"loss": 1.0}')  # a run of a version without manifests
    RunFolder.claim(RunConfig(out=str(by_hand), force=True)).release()
    assert sorted(path.name for path in by_hand.iterdir()) == ["config.toml", "manifest.json"]


def test_a_sweep_is_replaced_only_by_one_whose_text_can_be_read(tmp_path):
    config = SweepConfig("s", {"strings": 300}, {"seed": [0, 1]}, out=str(tmp_path / "s"))
    SweepFolder.claim(config).release()
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    for settings in (
        {"strings": 2},
        {"strings": 300, "inspect": {"folds": 500}},
        {"strings": 300, "verify": {"headlines": ["no such feature"]}},
        {"language": "python", "text": str(tmp_path / "missing")},
    ):
        with pytest.raises(ValueError, match="expected"):
            sweep(replace(config, settings=settings), force=True)
        assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_force_works_through_a_link_and_a_dangling_link_is_named(run, tmp_path, capsys):
    (tmp_path / "link").symlink_to(run.path)
    RunFolder.claim(RunConfig(out=str(tmp_path / "link"), force=True)).release()
    assert not run.report.exists()
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    message = refused(["run", "parentheses", "--out", str(tmp_path / "dangling"), *SMALL], capsys)
    assert "a link to" in message
    assert "does not exist" in message
    (tmp_path / "file").write_text("mine")
    assert "which is a file" in refused(["run", "parentheses", "--out", str(tmp_path / "file"), *SMALL], capsys)
    for name, message in (("dangling", "a link to"), ("file", "which is a file"), ("a\\b", "without a backslash")):
        with pytest.raises(ValueError, match=message):
            SweepFolder.claim(SweepConfig("s", grid={"seed": [0]}, out=str(tmp_path / name)))


@pytest.mark.parametrize("extra", [["--force"], ["--resume"]])
def test_two_processes_never_write_into_one_run(run, held, extra, capsys):
    before = sorted(path.name for path in run.path.rglob("*"))
    command = ["run", "--out", str(run.path), *extra]
    message = refused([*command, *SMALL] if extra == ["--force"] else command, capsys)
    assert f"in use by process {held.pid} on elsewhere since 2026-01-01 00:00:00" in message
    assert sorted(path.name for path in run.path.rglob("*")) == before
    held.kill()
    held.wait()
    RunFolder.claim(RunConfig(out=str(run.path), resume=True)).release()  # the lock of a killed process is none


def test_two_sweeps_never_write_into_one_folder(tmp_path):
    config = SweepConfig("s", grid={"seed": [0, 1]}, out=str(tmp_path / "s"))
    folder = SweepFolder.claim(config)
    (folder.path / "notes.txt").write_text("my own")
    folder.release()
    command = [sys.executable, "-c", HOLDER, str(folder.path / ".lock"), "elsewhere"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        for force in (False, True):
            with pytest.raises(ValueError, match="in use by process"):
                SweepFolder.claim(config, force)
        process.kill()
    RunFolder.claim(replace(config.runs[0].config, out=str(folder.path / config.runs[0].name))).release()
    SweepFolder.claim(config, force=True).release()
    assert sorted(path.name for path in folder.path.iterdir()) == ["notes.txt", "sweep.toml"]


def test_two_trainings_never_write_into_one_folder(corpus, tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock"), "elsewhere"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        with pytest.raises(ValueError, match="in use by process"):
            dni.train(corpus, hidden=4, checkpoints=tmp_path, progress=False)
        process.kill()


def test_processes_of_two_containers_with_one_name_and_number_are_different(tmp_path):
    first = FolderLock(tmp_path)
    text = (tmp_path / ".lock").read_text()
    (tmp_path / ".lock").write_text(text.replace(json.loads(text)["key"], "another"))
    with pytest.raises(ValueError, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path)
    first.release()


def test_a_process_may_lock_a_folder_twice(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    second.release()
    assert (tmp_path / ".lock").exists()
    first.release()
    assert not (tmp_path / ".lock").exists()


def test_what_killed_processes_left_is_removed(tmp_path):
    with atomic_write(tmp_path / "a.csv") as part:
        part.write_text("whole")
        name = part.name
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = name.replace(str(os.getpid()), str(dead.pid))
    (tmp_path / gone).write_text("half")
    (tmp_path / name).write_text("still being written")
    other = gone.replace(name.split(".")[3], "h00000000")
    (tmp_path / other).write_text("of another machine")
    (tmp_path / gone.replace("a.csv", "checkpoint")).mkdir()
    (tmp_path / gone.replace("a.csv", "old").replace(".part", ".old")).mkdir()
    (tmp_path / ".profile").write_text("my own")
    old = tmp_path / f".b.csv.{dead.pid}.part"  # as earlier versions called it
    old.write_text("half")
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", name, other, "old", ".profile"}
    os.utime(tmp_path / other, (0, 0))
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", name, "old", ".profile"}


def test_a_write_and_a_stage_remove_what_killed_ones_left(run, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic_write(tmp_path / "answer.csv") as part:
        part.write_text("whole")
        left, other = (part.name.replace(str(os.getpid()), str(dead.pid)) for _ in range(2))
    other = other.replace("answer", "another")
    for folder, name in ((tmp_path, left), (tmp_path, other), (run.path, left)):
        (folder / name).write_text("half")
    with atomic_write(tmp_path / "answer.csv") as part:
        part.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"answer.csv", other, "run"}
    run.hold().release()
    assert not (run.path / left).exists()


def test_tables_of_another_network_are_refused(run):
    table = pd.DataFrame({"neuron": [0], "feature": ["x"], "fold": [0], "score": [1.0]})
    with run.writing("relevance.parquet") as path:
        write_table(table, path, "0123456789abcdef")
    open_runs(run.path)
    effects = pd.DataFrame({"intervention": ["ablate"], "feature": ["x"], "k": [1], "measure": ["loss"]})
    with run.writing("effects.parquet") as path:
        write_table(effects, path, "fedcba9876543210")
    with pytest.raises(ValueError, match=r"got effects\.parquet of another one \(fedcba98, not 01234567\)"):
        open_runs(run.path)
    (run.path / "manifest.json").unlink()  # of an earlier version, which had none
    with pytest.raises(ValueError, match=r"got effects\.parquet of another one \(fedcba98, not 01234567\)"):
        open_runs(run.path)
    write_table(effects, run.effects)  # of a still earlier one, which did not say
    open_runs(run.path)


RESULTS = {
    "config.toml": "seed = 3",
    "summary.json": '{"loss": 0.4}',
    "training.csv": "step,validation_loss\n9,1.0\n",
    "findings.csv": "feature,neurons\nx,[1]\n",
    "samples.json": "{}",
    "step_sizes.csv": "size\n1\n",
}


@pytest.mark.parametrize("name", RESULTS)
def test_files_of_another_run_are_refused(run, name):
    if not (run.path / name).exists():
        with run.writing(name) as path:
            path.write_text(RESULTS[name])
    open_runs(run.path)
    own = (run.path / name).read_bytes()
    (run.path / name).write_bytes(own + b"\n")
    for read in (lambda: open_runs(run.path), lambda: sweep_table([run.path]), lambda: RunFiles.read(run.path)):
        with pytest.raises(ValueError, match=rf"{name}' as the run has written it.*or another run's"):
            read()
    with pytest.raises(ValueError, match="as the run has written it"):
        resume_config(RunConfig(out=str(run.path), resume=True))
    (run.path / name).write_bytes(own)
    open_runs(run.path)


def test_a_result_that_the_run_has_not_written_is_refused(run):
    run.findings.write_text("feature,neurons\nx,[1]\n")
    with pytest.raises(ValueError, match=r"only files of this run, got .*findings\.csv'"):
        open_runs(run.path)
    (run.path / "manifest.json").unlink()
    open_runs(run.path)  # on the word of its owner
    run.update_summary(loss=0.4)
    open_runs(run.path)
    run.findings.write_text("feature,neurons\nx,[2]\n")
    with pytest.raises(ValueError, match=r"findings\.csv' as the run has written it"):
        open_runs(run.path)


def test_a_kill_between_a_file_and_its_entry_leaves_a_readable_run(run):
    def write(text):
        with run.writing("findings.csv") as path:
            if text:
                path.write_text(text)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("")
    open_runs(run.path)
    with pytest.raises(KeyboardInterrupt):
        write("feature,neurons\nx,[1]\n")
    assert open_runs(run.path).query("SELECT feature FROM findings")["feature"].tolist() == ["x"]


def test_removed_results_do_not_come_back(run):
    with run.writing("effects.parquet") as path:
        write_table(pd.DataFrame({"intervention": ["ablate"], "feature": ["x"], "k": [1], "measure": ["loss"]}), path)
    saved = run.effects.read_bytes()
    run.remove_results("verify")
    open_runs(run.path)
    run.effects.write_bytes(saved)
    with pytest.raises(ValueError, match=r"only files of this run, got .*effects\.parquet'"):
        open_runs(run.path)


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"config.toml": 3}}', "\udcff"])
def test_a_broken_manifest_is_named(run, text):
    (run.path / "manifest.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"manifest\.json', got a broken one.*remove it"):
        open_runs(run.path)
    (run.path / "manifest.json").write_text('{"format": 99, "files": {}}')
    with pytest.raises(ValueError, match=r"manifest\.json'.*newer dni_jax: update it"):
        open_runs(run.path)


def test_an_excerpt_of_another_network_is_refused(tmp_path):
    names = Excerpt.__dataclass_fields__
    arrays = {name: np.zeros(1) for name in names}
    np.savez(tmp_path / "excerpt.npz", **arrays, model="a")
    with pytest.raises(ValueError, match="another network"):
        Excerpt.load(tmp_path / "excerpt.npz", "b")


def test_a_training_killed_before_its_inspection_makes_up_for_it(corpus, tmp_path):
    settings = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 10, "steps": 30, "progress": False}
    seen = []

    def kill(step, model):
        if step == 20:
            raise KeyboardInterrupt
        seen.append((step, np.asarray(model.weights.head)))

    def inspect(step, model):
        seen.append((step, np.asarray(model.weights.head)))

    with pytest.raises(KeyboardInterrupt):
        dni.train(corpus, checkpoints=tmp_path / "a", inspect_every=10, on_inspect=kill, **settings)
    dni.train(corpus, checkpoints=tmp_path / "a", inspect_every=10, on_inspect=inspect, **settings)
    assert not (tmp_path / "a" / ".lock").exists()
    resumed, seen = seen, []
    dni.train(
        corpus,
        inspect_every=10,
        on_inspect=lambda *one: seen.append((one[0], np.asarray(one[1].weights.head))),
        **settings,
    )
    assert [step for step, _ in resumed] == [step for step, _ in seen] == [10, 20, 30]
    for (_, one), (_, other) in zip(resumed, seen, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["relevance.parquet", "manifest.json", "summary.json"])
def test_a_pipe_in_place_of_a_file_is_named(run, name):
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    with pytest.raises(ValueError, match=rf"{name}.*pipe or device"):
        open_runs(run.path)


def test_a_pipe_among_arrays_is_named(model, corpus, held_out, tmp_path):
    model.save(tmp_path / "model")
    os.mkfifo(tmp_path / "model" / "weights" / "more")
    with pytest.raises(ValueError, match=r"more', a pipe or device"):
        dni.load(tmp_path / "model")
    (tmp_path / "model" / "model.json").unlink()
    os.mkfifo(tmp_path / "model" / "model.json")
    with pytest.raises(ValueError, match=r"no file model\.json"):
        dni.load(tmp_path / "model")
    dni.record(model, held_out.take(np.arange(2)), store=tmp_path / "states")
    (tmp_path / "states" / "a link").symlink_to(tmp_path)
    dni.models.open_states(tmp_path / "states")
    os.mkfifo(tmp_path / "states" / "hidden" / "0")
    with pytest.raises(ValueError, match=r"0', a pipe or device"):
        dni.models.open_states(tmp_path / "states")
    (tmp_path / "training").mkdir()
    os.mkfifo(tmp_path / "training" / "7")
    with pytest.raises(ValueError, match=r"7', a pipe or device"):
        dni.train(corpus, hidden=8, steps=2, checkpoints=tmp_path / "training", progress=False)


def test_a_pipe_in_place_of_text_is_named(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(ValueError, match="pipe or device"):
        dni.languages.load_text(dni.languages.get("parentheses"), [tmp_path / "a"])
    with pytest.raises(ValueError, match="pipe or device"):
        dni.languages.load_c(tmp_path, typedefs=tmp_path / "a")


def test_a_link_in_place_of_a_lock_leads_nowhere(run, tmp_path):
    (tmp_path / "mine").write_text("my own")
    for make in (lambda path: path.symlink_to(tmp_path / "mine"), os.mkfifo, os.mkdir):
        make(run.path / ".lock")
        with pytest.raises(ValueError, match=r"lock', got a link, folder, pipe or device: remove it"):
            run.hold()
        remove(run.path / ".lock")
    assert (tmp_path / "mine").read_text() == "my own"


def test_a_folder_is_replaced_by_its_like_only(run, model, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("my own")
    before = sorted(tmp_path.rglob("*"))
    message = refused(["query", str(run.path), "SELECT 1", "--format", "csv", "--out", str(mine)], capsys)
    assert "a folder that holds 'notes.txt', which would be lost" in message
    for write in (
        lambda: model.save(mine),
        lambda: dni.models.Population((model,), (None,)).save(mine),
        lambda: write_table(pd.DataFrame({"x": [1]}), mine),
    ):
        with pytest.raises(ValueError, match=r"holds 'notes\.txt', which would be lost: use another path"):
            write()
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a path for a file, got the folder"):
        write_table(pd.DataFrame({"x": [1]}), tmp_path / "empty")
    model.save(tmp_path / "empty")
    model.save(tmp_path / "empty")
    with pytest.raises(ValueError, match="expected a path for a folder, got the file"):
        model.save(mine / "notes.txt")
    (tmp_path / "empty" / "notes.txt").write_text("my own")
    with pytest.raises(ValueError, match="would be lost"):
        model.save(tmp_path / "empty")


def test_a_backslash_in_a_path_is_named(tmp_path, model, capsys):
    folder = tmp_path / "a\\b"
    message = refused(["run", "parentheses", "--out", str(folder), *SMALL], capsys)
    assert "without a backslash" in message
    with pytest.raises(ValueError, match="without a backslash"):
        model.save(folder)
    assert list(tmp_path.iterdir()) == []
    assert check_array_path(tmp_path) == tmp_path.resolve()


def test_a_full_disk_is_recognized_in_any_error(run, capsys, monkeypatch):
    def full(*arguments, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Failed to write file [OS error 28: ENOSPC No space left on device]")

    monkeypatch.setattr(RunFolder, "check_files", full)
    message = refused(["query", str(run.path), "SELECT 1"], capsys)
    assert "the disk is full" in message
    assert "RESOURCE" not in message
