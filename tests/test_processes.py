"""Shards of several processes make up the whole; a single process has everything."""

import numpy as np
import pytest

from dni_jax import processes
from dni_jax.app.config import Hosts, RunConfig
from dni_jax.files import atomic_write


def several(monkeypatch, number, count):
    monkeypatch.setattr(processes, "count", lambda: count)
    monkeypatch.setattr(processes, "index", lambda: number)


@pytest.mark.parametrize(("n", "count"), [(1, 1), (1, 8), (5, 2), (5, 8), (8, 3), (16, 4), (17, 16)])
def test_shards_have_one_size_and_cover_all(n, count, monkeypatch):
    parts = []
    for number in range(count):
        several(monkeypatch, number, count)
        parts.append(np.arange(n)[processes.shard(n)])
    assert {len(part) for part in parts} == {-(-n // count)}
    assert sorted(set(np.concatenate(parts).tolist())) == list(range(n))


@pytest.mark.parametrize(("n", "count", "axis"), [(1, 8, 0), (5, 2, 0), (5, 8, 1), (8, 3, 2)])
def test_gathered_shards_are_the_whole(n, count, axis, monkeypatch):
    shape = [3, 2, 4]
    shape[axis] = n
    whole = np.random.default_rng(0).normal(size=shape)
    parts = []
    for number in range(count):
        several(monkeypatch, number, count)
        parts.append(np.take(whole, range(n)[processes.shard(n)], axis))
    monkeypatch.setattr(processes, "gather_list", lambda own: [np.moveaxis(part, axis, 0) for part in parts])
    result = processes.all_gather(parts[-1], n, axis)
    np.testing.assert_array_equal(result, whole)
    assert result.dtype == whole.dtype


def test_one_process_is_the_first_and_has_everything():
    assert (processes.count(), processes.index(), processes.is_first()) == (1, 0, True)
    own = np.arange(3)
    assert processes.all_gather(own, 3) is own
    assert processes.gather_list(own)[0] is own
    with pytest.raises(ValueError, match="wrong here"):
        processes.broadcast(lambda: (_ for _ in ()).throw(ValueError("wrong here")))


def odd_error():
    """An exception that pickle cannot hold."""

    class OddError(ValueError):
        pass

    return OddError("1 and 2")


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [(ValueError("plain"), ValueError, "plain"), (odd_error(), RuntimeError, "OddError: 1 and 2")],
)
def test_an_error_in_the_first_process_is_raised_in_all(made, kind, message, monkeypatch):
    def wrong():
        raise made

    several(monkeypatch, 0, 2)
    monkeypatch.setattr(processes, "gather_list", lambda own: [own, own])
    with pytest.raises(kind, match=message):
        processes.broadcast(wrong)
    assert processes.broadcast(lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]


def test_only_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "index", lambda: 1)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    with atomic_write(tmp_path / "result.txt") as aside:
        aside.write_text("thrown away")
    assert not aside.exists()
    assert list(tmp_path.iterdir()) == []
    with atomic_write(tmp_path / "kept.txt", any_process=True) as aside:
        aside.write_text("kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (Hosts(True, "10.0.0.1:12345"), "--coordinator, --processes and --process-id together"),
        (Hosts(False, "10.0.0.1:12345", 2, 0), "along with --distributed"),
        (Hosts(True, "10.0.0.1", 2, 0), "HOST:PORT"),
        (Hosts(True, "10.0.0.1:12345", 2, 2), "got 2 of 2 processes"),
    ],
)
def test_invalid_hosts_are_named(hosts, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(hosts=hosts).check()
