"""Names and texts of any script are drawn in fonts that have them, or the reader is told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import dni_jax as dni
from dni_jax import plot
from dni_jax.app.report._figures import dynamics_figure, effects_figure, relevance_figure
from dni_jax.plot import _style

CJK = "Noto Sans CJK JP"


@pytest.fixture
def wide_fonts(monkeypatch):
    """As if a font with CJK were installed."""
    found = _style.find_font
    monkeypatch.setattr(_style, "find_font", lambda one: CJK if "\u4e00" <= one <= "\u9fff" else found(one))


@pytest.fixture
def no_wide_fonts(monkeypatch):
    found = _style.find_font
    monkeypatch.setattr(_style, "find_font", lambda one: None if "\u4e00" <= one <= "\u9fff" else found(one))


@pytest.fixture(scope="module")
def studied():
    corpus = dni.Corpus.from_strings(["猫(1)", "(猫)", "猫0", "3(猫)"] * 5)
    library = dni.char_feature("is 猫 $x_1$", lambda c: c == "猫") + dni.char_feature("digit", str.isdigit)
    labels = library.label(corpus)
    states = labels.values + np.arange(corpus.n_positions * 2).reshape(-1, 2) % 7 / 10
    return corpus, labels, dni.inspect(states, labels, "ridge", folds=2, groups=corpus.string_ids)


def drawn(figure):
    """All that is written in a figure with a wide character or in its place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "findfont|Glyph")  # of the font that the tests only pretend to have
        figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible()]
    return [text for text in texts if "猫" in text.get_text() or "□" in text.get_text()]


FEATURE = "是 猫 $x_1$"


@pytest.fixture
def effect(effects):
    return effects.assign_coords(feature=[FEATURE, "digit"], measure=["type_accuracy", "loss_on"])


def figures(studied, effect):
    corpus, labels, relevance = studied
    language = dni.Language.from_lark('start: "猫" | "(" start ")"', name="cats")
    tree = Figure(figsize=(8, 3))
    plot.tree(language.corpus(["((猫))"]), ax=tree.subplots())
    yield "tree", tree
    curves = Figure(figsize=(8, 3))
    plot.relevance(relevance, ax=curves.subplots())
    yield "relevance", curves
    rows = Figure(figsize=(8, 3))
    plot.text(corpus, np.zeros(corpus.n_positions), labels=labels, ax=rows.subplots())
    yield "text", rows
    yield "labels", plot.labeling_figure(labels, corpus)
    one = Figure(figsize=(8, 3))
    plot.effects(effect, FEATURE, ax=one.subplots())
    yield "effects", one
    yield "report's relevance", relevance_figure(relevance)
    yield "report's effects", effects_figure({"ablate": effect}, [FEATURE])
    steps = pd.DataFrame({"step": [1, 2], "neuron": 0, "feature": FEATURE, "auc": [0.5, 0.9], "score": 0.5})
    yield "report's dynamics", dynamics_figure(steps, [FEATURE])


def test_every_drawing_takes_a_font_that_has_the_characters(studied, effect, wide_fonts):
    for name, figure in figures(studied, effect):
        texts = drawn(figure)
        assert texts, name
        for text in texts:
            assert CJK in text.get_fontfamily(), (name, text.get_text())
            assert not text.get_parse_math(), (name, text.get_text())
            assert "□" not in text.get_text()


def test_every_drawing_says_which_characters_no_font_has(studied, effect, no_wide_fonts):
    with pytest.warns(UserWarning, match=r"no installed font has U\+(732B|662F).*Noto Sans CJK"):
        made = list(figures(studied, effect))
    for name, figure in made:
        texts = drawn(figure)
        assert texts, name
        assert not any("猫" in text.get_text() for text in texts), name
    # Text itself is explained in the title of its drawing.
    assert any("□ is U+732B" in text.get_text() for text in drawn(dict(made)["text"]))


def test_usual_names_keep_their_font(studied):
    figure = Figure(figsize=(8, 3))
    plot.relevance(studied[2], "digit", ax=figure.subplots())
    (legend,) = [text for text in figure.axes[0].get_legend().get_texts() if text.get_text() == "digit"]
    assert legend.get_fontfamily() == ["sans-serif"]
