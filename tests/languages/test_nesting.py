import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.languages._nesting import match_brackets, paired_brackets


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text("()[]{}", max_size=8), max_size=4))
def test_match_is_a_stack_in_each_string(strings):
    partner = {")": "(", "]": "[", "}": "{"}
    expected, base = [], 0
    for string in strings:
        opened = []
        for place, character in enumerate(string):
            if character in "([{":
                opened.append((place, character))
            elif opened and opened[-1][1] == partner[character]:
                expected.append((base + opened.pop()[0], base + place))
        base += len(string)
    characters = np.asarray([ord(c) for c in "".join(strings)], np.int64)
    number = np.repeat(np.arange(len(strings)), [len(s) for s in strings])
    first, last = match_brackets(characters, number)
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == sorted(expected)


def test_only_brackets_with_both_halves_count():
    assert paired_brackets(["(", "]", "x)", "{"]) == "()"
    assert paired_brackets(["a"]) == ""
