"""Regular expressions against `re` string by string."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dni_jax as dni
from dni_jax.text import Corpus, segment_corpus

PATTERNS = ["a+", "ab|ba", "(a)(b)?", "^a", "b$", "a*", "(?=(aba))", "[ab]", "(?<=a)b", "a\nb?"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.text("ab\n", min_size=1, max_size=9), min_size=1, max_size=5),
    st.sampled_from(PATTERNS),
    st.sampled_from(["range", "start", "end", "impulse"]),
    st.booleans(),
    st.integers(1, 4),
)
def test_matches_are_those_of_re(strings, pattern, where, last_group, size):
    compiled = re.compile(pattern, re.MULTILINE)
    group = compiled.groups if last_group else 0
    expected = []
    for string in strings:
        labels = [0] * len(string)
        for match in compiled.finditer(string):
            start, end = match.span(group)
            inside = list(range(start, end))
            ends = {"range": inside, "start": inside[:1], "end": inside[-1:], "impulse": inside[:1] + inside[-1:]}
            for place in ends[where]:
                labels[place] = 1
        expected += labels
    corpus = Corpus.from_strings(strings)
    one = dni.regex_feature("x", pattern, where, group, re.MULTILINE)
    assert one.label(corpus).columns[0].tolist() == expected
    assert one.label(segment_corpus(corpus, size)).columns[0].tolist() == expected


def test_no_match_reaches_across_pieces_that_may_not_follow():
    pieces = replace(segment_corpus(Corpus.from_strings(["aaabbb"]), 2), records={})
    assert dni.regex_feature("x", "ab").label(pieces).columns[0].tolist() == [0, 0, 1, 1, 0, 0]
    assert dni.regex_feature("x", "aa.*b").label(pieces).columns[0].tolist() == [0] * 6
    shuffled = segment_corpus(Corpus.from_strings(["aaabbb"]), 2).take(np.array([0, 2, 1]))
    assert dni.regex_feature("x", "aa.*b").label(shuffled).columns[0].tolist() == [0] * 6


def test_named_groups_and_compiled_patterns():
    one = dni.regex_feature("x", re.compile("(?P<open>[(]).", re.DOTALL), group="open")
    assert one.label(Corpus.from_strings(["((\n1"])).columns[0].tolist() == [1, 0, 0, 0]
    assert one.about == "every character of a match of /(?P<open>[(])./"


def test_bad_input():
    with pytest.raises(ValueError, match=r"'x': expected a regular expression, got '\(': missing \)"):
        dni.regex_feature("x", "(")
    with pytest.raises(ValueError, match=r"'x': expected where= one of \['range', .*got 'middle'"):
        dni.regex_feature("x", "a", "middle")
    with pytest.raises(ValueError, match=r"'x': expected a group of '\(a\)', one of \[0, 1\], got 2"):
        dni.regex_feature("x", "(a)", group=2)
    with pytest.raises(ValueError, match="flags only with a pattern that is a string"):
        dni.regex_feature("x", re.compile("a"), flags=re.I)
