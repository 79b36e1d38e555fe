import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dni_jax.languages import Language, get
from dni_jax.text import Corpus, segment_corpus

QUICK = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
# Nodes without characters at the beginnings, in the middle and at the ends of strings, one inside the other.
EMPTIES = Language.from_lark('start: none "(" start? none ")" "\\n"? none | none\nnone: inner_none\ninner_none: "x" |')


def check_rows(corpus):
    """Pre-order rows whose parents stand in the same piece, one level up, around their child."""
    trees = corpus.trees
    assert len(trees) == len(corpus)
    for piece in range(len(corpus)):
        first, last = trees.offsets[piece : piece + 2]
        length = corpus.offsets[piece + 1] - corpus.offsets[piece]
        for row in range(first, last):
            start, end, parent = trees.start[row], trees.end[row], trees.parent[row]
            assert start < length if start < end else 0 <= start <= length
            assert end > 0 or start == end
            if parent >= 0:
                above = first + parent
                assert first <= above < row
                assert trees.depth[above] == trees.depth[row] - 1
                assert trees.start[above] <= start
                assert end <= trees.end[above]
            else:
                assert trees.depth[row] == 0


@QUICK
@given(st.lists(st.text("ab\n", min_size=1, max_size=40), min_size=1, max_size=5), st.integers(1, 15))
def test_segments_rejoin(strings, size):
    whole = Corpus.from_strings(strings)
    segments = segment_corpus(whole, size)
    lengths = np.diff(segments.offsets)
    assert lengths.max() <= size
    assert lengths.min() >= 1
    assert "".join(segments.strings) == "".join(strings)
    np.testing.assert_array_equal(segments.begins, np.isin(segments.offsets[:-1], whole.offsets))
    np.testing.assert_array_equal(segments.ends, np.isin(segments.offsets[1:], whole.offsets))
    assert set(whole.offsets) <= set(segments.offsets)
    np.testing.assert_array_equal(segments.position_groups, whole.position_groups)
    np.testing.assert_array_equal(segments.split[segments.string_ids], whole.split[whole.string_ids])
    assert segments.trees is None


@QUICK
@given(st.lists(st.text("ab\n", min_size=1, max_size=40), min_size=1, max_size=5), st.integers(1, 15))
def test_cuts_follow_a_line_break_if_one_is_near(strings, size):
    segments = segment_corpus(Corpus.from_strings(strings), size)
    for string, ends in zip(segments.strings, segments.ends, strict=True):
        if not ends and not string.endswith("\n"):
            assert len(string) == size
            assert "\n" not in string[size // 2 :]


@pytest.mark.parametrize("language", [get("parentheses"), get("arithmetic"), EMPTIES])
@pytest.mark.parametrize("size", [1, 2, 5, 9, 1_000])
def test_labels_of_segments_are_labels_of_the_whole(language, size):
    whole = language.sample(60, seed=1, max_length=60)
    segments = segment_corpus(whole, size)
    check_rows(segments)
    library = language.features()
    a, b = library.label(whole), library.label(segments)
    assert len(a) > 10
    for name in a.names:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("language", [get("arithmetic"), EMPTIES])
def test_every_node_is_somewhere_and_cutting_twice_is_cutting_once(language):
    whole = language.sample(60, seed=2, max_length=60)
    once, twice = segment_corpus(whole, 3), segment_corpus(segment_corpus(whole, 12), 3)
    for segments in (once, twice):
        check_rows(segments)
        found = {
            (
                int(segments.trees.rule[row]),
                int(segments.offsets[s] + segments.trees.start[row]),
                int(segments.trees.depth[row]),
            )
            for row, s in enumerate(segments.trees.string_ids)
        }
        expected = {
            (int(whole.trees.rule[row]), int(whole.offsets[s] + whole.trees.start[row]), int(whole.trees.depth[row]))
            for row, s in enumerate(whole.trees.string_ids)
        }
        assert found == expected
    empty = whole.trees.start == whole.trees.end
    assert (once.trees.start == once.trees.end).sum() == empty.sum()
    if language is EMPTIES:
        assert empty.sum() > 100
    a, b, c = (language.features().label(corpus) for corpus in (whole, once, twice))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.values, c.values)


def test_python_segments():
    source = "".join(
        f"class C{n}:\n    def f(self, x={{'(': [{n}]}}):\n        # ((\n        return x\n\n" for n in range(9)
    )
    whole = get("python").corpus([source, "y = [1,\n     (2)]\n"])
    library = get("python").features()
    a = library.label(whole)
    for size in (10, 47, 300):
        segments = segment_corpus(whole, size)
        check_rows(segments)
        b = library.label(segments)
        for name in a.names:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("size", [0, -3])
def test_size_must_be_positive(size):
    with pytest.raises(ValueError, match=f"at least 1 character, got size {size}"):
        segment_corpus(Corpus.from_strings(["abc"]), size)
