"""An excerpt holds the states and labels of the text it shows, in bytes, and chooses text that has examples."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.app.report._excerpt import Excerpt, best_neurons, choose_segments, cut_segments, make_excerpt


@pytest.fixture(scope="module")
def made(constructed):
    return constructed.excerpt()


def positions(corpus, excerpt):
    """Where each character of the excerpt is in the corpus, found by its string and place."""
    lengths = np.diff(excerpt.offsets)
    return np.concatenate(
        [corpus.offsets[s] + p + np.arange(n) for s, p, n in zip(excerpt.strings, excerpt.starts, lengths, strict=True)]
    )


def test_an_excerpt_holds_the_text_states_and_labels_of_its_place(made):
    excerpt, at = made.excerpt, positions(made.corpus, made.excerpt)
    np.testing.assert_array_equal(excerpt.text, made.corpus.text[at])
    known = made.labels.mask[at]
    np.testing.assert_array_equal(excerpt.known, known)
    states = excerpt.hidden.astype(float) * excerpt.scale
    assert (np.abs(states - made.states[at])[known] < excerpt.scale * 0.51).all()
    for f, kind in enumerate(excerpt.kinds):
        column = made.labels.columns[f][at]
        if kind == "binary":
            np.testing.assert_array_equal(excerpt.labels[:, f][known], column[known])
        else:
            back = excerpt.low[f] + excerpt.labels[:, f] / 255 * (excerpt.high[f] - excerpt.low[f])
            np.testing.assert_allclose(back[known], column[known], atol=0.51 / 255)


def test_an_excerpt_keeps_to_its_size_and_comes_back_from_disk(made, tmp_path):
    assert 600 < len(made.excerpt.text) <= 700
    made.excerpt.save(tmp_path / "excerpt.npz")
    again = Excerpt.load(tmp_path / "excerpt.npz")
    for name in Excerpt.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(made.excerpt, name))
    assert [path.name for path in tmp_path.iterdir()] == ["excerpt.npz"]
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name in ("broken.npz", "none.npz"):
        with pytest.raises(ValueError, match=name):
            Excerpt.load(tmp_path / name)


def test_rare_features_have_examples():
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("01"), size=30)) for _ in range(200)]
    for at in (150, 170, 190):
        strings[at] = "x" + strings[at]
    corpus = dni.Corpus.from_strings(strings)
    labels = (dni.char_feature("x", lambda c: c == "x") + dni.char_feature("0", lambda c: c == "0")).label(corpus)
    excerpt = make_excerpt(corpus, np.zeros((corpus.n_positions, 1)), labels, characters=300)
    assert (excerpt.text == ord("x")).sum() == 2
    assert len(excerpt.text) <= 300


def test_a_feature_that_nothing_knows_is_given_no_room(constructed):
    parts = cut_segments(dni.Corpus.from_strings(["aaaa", "bbbb", "cccc"]), 10)
    on = np.arange(12) // 4 == 1
    assert choose_segments(parts, [on], np.ones(1), 8).tolist() == [0, 1]
    assert choose_segments(parts, [on], np.zeros(1), 8).tolist() == [0, 2]


def test_what_is_not_chosen_as_an_example_is_spread_over_the_text():
    parts = cut_segments(dni.Corpus.from_strings(["x" * 1000]), 10)
    chosen = choose_segments(parts, [], np.ones(0), 100)
    assert len(chosen) == 10
    assert np.diff(chosen).max() <= 20


def test_long_strings_are_cut_after_lines_and_lose_nothing():
    text = "first line\nsecond one\n" + "x" * 50 + "\nend"
    corpus = dni.Corpus.from_strings([text, "short"])
    parts = cut_segments(corpus, 24)
    pieces = [corpus.strings[s][p : p + n] for s, p, n in zip(parts.strings, parts.places, parts.lengths, strict=True)]
    assert "".join(pieces[:-1]) == text
    assert pieces[0] == "first line\nsecond one\n"
    assert max(map(len, pieces)) <= 24


def test_one_segment_is_chosen_whatever_its_length():
    corpus = dni.Corpus.from_strings(["0123456789"])
    labels = dni.char_feature("0", lambda c: c == "0").label(corpus)
    assert len(make_excerpt(corpus, np.zeros((10, 1)), labels, characters=3).text) == 10


def test_of_many_neurons_the_best_of_every_feature_stay(constructed, made):
    relevance = constructed.relevance()
    few = make_excerpt(made.corpus, made.states, made.labels, relevance=relevance, max_neurons=4)
    assert few.neurons.tolist() == best_neurons(relevance, 4).tolist()
    assert few.n_neurons == 12
    assert 1 in few.neurons  # the best of depth=1, which is known best
    with pytest.raises(ValueError, match="expected relevance= to choose 4 of 12 neurons"):
        make_excerpt(made.corpus, made.states, made.labels, max_neurons=4)


def test_what_does_not_fit_is_refused(made):
    with pytest.raises(ValueError, match="expected states"):
        make_excerpt(made.corpus, made.states[1:], made.labels)
    with pytest.raises(ValueError, match="at least 1"):
        make_excerpt(made.corpus, made.states, made.labels, characters=0)
    with pytest.raises(ValueError, match="finite"):
        make_excerpt(made.corpus, np.where(made.states > 0.9, np.nan, made.states), made.labels)


def test_a_silent_neuron_has_no_scale(made):
    excerpt = make_excerpt(made.corpus, np.zeros_like(made.states), made.labels)
    assert not excerpt.scale.any()
    assert not excerpt.hidden.any()
