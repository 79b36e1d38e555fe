from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.languages import get
from dni_jax.text import Corpus, Vocabulary, segment_corpus


@pytest.fixture(scope="module", params=["parentheses", "arithmetic"])
def labeled(request):
    corpus = get(request.param).sample(300, seed=0)
    library = get(request.param).features()
    return corpus, library, library.label(corpus)


def tables(labels, corpus):
    """The label of each symbol; fails where a symbol has two."""
    found = []
    for column in labels.columns:
        table = {}
        for code, value in zip(corpus.flat_codes.tolist(), column.tolist(), strict=True):
            assert table.setdefault(code, value) == value
        found.append(tuple(sorted(table.items())))
    return found


def test_control_labels_are_a_function_of_the_symbol_at_the_features_rate(labeled):
    corpus, library, labels = labeled
    controls = dni.features.control_task(library, corpus, seed=0)
    assert controls.names == tuple(f"control:{name}" for name in library.names)
    control = controls.label(corpus)
    assert control.kinds == labels.kinds
    maps = tables(control, corpus)
    counts = np.bincount(corpus.flat_codes)
    present = np.flatnonzero(counts)
    subsets = (np.arange(1, 2 ** len(present) - 1)[:, None] >> np.arange(len(present))) & 1
    for name, kind, column, its, table in zip(
        labels.names, labels.kinds, labels.columns, control.columns, maps, strict=True
    ):
        if kind == "continuous":
            assert abs(its.mean() - column.mean()) < 0.1
            assert set(its) <= set(column)
            continue
        if column.min() == column.max():
            np.testing.assert_array_equal(column, its)
            continue
        own = {code: set(column[corpus.flat_codes == code].tolist()) for code in present}
        gaps = np.abs(subsets @ counts[present] - column.sum()).astype(float)
        if all(len(values) == 1 for values in own.values()):
            itself = np.array([next(iter(own[code])) for code in present])
            for other in (itself, 1 - itself):
                assert not np.array_equal([value for _, value in table], other), name
                gaps[(subsets == other).all(axis=1)] = np.inf
        rarer = min(column.mean(), 1 - column.mean())
        allowed = max(gaps.min() / len(column), min(0.01, 0.1 * rarer))
        assert abs(its.mean() - column.mean()) <= allowed + 1e-6, name


def test_seeds_and_names_decide(labeled):
    corpus, library, labels = labeled
    first, again, other = (dni.features.control_task(library, corpus, seed=s).label(corpus) for s in (0, 0, 1))
    for one, two in zip(first.columns, again.columns, strict=True):
        np.testing.assert_array_equal(one, two)
    varying = [name for name in labels.names if name not in labels.constant]
    differ = [not np.array_equal(first[f"control:{n}"], other[f"control:{n}"]) for n in varying]
    assert np.mean(differ) > (0.3 if len(corpus.vocabulary) < 10 else 0.8)
    a = dni.features.control_task(library["depth"].rename("a"), corpus).label(corpus)
    b = dni.features.control_task(library["depth"].rename("b"), corpus).label(corpus)
    assert tables(a, corpus) != tables(b, corpus)


def test_a_control_task_labels_other_text_of_the_same_symbols():
    corpus = get("arithmetic").sample(200, seed=0)
    control = dni.features.control_task(dni.char_feature("digit", str.isdigit), corpus)
    other = Corpus.from_strings(["".join(corpus.vocabulary.characters), "1"])
    both = dict(zip("".join(other.strings), control.label(other).columns[0].tolist(), strict=True))
    here = "".join(corpus.strings)
    assert [both[c] for c in here] == control.label(corpus).columns[0].tolist()
    with pytest.raises(ValueError, match=r"expected symbols of the vocabulary .*got 'x'"):
        control.label(Corpus.from_strings(["x"]))
    assert control["control:digit"].about.startswith("random labels of the symbols: 1 for ")


def test_many_symbols_fit_closely():
    rng = np.random.default_rng(0)
    strings = ["".join(chr(33 + n) for n in np.minimum(rng.geometric(0.05, 80), 90)) for _ in range(50)]
    corpus = Corpus.from_strings(strings)
    for share in (0.002, 0.1, 0.5, 0.97):
        one = dni.features.Feature("x", lambda c, share=share: np.random.default_rng(1).random(c.n_positions) < share)
        control = dni.features.control_task(one, corpus).label(corpus).columns[0]
        assert abs(control.mean() - one.compute(corpus).mean()) <= 0.0101


def test_masked_positions_do_not_count():
    pieces = segment_corpus(Corpus.from_strings(["abcabcabcd" * 3]), 5)
    one = dni.char_feature("a", lambda c: c == "a").lag(1)
    control = dni.features.control_task(one, pieces)
    np.testing.assert_array_equal(control.label(pieces).mask, one.label(pieces).mask)


def test_too_few_symbols():
    one = dni.char_feature("a", lambda c: c == "a")
    with pytest.raises(ValueError, match="enough symbols for a control task other than feature 'a' itself, got 2"):
        dni.features.control_task(one, Corpus.from_strings(["aab"]))


def test_confounders():
    corpus = Corpus.from_strings(["a\tb\nc1", "(\n"])
    library = dni.features.confounders(corpus)
    labels = library.label(corpus)
    text = "".join(corpus.strings)
    assert {"character:\\n", "character:\\t", "character:a", "class:letter"} < set(labels.names)
    np.testing.assert_array_equal(labels["character:\\n"], [c == "\n" for c in text])
    np.testing.assert_array_equal(labels["class:letter"], [c.isalpha() for c in text])
    assert (sum(labels[n] for n in labels.names if n.startswith("character:")) == 1).all()
    assert (sum(labels[n] for n in labels.names if n.startswith("class:")) == 1).all()
    assert labels["position"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert labels["position in line"].tolist() == [0, 1, 2, 3, 0, 1, 0, 1]
    assert labels.of_kind("continuous").names == ("position", "position in line")
    assert all(one.about for one in library)
    assert dni.features.confounders(corpus.vocabulary).names == library.names
    assert "position in line" not in dni.features.confounders(Corpus.from_strings(["ab"])).names


@pytest.mark.parametrize("joined", [True, False])
def test_position_in_line_across_pieces(joined):
    whole = Corpus.from_strings(["ab\ncdefgh\nij", "x\n"])
    pieces = segment_corpus(whole, 4)
    pieces = pieces if joined else replace(pieces, records={})
    assert pieces.strings == ("ab\n", "cdef", "gh\n", "ij", "x\n")
    labels = dni.features.confounders(pieces).label(pieces)
    expected = dni.features.confounders(whole).label(whole)["position in line"]
    assert labels.mask.tolist() == ([True] * 14 if joined else [True] * 3 + [False] * 9 + [True] * 2)
    np.testing.assert_array_equal(labels["position in line"][labels.mask], expected[labels.mask])


def test_confounders_of_a_limited_vocabulary():
    vocabulary = Vocabulary.from_text("aaabbbcd", max_symbols=3)
    corpus = Corpus.from_strings(["abcd"], vocabulary=vocabulary)
    assert dni.features.confounders(corpus).label(corpus)["character:\ufffd"].tolist() == [0, 0, 1, 1]
