"""The proof that p-values hold, in small; scripts/bench_discovery.py is the large one."""

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "scripts" / "bench_discovery.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_discovery", _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(rows):
    for row in rows:
        assert row["holds"] == row["valid"] or (row["holds"] and row["null"] == "shift"), row


@pytest.mark.slow
def test_false_positives_on_texts_without_a_finding(bench):
    check(bench.false_positives("long texts", draws=40))


def test_planted_neurons_are_found_and_no_others(bench):
    rows = {(row["null"], row["by"]): row for row in bench.recovery([2.0], draws=1, n_null=499)}
    assert rows["fresh", "p_global"]["recall"] == 1
    assert rows["fresh", "p_global"]["precision"] == 1
    assert rows["iid", "q"]["precision"] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["strings", "long texts", "grammar"])
def test_false_positives_at_large(bench, kind):
    check(bench.false_positives(kind, draws=400, seed=1))
