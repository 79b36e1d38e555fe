"""Figures show every feature asked for, with its name, and hold the numbers they are drawn from."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import dni_jax as dni
from dni_jax.app.report import dynamics_figure, effects_figure, relevance_figure
from dni_jax.app.report._figures import save


def texts(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_relevance_curves_are_the_sorted_scores(relevance):
    figure = relevance_figure(relevance)
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_visible()}
    assert "nesting" in shown
    axis = shown["nesting"]
    curve = axis.get_lines()[texts(axis).index("depth=4") * 2].get_ydata()
    expected = np.sort(relevance["score"].mean("fold").sel(feature="depth=4").values)[::-1]
    np.testing.assert_allclose(curve, expected)
    assert "depth (R²)" in texts(axis)
    assert not any(name == "range:e0" for axis in shown.values() for name in texts(axis))  # constant: nothing to know


def test_a_relevance_without_anything_known_says_so(relevance, tmp_path):
    at_baseline = relevance.assign(score=0 * relevance["score"] + relevance["baseline"])
    for nothing in (relevance.sel(feature=["range:e0"]), at_baseline):
        figure = relevance_figure(nothing)
        assert [text.get_text() for text in figure.axes[0].texts] == [
            "No neuron alone predicts a feature better than its baseline"
        ]
        save(figure, tmp_path / "nothing.png")
        assert min(imread(tmp_path / "nothing.png").shape[:2]) > 300


@pytest.mark.slow
def test_effect_curves_start_intact_and_are_named(model, held_out, relevance, tmp_path):
    features = ["digit", "depth=4"]
    effects = {"ablate": dni.verify(model, held_out, relevance, features, ks=(1, 3), n_random=4)}
    figure = effects_figure(effects, features)
    assert [axis.get_title() for axis in figure.axes[:2]] == features
    curve = figure.axes[0].get_lines()[0]
    one = effects["ablate"].sel(feature="digit", measure="type_accuracy")
    np.testing.assert_allclose(curve.get_ydata(), [one["intact"], *one["top"].values], atol=1e-12)
    assert curve.get_xdata().tolist() == [0, 1, 3]
    save(figure, tmp_path / "effects.png")
    assert (tmp_path / "effects.png").read_bytes()[:4] == b"\x89PNG"


def test_a_figure_that_cannot_be_written_leaves_nothing(relevance, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OSError, match="taken"):
        save(relevance_figure(relevance), tmp_path / "taken" / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_dynamics_show_the_best_neuron_by_step():
    rows = [(step, n, "a", 0.5 + n * step / 100, 0.9) for step in (10, 20) for n in (0, 1)]
    rows += [(step, n, "depth", np.nan, 0.1 * n) for step in (10, 20) for n in (0, 1)]
    table = pd.DataFrame(rows, columns=["step", "neuron", "feature", "auc", "score"])
    (axis,) = dynamics_figure(table, ["depth", "a", "missing"]).axes
    assert texts(axis) == ["a", "depth"]
    lines = [line.get_ydata() for line in axis.get_lines()]
    np.testing.assert_allclose(lines, [[0.6, 0.7], [0.1, 0.1]])
