"""Every Python block of the recipes runs, as a reader would run it: the page's first section, then one more."""

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "other_networks.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections():
    """The blocks of each section, by its heading."""
    parts = ["first", *re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)]
    return {title: _BLOCK.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


SECTIONS = sections()
FIRST, *OTHERS = SECTIONS


def test_every_section_has_a_block():
    assert len(OTHERS) == 5
    assert all(SECTIONS.values())


@pytest.mark.parametrize("title", OTHERS)
def test_blocks_run_in_order(title):
    namespace = {}
    for block in (*SECTIONS[FIRST], *SECTIONS[title]):
        needs = re.match(r"# needs (.+)\n", block)
        for extra in needs[1].split(", ") if needs else ():
            if importlib.util.find_spec(extra) is None:
                pytest.skip(f"{extra} is not installed: pip install 'dni-jax[other-networks]'")
        exec(compile(block, f"{PAGE.name}: {title}", "exec"), namespace)
    assert set(namespace["relevance"].sizes) == {"neuron", "feature", "fold"}
