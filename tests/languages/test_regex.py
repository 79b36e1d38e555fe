import re
from itertools import product

import pytest

from dni_jax.languages import Language


def strings_of(pattern, n=300):
    return Language.from_lark(f'start: TOKEN "!"\nTOKEN: /{pattern}/').sample(n, seed=0).strings


@pytest.mark.parametrize(
    "pattern",
    [
        r"[a-c]+x",
        r"(ab|c){2,3}",
        r"a?b*c",
        r"[^a-z]{2}",
        r"\d\w\s",
        r"(?:a|(b|[c-e]))f",
        r"[\u4e00-\u9fff]{2}",
        r"[^\n]x",
        r".{3}",
        r"\\\.\/",
    ],
)
def test_what_is_drawn_matches(pattern):
    for string in strings_of(pattern):
        assert re.fullmatch(pattern, string[:-1]), string
        assert string[-1] == "!"


def test_every_string_of_a_finite_pattern_is_drawn():
    assert {s[:-1] for s in strings_of(r"[ab]?(c|dd){1,2}", 600)} == {
        a + "".join(b) for a in ("", "a", "b") for n in (1, 2) for b in product(["c", "dd"], repeat=n)
    }


@pytest.mark.parametrize("pattern", [r"a(?=b)c", r"(?<!x)a", r"a$", r"[^\x00-\x7f]"])
def test_what_cannot_be_drawn_is_refused_but_parses(pattern):
    language = Language.from_lark(f'start: TOKEN | "z"\nTOKEN: /{pattern}/')
    assert language.parse("z").symbols[0] == "start"
    with pytest.raises(ValueError, match="expected terminals that can be sampled, got TOKEN"):
        language.sample(1)
    assert language.characters is None


def test_a_class_of_letters_in_either_case():
    assert {s[0] for s in strings_of(r"(?i:[^b-z0-9 -\/:-@\[-`{-~])")} == {"a", "A"}


def test_case_insensitive_words_are_drawn_in_both_cases():
    language = Language.from_lark('start: "if"i NAME\nNAME: /x[a-b]/i')
    corpus = language.sample(400, seed=0)
    drawn = set(corpus.strings)
    assert drawn == {"".join(s) for s in product("iI", "fF", "xX", "abAB")}
    language.corpus(corpus.strings)
