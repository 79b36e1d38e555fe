"""Measurements of produced text against counting by hand."""

import math

import pytest

import dni_jax as dni
from dni_jax.verification import measure_texts


def test_brackets_depths_and_strings():
    found = measure_texts(["a(b[c])d\n)(\n((x"], "\n")
    assert (found.characters, found.strings) == (13, 2)
    assert found.matched == pytest.approx(4 / 6)  # ( [ ] ) have partners, ) ( have none, (( are cut off
    assert found.depths == pytest.approx([2 / 13 + 1 / 13, 5 / 13, 5 / 13])
    assert math.isnan(found.parses)


def test_wrong_kinds_do_not_match():
    assert measure_texts(["(]"]).matched == 0.0
    assert math.isnan(measure_texts(["abc"]).matched)


def test_what_parses(parentheses, model):
    good = "\n".join(parentheses.sample(20, seed=3).strings)
    assert measure_texts([good + "\n"], "\n", parentheses).parses == 1.0
    assert measure_texts(["))\n" + good + "\n"], "\n", parentheses).parses == pytest.approx(20 / 21)
    written = dni.generate(model, n=8, length=200, seed=0)
    found = dni.verification.measure_texts(written, model.vocabulary.boundary_text, parentheses)
    assert found.strings == sum(text.count("\n") for text in written)
    assert 0 < found.parses < 1
    assert sum(found.depths) == pytest.approx(1)


def test_nothing_to_measure_is_named():
    with pytest.raises(ValueError, match="at least one character"):
        measure_texts(["\n\n"], "\n")
