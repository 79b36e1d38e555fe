"""The site of the pages and the API reference builds without a warning and holds every public name."""

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dni_jax as dni

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def house():
    pytest.importorskip("griffe", reason="pip install 'dni-jax[docs]'")
    spec = importlib.util.spec_from_file_location("griffe_house", ROOT / "scripts" / "griffe_house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_prose_under_returns_gets_the_signatures_type(house):
    before, after = "Do.\n\nReturns\n-------\n", "\nRaises\n------\nValueError\n    Never.\n"
    prose = "Dataset with two parts:\n\n- a\n- b\n"
    shown = house.described(before + prose + after, "xr.Dataset")
    assert shown == before + "xr.Dataset\n    Dataset with two parts:\n\n    - a\n    - b\n\n" + after[1:]
    typed = before + "Scores\n    float64 arrays.\n" + after
    assert house.described(typed, "Any") == typed
    assert house.described(after, "Any") == after


def test_the_reference_knows_what_each_public_name_is(house):
    import griffe

    package = griffe.load(
        "dni_jax", search_paths=[ROOT], extensions=griffe.load_extensions(str(ROOT / "scripts" / "griffe_house.py"))
    )
    kinds = {name: package[name].kind.value for name in dni.__all__}
    expected = {
        name: "module" if inspect.ismodule(thing) else "class" if inspect.isclass(thing) else "function"
        for name, thing in ((name, getattr(dni, name)) for name in dni.__all__)
    }
    assert kinds == expected


def test_links_of_pages_lead_to_files_of_the_site():
    """What lies outside docs/ is on no site; pages name it as code."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    found = re.compile(r"\]\(([\w./-]+\.(?:md|png|svg))(?:#[^)\s]*)?\)")
    links = [(page, link) for page in pages for link in found.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 30
    missing = [
        f"{page.name}: {link}"
        for page, link in links
        if not (page.parent / link).exists() or not (page.parent / link).resolve().is_relative_to(ROOT / "docs")
    ]
    assert not missing


@pytest.mark.slow
def test_the_site_builds_and_holds_every_public_name(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install 'dni-jax[docs]'")
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html")]
    there = {name for page in pages for name in re.findall(r'id="dni_jax\.([A-Za-z_.]+)"', page)}
    assert set(dni.__all__) <= there
    assert {f"plot.{name}" for name in ("relevance", "text", "effects", "tree")} <= there
    loaded = [
        link for page in pages for link in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)', page)
    ]
    assert loaded == []  # nothing comes from elsewhere


def test_every_page_has_its_place_in_the_site():
    nav = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert nav == pages
