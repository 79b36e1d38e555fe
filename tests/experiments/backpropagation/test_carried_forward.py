"""Where the experiment asks: found in strings by hand."""

import numpy as np
import pytest

import dni_jax as dni
from experiments.backpropagation.carried_forward import p_values, places


@pytest.mark.parametrize(
    ("case", "strings", "expected"),
    [
        ("closing", ["(((()22222233)))", "(11111111(((4444444))))"], ["(((()222222", "(((()2222223", "(((()22222233"]),
        ("closing", ["(((())111111)1)", "(((()333333", "33)))"], ["(((())111111", "(((()333333"]),
        ("depth", ["(1(((4)))1)", "(((())))", "((())", ")))"], ["(1(((4)))", "(((()))"]),
    ],
)
def test_places(case, strings, expected):
    text = dni.Corpus.from_strings(strings)
    found = np.flatnonzero(places(text, case))
    assert [strings[text.string_ids[at]][: at - text.offsets[text.string_ids[at]] + 1] for at in found] == expected


def test_p_values_count_the_first_set_in():
    values = np.array([[3.0, 0.0], [1.0, 1.0], [3.0, 2.0], [4.0, 3.0]])
    assert p_values(values).tolist() == [0.75, 1.0]
