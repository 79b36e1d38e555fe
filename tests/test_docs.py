"""Every Python block of the pages runs, as a reader would run it, and gives what the page shows."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
from matplotlib import pyplot

from tests.support.packages import write_packages
from tests.support.slow import slow_after

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "other_networks.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TOOL = Path(__file__).parents[1] / "scripts" / "update_docs.py"


def sections():
    """The blocks of each section, by its heading."""
    parts = ["first", *re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)]
    return {title: _BLOCK.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def loaded():
    spec = importlib.util.spec_from_file_location("update_docs", _TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SECTIONS = sections()
FIRST, *OTHERS = SECTIONS
TOOL = loaded()


def test_every_section_has_a_block():
    assert len(OTHERS) == 8
    assert all(SECTIONS.values())


STORIES = [title for title in OTHERS if "rnn" in title or "g2p" in title]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with the networks of the stories, whose weights are made up."""
    folder = tmp_path_factory.mktemp("stories")
    write_packages(folder / "packages")
    return folder


# The stories take a report each, and what a Flax module's outputs give is a slower way to what the arrays give.
FAST_FIRST = sorted(OTHERS, key=lambda title: title in STORIES or "Flax" in title)


@pytest.mark.parametrize("title", slow_after(4, FAST_FIRST))
def test_blocks_run_in_order(title, packages, tmp_path, monkeypatch):
    (tmp_path / "packages").symlink_to(packages / "packages")
    monkeypatch.chdir(tmp_path)
    run_section(title)
    assert len(list(tmp_path.glob("*.html"))) == (title in STORIES)


@pytest.mark.slow
@pytest.mark.parametrize("title", STORIES)
def test_stories_hold_for_the_real_networks(title, tmp_path, monkeypatch):
    """DNI_JAX_PACKAGES names the folder that the page's pip command fills."""
    if "DNI_JAX_PACKAGES" not in os.environ:
        pytest.skip("the packages are not there: set DNI_JAX_PACKAGES to their folder")
    (tmp_path / "packages").symlink_to(Path(os.environ["DNI_JAX_PACKAGES"]).resolve())
    monkeypatch.chdir(tmp_path)
    found = run_section(title)
    auc = float(found["relevance"]["auc"].mean("fold").max())
    loss = found["effect"].sel(measure="loss")
    if "textgenrnn" in title:
        assert auc > 0.95
        assert float(loss["top_effect"].sel(k=1)) > 3
    if "g2p" in title:
        assert auc > 0.9
        assert float(loss["p"].sel(k=1)) > 0.05


def test_stories_are_short():
    for title in STORIES:
        (block,) = SECTIONS[title]
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith(("import", "from", "#"))]
        assert len(lines) <= 25


def run_section(title):
    namespace, blocks = {}, (*SECTIONS[FIRST], *SECTIONS[title])
    for extra in re.findall(r"\w+", " ".join(re.findall(r"^# needs (.+)$", "\n".join(blocks), re.MULTILINE))):
        if importlib.util.find_spec(extra) is None:
            pytest.skip(f"{extra} is not installed: pip install 'dni-jax[other-networks]'")
    for block in blocks:
        exec(compile(block, f"{PAGE.name}: {title}", "exec"), namespace)
    assert set(namespace["relevance"].sizes) == {"neuron", "feature", "fold"}
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("name", ["features.md", "networks.md", "chance.md", "analysis.md", "programs.md"])
def test_the_lines_of_a_page_run_in_order(name):
    namespace = {}
    try:
        for block in _BLOCK.findall((DOCS / name).read_text(encoding="utf-8")):
            exec(compile(block, name, "exec"), namespace)
    finally:
        pyplot.close("all")
    assert len(namespace["corpus"]) == 4_000


def test_backpropagation_gives_what_it_shows_to_the_digit():
    parts = TOOL.run(TOOL.parts_of((DOCS / "backpropagation.md").read_text(encoding="utf-8")), "backpropagation.md")
    assert sum(part.output is not None for part in parts) == 20
    for part in parts:
        assert part.found == (part.output or ""), part.code


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOL.TUTORIALS)
def test_a_tutorial_gives_what_it_shows(name):
    try:
        parts = TOOL.run(TOOL.parts_of((DOCS / name).read_text(encoding="utf-8")), name)
    finally:
        pyplot.close("all")
    for part in parts:
        assert TOOL.alike(part.output or "", part.found), (
            f"{name} shows\n{part.output}\nbut {part.code}\ngives\n{part.found}"
        )
        assert (part.drawing is not None) == (part.image is not None), part.code
        assert part.image is None or (DOCS / part.image).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", TOOL.TUTORIALS)
def test_a_tutorial_is_whole(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    parts = TOOL.parts_of(text)
    assert len(parts) == text.count("```python") > 3
    assert sum(part.output is not None for part in parts) == text.count("```text")
    assert sum(part.image is not None for part in parts) == text.count("![")
    assert TOOL.updated(text, [TOOL.Part(p.code, p.output, p.image, p.output or "") for p in parts]) == text


def test_outputs_are_compared_by_words_and_nearly_by_numbers():
    assert TOOL.alike("neuron 3  AUC 0.91", "neuron 12 AUC 0.89")
    assert not TOOL.alike("neuron 3  AUC 0.91", "neuron 3  AUC 0.52")
    assert not TOOL.alike("neuron 3", "feature 3")
    assert not TOOL.alike("", "feature")


def test_a_page_is_brought_up_to_date():
    page = "# A\n\n```python\nprint(1)\n2 * 3\n```\n\n```text\nold\n```\n\nword\n\n```python\nx = 1\n```\n"
    parts = TOOL.run(TOOL.parts_of(page), "page")
    assert TOOL.updated(page, parts) == page.replace("old\n", "1\n6\n")
