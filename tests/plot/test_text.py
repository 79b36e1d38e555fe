"""A text by a neuron: every character in its place, in the color of its value, above its labels."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import dni_jax as dni
from dni_jax import plot
from dni_jax.plot import _style
from dni_jax.plot._style import find_font

STRINGS = ["1+(2)", "$a$ <b>\n\t日"]


@pytest.fixture(scope="module")
def corpus():
    return dni.Corpus.from_strings(STRINGS)


def painted(axis):
    """Each image's RGB cells."""
    return [np.asarray(image.get_array()) for image in axis.get_images()]


def test_colors_diverge_from_white_at_zero(corpus, ax):
    values = np.zeros(corpus.n_positions)
    values[[1, 3]] = 0.5, -0.5
    values[7] = -2  # of the other string: the scale is the corpus'
    assert plot.text(corpus, values, ax=ax) is ax
    (cells,) = painted(ax)
    assert cells.shape == (1, 5, 3)
    np.testing.assert_allclose(cells[0, [0, 2, 4]], cells[0, 0][None].repeat(3, 0))
    assert cells[0, 0].min() > 0.95
    assert cells[0, 1, 0] > cells[0, 1, 2]  # red
    assert cells[0, 3, 0] < cells[0, 3, 2]  # blue
    assert cells[0, [1, 3]].min() > 0.4  # a quarter of the scale
    assert "".join(sign.get_text() for sign in ax.texts) == "1+(2)"
    (key,) = ax.child_axes
    assert [tick.get_text() for tick in key.get_xticklabels()] == ["-2", "0", "2"]


def test_labels_stand_below(corpus, ax, tmp_path):
    labels = (dni.char_feature("digit", str.isdigit) + dni.char_feature("letter", str.isalpha)).label(corpus)
    states = np.random.default_rng(0).normal(size=(corpus.n_positions, 3)).astype("float32")
    plot.text(corpus, states, 2, string=1, start=1, width=30, labels=labels, features=["letter", "digit"], ax=ax)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["neuron 2", "letter", "digit"]
    assert "".join(sign.get_text() for sign in ax.texts) == "a$␣<b>↵→" + ("□" if find_font("日") is None else "日")
    above, below = painted(ax)
    assert (above.shape, below.shape) == ((1, 9, 3), (2, 9, 3))
    np.testing.assert_array_equal(below[0].mean(-1) < 0.5, [c.isalpha() for c in STRINGS[1][1:]])
    red = above[0, :, 0] > above[0, :, 2]
    np.testing.assert_array_equal(red, states[6:, 2] > 0)
    ax.figure.savefig(tmp_path / "text.png")  # a dollar sign is no formula


def test_positions_without_a_state_are_hatched(corpus, ax):
    mask = np.arange(corpus.n_positions) != 2
    hidden = np.ones((corpus.n_positions, 1), np.float32)
    hidden[2] = np.nan
    plot.text(corpus, dni.models.Activations(hidden, corpus.string_ids, mask=mask), 0, ax=ax)
    (hatched,) = [patch for patch in ax.patches if patch.get_hatch()]
    assert (hatched.get_x(), hatched.get_width()) == (2, 1)


def test_only_zeros_are_white(corpus, ax):
    plot.text(corpus, np.zeros(corpus.n_positions), ax=ax)
    assert painted(ax)[0].min() > 0.95


@pytest.mark.parametrize(
    ("states", "more", "message"),
    [
        (np.zeros((15, 2)), {}, r"expected neuron= with states \(T, N\)"),
        (np.zeros(15), {"neuron": 0}, r"and none with \(T,\), got 0"),
        (np.zeros((15, 2)), {"neuron": 2}, "a neuron from 0 to 1, got 2"),
        (np.zeros(14), {}, r"the corpus' 15 characters, .* got shape \(14,\)"),
        (np.full(15, np.inf), {}, "finite states, got NaN or infinity"),
        (np.zeros(15), {"string": 2}, "a string from 0 to 1, got 2"),
        (np.zeros(15), {"start": 9}, "a start from 0 to 4 in string 0"),
        (np.zeros(15), {"features": "digit"}, "labels= together with features="),
    ],
)
def test_bad_input(corpus, states, more, message):
    with pytest.raises(ValueError, match=message):
        plot.text(corpus, states, **more, ax=Figure().subplots())


def test_characters_that_no_font_has_are_named():
    corpus = dni.Corpus.from_strings(["a猫b"])
    ax = plot.text(corpus, np.zeros(3), ax=Figure().subplots())
    drawn = "".join(sign.get_text() for sign in ax.texts)
    if find_font("猫") is None:
        assert drawn == "a□b"
        assert ax.get_title(loc="left").endswith("; □ is U+732B, which no installed font has")
    else:
        assert drawn == "a猫b"
        assert "U+732B" not in ax.get_title(loc="left")


def test_another_font_is_taken_for_what_the_usual_one_lacks(monkeypatch):
    monkeypatch.setattr(_style, "find_font", lambda character: "Noto Sans CJK JP" if character == "猫" else _style.FONT)
    corpus = dni.Corpus.from_strings(["a猫"])
    ax = plot.text(corpus, np.zeros(2), ax=Figure().subplots())
    assert [sign.get_text() for sign in ax.texts] == ["a", "猫"]
    assert ax.texts[1].get_fontfamily() == [_style.FONT, "Noto Sans CJK JP"]
