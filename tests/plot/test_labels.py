"""The image of a string's labels shows every character and every feature, in their places."""

from dataclasses import replace

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.app.report import save
from dni_jax.languages import get
from dni_jax.plot import _style, labeling_figure, labeling_text

SOURCE = "x = '$a$ 日\u0301é\x01'  # (\n"


@pytest.fixture(scope="module")
def labeled():
    corpus = get("arithmetic").corpus(["1+(2)", "((3)), 4*5"])
    return get("arithmetic").features().label(corpus), corpus


def test_text(labeled):
    labels, corpus = labeled
    drawn = labeling_text(labels, corpus, 1, features=["digit", "depth", "symbol: ", "impulse:e"])
    assert drawn.splitlines() == [
        "           ((3)),␣4*5",
        "digit      ··█····█·█",
        "depth      ▒███▒·····",
        "symbol:␣   ······█···",
        "impulse:e  █████··█·█",
    ]
    assert labeling_text(labels, corpus, 0, start=2, width=2, features="digit") == "       (2\ndigit  ·█"
    shown = labeling_text(labels, corpus, 0, width=2).splitlines()[1:]
    assert all("█" in line for line in shown)  # without names: what is on


def test_figure_holds_the_labels(labeled):
    labels, corpus = labeled
    names = ["digit", "depth", "range:e"]
    figure = labeling_figure(labels, corpus, 1, features=names)
    axis = figure.axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == names
    assert [text.get_text() for text in axis.texts] == list("((3)),␣4*5")
    cells = np.asarray(axis.get_images()[0].get_array())
    assert cells.shape == (3, 10, 3)
    digit = labels["digit"][5:]
    dark = cells[0].mean(axis=1) < 0.5
    np.testing.assert_array_equal(dark, digit == 1)
    depth = cells[1].mean(axis=1)
    assert depth[1] < depth[0] < depth[5]
    assert "string 1 of arithmetic, characters 0 to 9 of 10" in [text.get_text() for text in figure.texts]


def test_masked_and_unprintable_characters_draw(tmp_path, monkeypatch):
    found = _style.find_font
    monkeypatch.setattr(_style, "find_font", lambda one: None if one == "日" else found(one))
    corpus = get("python").corpus([SOURCE])
    parsed = np.ones(corpus.n_positions, bool)
    parsed[[3, 4, 5, 9]] = False
    corpus = replace(corpus, parsed=parsed)
    symbols = dni.char_feature("symbol:\n日 ", lambda c: c == "\n")
    labels = (get("python").features() + symbols).label(corpus)
    with pytest.warns(UserWarning, match=r"no installed font has U\+65E5, drawn as □"):
        figure = labeling_figure(labels, corpus)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert [(patch.get_x(), patch.get_width()) for patch in hatched] == [(3, 3), (9, 1)]
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "symbol:↵□␣"
    save(figure, tmp_path / "labels.png")
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"
    text = labeling_text(labels, corpus, features="range:string").splitlines()
    assert text[0].endswith("x␣=␣'$a$␣□□é□'␣␣#␣(↵")
    assert text[1] == "range:string  ···???███?████······"


def test_bad_input(labeled):
    labels, corpus = labeled
    for draw in (labeling_figure, labeling_text):
        with pytest.raises(ValueError, match=r"corpus that was labeled, of 15 characters, got Corpus\(arithmetic: 1 "):
            draw(labels, corpus.take(np.array([0])))
        with pytest.raises(ValueError, match="a string from 0 to 1, got 2"):
            draw(labels, corpus, 2)
        with pytest.raises(ValueError, match=r"a start from 0 to 4 in string 0 .*got start 5 and width 80"):
            draw(labels, corpus, 0, 5)
        with pytest.raises(ValueError, match="got start 0 and width 0"):
            draw(labels, corpus, 0, width=0)
        with pytest.raises(ValueError, match="got 'nothing'"):
            draw(labels, corpus, features="nothing")
        with pytest.raises(ValueError, match="features that hold somewhere in this segment, got none"):
            draw(labels.select("symbol:9"), corpus)
