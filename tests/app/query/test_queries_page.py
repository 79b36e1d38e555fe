"""Every question of the page is asked, in Python and on the command line, of runs whose answers are known."""

import re
import shlex
from pathlib import Path

import pytest

from dni_jax.app.query import open_runs
from tests.support.made_runs import LARGE, write_three

PAGE = (Path(__file__).parents[3] / "docs" / "queries.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections():
    """The Python blocks of each section, by its heading, and all commands."""
    parts = ["first", *re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)]
    found = {title: BLOCK.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}
    python = {title: [text for kind, text in blocks if kind == "python"] for title, blocks in found.items()}
    console = [text for blocks in found.values() for kind, text in blocks if kind == "console"]
    commands = [one for text in console for one in text.removeprefix("$ ").split("\n$ ")]
    return {title: blocks for title, blocks in python.items() if blocks}, commands


PYTHON, COMMANDS = sections()
# The rows that the constructed runs must give, as far as they can be read off tests/made_runs.py.
EXPECTED = {
    "first": [("large", 1), ("small", 0)],
    "The best neuron for each feature and run": [
        ("large", "digit", 2, "binary"), ("large", "space", 1, "binary"), ("large", "depth=1", 1, "binary"),
        ("large", "depth", 1, "continuous"), ("large", "rare", 2, "binary"), ("small", "space", 0, "binary"),
        ("small", "digit", 0, "binary"), ("small", "depth=1", 0, "binary"), ("small", "rare", 1, "binary"),
        ("small", "depth", 1, "continuous")],
    "Neurons that know a feature, by layer": [("large", 1, 2), ("small", 0, 0), ("large", 0, 1)],
    "Neurons that know several features": [
        ("large", 1, ["space", "depth=1", "digit"]), ("small", 0, ["space", "digit", "depth=1"])],
    "Features that no neuron knows": [("large", "rare", 4), ("small", "rare", 4)],
    "Encoded, but not used": [
        ("large", "depth=1", 1), ("large", "depth=1", 2), ("small", "depth=1", 1), ("small", "depth=1", 2)],
    "Which run knows depth best": [("large", 1, 1), ("small", 0, 1)],
    "An echo of the input": [("large", "space", 1), ("small", "space", 0)],
    "While the network learns": [
        ("cut", 100), ("cut", 200), ("large", 100), ("large", 200), ("small", 100), ("small", 200)],
    "Variation over seeds": [
        (run, feature) for run in ("large", "small") for feature in ("digit", "depth=1", "space", "rare")],
    "Clamped compared with ablated": [
        (run, feature, 2, 4.0, 1.0) for run in ("large", "small") for feature in ("digit", "depth", "space", "rare")],
    "From an answer back to the arrays": [(2,), (1,)],
}  # fmt: skip
COLUMNS = {
    "first": ["run", "seed"],
    "The best neuron for each feature and run": ["run", "feature", "neuron", "kind"],
    "Neurons that know a feature, by layer": ["run", "layer", "neuron"],
    "Neurons that know several features": ["run", "neuron", "which"],
    "Features that no neuron knows": ["run", "feature", "folds"],
    "Encoded, but not used": ["run", "feature", "k"],
    "Which run knows depth best": ["run", "seed", "neuron"],
    "An echo of the input": ["run", "feature", "neuron"],
    "While the network learns": ["run", "step"],
    "Variation over seeds": ["run", "feature"],
    "Clamped compared with ablated": ["run", "feature", "k", "clamped", "silenced"],
    "From an answer back to the arrays": ["neuron"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    write_three(folder / "runs")
    (folder / "runs" / "notes").mkdir()
    return folder


def test_every_section_is_known():
    assert list(PYTHON) == list(EXPECTED)
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("title", PYTHON)
def test_blocks_give_what_was_built_in(title, root, monkeypatch):
    monkeypatch.chdir(root)
    namespace = {}
    for block in dict.fromkeys((*PYTHON["first"], *PYTHON[title])):
        exec(compile(block, f"queries.md: {title}", "exec"), namespace)
    answer = namespace["answer"]
    if title == "Clamped compared with ablated":
        assert answer["clamped"].tolist()[:8] == [4.0] * 8
        answer = answer[(answer["k"] == 2) & (answer["feature"] != "depth=1")]
    got = list(answer[COLUMNS[title]].itertuples(index=False, name=None))
    if title in ("Variation over seeds", "Clamped compared with ablated"):  # whose rows have no order
        assert sorted(got, key=repr) == sorted(EXPECTED[title], key=repr)
    else:
        assert got == EXPECTED[title]


def test_scores_over_seeds_are_those_built_in(root):
    text = next(block for block in PYTHON["Variation over seeds"])
    first = re.search(r'"""(.*?)"""', text, re.DOTALL)[1]
    answer = open_runs(root / "runs" / "*").query(first).set_index("feature")
    assert answer.loc["digit", "mean"] == pytest.approx((0.95 + max(row[0] for row in LARGE)) / 2)
    assert answer.loc["digit", "sd"] == pytest.approx((0.99 - 0.95) / 2**0.5, abs=1e-6)
    assert answer.loc["digit", "runs"] == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_ask_what_can_be_answered(command, root, monkeypatch):
    monkeypatch.chdir(root)
    dni, query, pattern, sql, *_ = shlex.split(command)
    assert (dni, query) == ("dni", "query")
    assert len(open_runs(pattern).query(sql)) >= 2
