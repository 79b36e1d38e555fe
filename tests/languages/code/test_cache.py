"""Parsed texts come back from the cache as they were, and broken entries do no harm; more processes change nothing."""

import os

import numpy as np
import pytest

from dni_jax.languages import Language, cache_folder, clear_cache, get, load_text
from dni_jax.languages._language import Language as LarkLanguage
from dni_jax.languages.code._cache import ParseCache
from dni_jax.languages.code._parallel import parse_texts
from tests.support.tree_checks import assert_same_trees

WORDS = Language.from_lark('start: (word ";")+\nword: WORD | NUMBER\nWORD: /[a-z]+/\nNUMBER: /[0-9]+/', name="words")
TEXTS = ["one;two;3;", "x;" * 50, "does not parse", "1;"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DNI_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def parses(monkeypatch):
    """The texts that are really parsed."""
    seen = []
    parse = LarkLanguage.try_parse
    monkeypatch.setattr(LarkLanguage, "try_parse", lambda self, text: seen.append(text) or parse(self, text))
    return seen


def same(a, b):
    assert_same_trees(a.trees, b.trees)
    assert a.trees.kinds == b.trees.kinds
    assert dict(a.counts) == dict(b.counts)
    assert a.error == b.error
    np.testing.assert_array_equal(a.unparsed, b.unparsed)


@pytest.mark.parametrize("language", [WORDS, get("c")])
def test_what_was_parsed_comes_back_as_it_was(language, parses):
    texts = TEXTS if language is WORDS else ["int f(void) { return 1; } /* é */", "int g( {", "#if 0\nx\n#endif\n"]
    first = list(parse_texts(language, texts))
    parses.clear()
    for a, b in zip(first, parse_texts(language, texts), strict=True):
        same(a, b)
    assert parses == []


def test_the_key_holds_the_text_and_the_grammar(parses):
    list(parse_texts(WORDS, TEXTS[:2]))
    other = Language.from_lark(WORDS.grammar.replace('";"', '";"+'), name="words")
    start = Language.from_lark(WORDS.grammar, name="renamed")
    for language, texts, expected in [
        (WORDS, ["one;two;3;", "new;"], ["new;"]),
        (other, ["one;two;3;"], ["one;two;3;"]),
        (start, ["one;two;3;"], []),
    ]:
        parses.clear()
        list(parse_texts(language, texts))
        assert parses == expected


def test_options_that_cannot_be_written_down_are_not_cached(folder):
    words = Language.from_lark(WORDS.grammar, name="words", options={"lexer_callbacks": {"WORD": [].append}})
    assert words.fingerprint is None
    assert len(list(parse_texts(words, TEXTS))) == 4
    assert not folder.exists()
    assert get("python").fingerprint is not None
    assert " at 0x" not in get("python").fingerprint


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 broken", b"not a zip file at all"])
def test_a_broken_entry_is_parsed_again(folder, parses, damage):
    (first,) = parse_texts(WORDS, TEXTS[:1])
    (entry,) = folder.glob("parsed/*/*.npz")
    whole = entry.read_bytes()
    for content in (damage, whole[: len(whole) // 2], whole[:-30]):
        entry.write_bytes(content)
        parses.clear()
        (again,) = parse_texts(WORDS, TEXTS[:1])
        same(first, again)
        assert parses == TEXTS[:1]
        assert entry.read_bytes()[:2] == b"PK"


def test_an_entry_with_other_contents_is_parsed_again(folder, parses):
    (first,) = parse_texts(WORDS, TEXTS[:1])
    (entry,) = folder.glob("parsed/*/*.npz")
    stored = dict(np.load(entry))
    for name, column in [("rule", stored["rule"] + 99), ("end", stored["end"] * 9), ("start", stored["start"][1:])]:
        np.savez(entry, **{**stored, name: column})
        (again,) = parse_texts(WORDS, TEXTS[:1])
        same(first, again)
    assert len(parses) == 4


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DNI_JAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be stored .*set DNI_JAX_CACHE") as caught:
        results = list(parse_texts(WORDS, TEXTS))
    assert len(caught) == 1
    assert [bool(result.error) for result in results] == [False, False, True, False]


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("DNI_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "dni_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "dni_jax")


def test_the_cache_is_cleared_and_bounded(folder):
    list(parse_texts(WORDS, TEXTS))
    entries = sorted(folder.glob("parsed/*/*.npz"))
    assert len(entries) == 4
    for age, entry in enumerate(entries):
        os.utime(entry, (age, age))
    total = sum(entry.stat().st_size for entry in entries)
    ParseCache("x", WORDS.kinds).prune(total - 1)
    left = sorted(folder.glob("parsed/*/*.npz"))
    assert left == entries[len(entries) - len(left) :]
    assert sum(entry.stat().st_size for entry in left) <= 0.8 * total
    assert clear_cache() == len(left)
    assert list(folder.glob("parsed/*")) == []
    assert clear_cache() == 0


def test_load_text_uses_the_cache(tmp_path, parses):
    (tmp_path / "a.txt").write_text("one;" * 900)
    a = load_text(WORDS, [tmp_path / "a.txt"])
    parses.clear()
    b = load_text(WORDS, [tmp_path / "a.txt"])
    assert parses == []
    assert_same_trees(a.trees, b.trees)


def test_the_number_of_processes_changes_nothing(monkeypatch, tmp_path):
    texts = [f"int f{n}(int x)\n{{\n\treturn x + {n};\n}}\n" * 20 for n in range(6)] + ["int g( {"]
    one = list(parse_texts(get("c"), texts, jobs=1))
    monkeypatch.setenv("DNI_JAX_CACHE", str(tmp_path / "other"))
    two = list(parse_texts(get("c"), texts, jobs=2))
    words = list(parse_texts(WORDS, [*TEXTS, *TEXTS], jobs=2))
    for a, b in zip(one, two, strict=True):
        same(a, b)
    for a, text in zip(words, [*TEXTS, *TEXTS], strict=True):
        same(a, WORDS.try_parse(text))
