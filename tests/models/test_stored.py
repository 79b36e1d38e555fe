"""States on disk: equal to those in memory, continued after a cut to the same bits, never read as complete before."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models import open_states, stream
from dni_jax.models._manifest import NAME, read_manifest
from dni_jax.text import Corpus, segment_corpus

CHUNK = 500


class Cut(Exception):  # noqa: N818
    """Stands for a kill."""


@pytest.fixture(scope="module")
def stored(model, held_out, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "states"
    return dni.record(model, held_out, ("gates",), store=path, chunk=CHUNK)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def cut_after(monkeypatch, n_chunks):
    """Let the network fail when it has read some chunks."""
    from dni_jax.models._streamed import TrainedReader

    read, count = TrainedReader.read, itertools.count()

    def failing(self, strings):
        if next(count) == n_chunks:
            raise Cut
        return read(self, strings)

    monkeypatch.setattr(TrainedReader, "read", failing)


def test_a_store_is_a_reference_for_overrides(stored, states):
    for part in ("h", "f"):
        drives = [dni.patch([1, 3], one, part=part).edits[0].drive for one in (stored, states)]
        np.testing.assert_allclose(*drives, atol=1e-6)
    with pytest.raises(ValueError, match=r"what=\('cell',\) for the part 'c'"):
        dni.patch([1], stored, part="c")


def test_a_stream_is_a_reference_for_overrides(model, held_out, states):
    (edit,) = dni.ablate([2], "mean", reference=stream(model, held_out, dtype="float32")).edits
    np.testing.assert_allclose(edit.low, states.hidden[:, [2]].mean(0), atol=1e-6)


def test_what_is_stored_is_what_is_recorded(stored, states, held_out):
    np.testing.assert_allclose(stored.hidden[...], states.hidden, atol=1e-6)
    np.testing.assert_allclose(stored.gates[...], states.gates, atol=1e-6)
    np.testing.assert_array_equal(stored.groups, states.groups)
    np.testing.assert_array_equal(stored.offsets, held_out.offsets)
    assert stored.gate_names == states.gate_names
    assert (stored.n_positions, stored.n_neurons) == states.hidden.shape
    low, high = stored.ranges
    np.testing.assert_array_equal(low, stored.hidden[...].min(0))
    np.testing.assert_array_equal(high, stored.hidden[...].max(0))
    loaded = stored.load()
    np.testing.assert_array_equal(loaded.hidden, stored.hidden[...])
    assert loaded.cell is None
    assert "float32" in repr(stored)


def test_parts_are_those_of_the_array(stored):
    whole = stored.hidden[...]
    rows = np.array([3, -1, 7])
    for key in (5, -1, slice(3, 9), slice(None, None, 50), slice(-9, None), (slice(2, 5), 3), (..., slice(1, 4)), rows):
        np.testing.assert_array_equal(stored.hidden[key], whole[key])
    pick = np.arange(len(whole)) % 7 == 0
    np.testing.assert_array_equal(stored.hidden[pick, 2:5], whole[pick, 2:5])
    np.testing.assert_array_equal(stored.gates[4:6, 1], stored.gates[...][4:6, 1])
    np.testing.assert_array_equal(np.asarray(stored.hidden), whole)
    assert stored.hidden[4:2].shape == (0, whole.shape[1])
    for bad in (len(whole), slice(5, 2, -1), [len(whole)], (0, 0, 0)):
        with pytest.raises(IndexError):
            stored.hidden[bad]


def test_chunks_come_in_order_and_whole_strings(stored):
    whole, place = stored.hidden[...], 0
    for positions, hidden in stored.chunks():
        assert positions.start == place
        assert {positions.start, positions.stop} <= set(stored.offsets.tolist())
        np.testing.assert_array_equal(hidden, whole[positions])
        place = positions.stop
    assert place == len(whole)
    some = [(1, 3), (10, 12)]
    expected = np.concatenate([whole[stored.offsets[a] : stored.offsets[b]] for a, b in some])
    np.testing.assert_array_equal(stored.read(some, slice(2, 6)), expected[:, 2:6])


def test_too_much_for_memory_is_refused(stored):
    with pytest.raises(ValueError, match=r"read parts with .hidden\[...\]"):
        stored.load(max_bytes=1000)


def test_zarr_reads_it(stored):
    zarr = pytest.importorskip("zarr")
    array = zarr.open_array(str(stored.path / "hidden"), mode="r")
    np.testing.assert_array_equal(array[:40], stored.hidden[:40])


@pytest.mark.parametrize("n_chunks", [0, 1, 3])
def test_a_cut_recording_is_refused_and_continued(model, held_out, stored, tmp_path, monkeypatch, n_chunks):
    path = tmp_path / "states"
    with monkeypatch.context() as patched:
        cut_after(patched, n_chunks)
        with pytest.raises(Cut):
            dni.record(model, held_out, ("gates",), store=path, chunk=CHUNK)
    done = read_manifest(path).done
    assert done in held_out.offsets
    assert done <= n_chunks * CHUNK
    message = f"interrupted after {done:,} of {held_out.n_positions:,} positions: continue with"
    with pytest.raises(ValueError, match=message):
        open_states(path)
    dni.record(model, held_out, ("gates",), store=path, chunk=CHUNK)
    assert contents(path) == contents(stored.path)


def test_a_complete_store_is_not_recorded_again(model, held_out, stored, monkeypatch):
    cut_after(monkeypatch, 0)
    again = dni.record(model, held_out, ("gates",), store=stored.path, chunk=CHUNK)
    np.testing.assert_array_equal(again.hidden[:5], stored.hidden[:5])


def test_another_recording_is_refused(model, corpus, held_out, stored):
    before = contents(stored.path)
    settings = {"what": ("gates",), "store": stored.path, "chunk": CHUNK}
    weights = model.weights
    changed = dni.models.TrainedModel.from_weights(replace(weights, head_b=weights.head_b + 1), model.vocabulary)
    for message, one, text, more in (
        ("another network", changed, held_out, {}),
        ("another corpus", model, corpus.validation, {}),
        ("another corpus", model, replace(held_out, groups=held_out.groups + 1), {}),
        ("another intervention", model, held_out, {"intervention": dni.ablate([0])}),
        ("dtype float32 instead of the requested float16", model, held_out, {"dtype": "float16"}),
        ("chunk 500 instead of the requested 400", model, held_out, {"chunk": 400}),
        ("what hidden, gates instead of the requested hidden", model, held_out, {"what": ("hidden",)}),
    ):
        with pytest.raises(ValueError, match=message):
            dni.record(one, text, **(settings | more))
    assert contents(stored.path) == before
    stored.check_corpus(held_out)
    with pytest.raises(ValueError, match="got another"):
        stored.check_corpus(corpus.validation)


def test_broken_stores_are_refused(stored, tmp_path):
    def broken(name):
        return shutil.copytree(stored.path, tmp_path / name)

    missing = broken("missing")
    (missing / "hidden" / "c" / "0" / "0").unlink()
    with pytest.raises(ValueError, match="not copied whole"):
        open_states(missing)
    flipped = broken("flipped")
    file = flipped / "hidden" / "c" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="broken one"):
        open_states(flipped).hidden[:4]
    with pytest.raises(ValueError, match="broken one"):
        open_states(flipped).read([(0, 1), (2, 3)])
    newer = broken("newer")
    about = json.loads((newer / NAME).read_text())
    (newer / NAME).write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(ValueError, match="install a newer"):
        open_states(newer)
    with pytest.raises(ValueError, match="expected a store of states"):
        open_states(tmp_path / "nothing")
    (newer / NAME).write_text("{")
    with pytest.raises(ValueError, match="expected a store of states"):
        open_states(newer)


def test_a_folder_with_something_else_is_left_alone(model, held_out, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected a store of states"):
        dni.record(model, held_out, store=tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    assert dni.record(model, held_out, store=tmp_path / "empty").n_positions == held_out.n_positions


def test_bad_settings_are_named(model, held_out, tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        dni.record(model, held_out, store=tmp_path / "x", chunk=0)
    with pytest.raises(ValueError, match="only with a store"):
        dni.record(model, held_out, chunk=5)
    population = dni.models.Population((model, model), (None, None))
    with pytest.raises(ValueError, match="one network"):
        dni.record(population, held_out, store=tmp_path / "x")
    with pytest.raises(ValueError, match="one network"):
        stream(population, held_out)


def test_an_intervention_follows_its_positions(model, held_out, labels, tmp_path):
    """What acts at some characters, and states taken from elsewhere, are cut along with the strings."""
    patch = dni.patch([1, 2], dni.record(model, held_out, intervention=dni.ablate([7])))
    digit = labels["digit"] == 1
    both = patch.then(dni.clamp([3], 0.5, when=digit))
    expected = dni.record(model, held_out, intervention=both).hidden
    found = dni.record(model, held_out, store=tmp_path / "s", chunk=CHUNK, intervention=both)
    np.testing.assert_allclose(found.hidden[...], expected, atol=1e-6)
    streamed = stream(model, held_out, intervention=both, dtype="float32", chunk=CHUNK)
    np.testing.assert_array_equal(streamed.read([(3, 5), (9, 12)])[:, 3] == 0.5, digit_of(held_out, digit))


def digit_of(corpus, digit):
    return np.concatenate([digit[corpus.offsets[a] : corpus.offsets[b]] for a, b in [(3, 5), (9, 12)]])


def test_long_strings_and_pieces(model, tmp_path):
    """A string longer than a chunk is one by itself; a piece starts from nothing."""
    text = "(1(2(3(44)3)2)1)"
    corpus = Corpus.from_strings([text * 20, "(1)", text], vocabulary=model.vocabulary)
    for each in (corpus, segment_corpus(corpus, 9)):
        whole = dni.record(model, each).hidden
        found = dni.record(model, each, store=tmp_path / f"{len(each)}", chunk=20)
        np.testing.assert_allclose(found.hidden[...], whole, atol=1e-6)


def test_a_stream_gives_the_same_chunks(model, held_out, states):
    streamed = stream(model, held_out, dtype="float32", chunk=CHUNK)
    for positions, hidden in streamed.chunks():
        np.testing.assert_allclose(hidden, states.hidden[positions], atol=1e-6)
    assert "24 neurons" in repr(streamed)


SCRIPT = """
import sys, time
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
import dni_jax as dni
from dni_jax.models._streamed import TrainedReader
path, pause = sys.argv[1], float(sys.argv[2])
language = dni.languages.get("parentheses")
corpus = language.sample(3000, seed=0)
model = dni.models.TrainedModel.init(corpus.vocabulary, dni.models.TrainConfig(hidden=64, seed=1))
read = TrainedReader.read
def slow(self, strings):
    time.sleep(pause)
    return read(self, strings)
TrainedReader.read = slow
dni.record(model, corpus, store=path, chunk=1000, dtype="float16")
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_another_continues(tmp_path):
    """Killed for good (SIGKILL) three times at different moments, the store ends up the same to the bit."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def start(path, pause):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), str(pause)], env=env)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, 0).wait() == 0
    seen = 0
    for delay in (0.0, 0.11, 0.23):
        process = start(killed, 0.05)
        while not killed.exists() or read_manifest(killed).done <= seen:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        seen = read_manifest(killed).done
        assert not read_manifest(killed).complete
        with pytest.raises(ValueError, match="interrupted"):
            open_states(killed)
    assert start(killed, 0).wait() == 0
    expected, found = contents(whole), contents(killed)
    assert {name: found[name] for name in expected} == expected
    np.testing.assert_array_equal(open_states(killed).hidden[...], open_states(whole).hidden[...])
