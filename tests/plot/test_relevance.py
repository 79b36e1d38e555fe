"""Curves are the sorted scores of the features asked for, next to their baselines."""

import numpy as np
import pytest
from matplotlib import pyplot

from dni_jax import plot
from dni_jax.plot import rank_features


def curves(axis):
    """The solid lines by their name."""
    return {str(line.get_label()): line for line in axis.get_lines() if not str(line.get_label()).startswith("_")}


def dotted(axis):
    return [line.get_ydata()[0] for line in axis.get_lines() if str(line.get_label()).startswith("_")]


def test_sorted_scores_and_baselines(relevance, ax):
    assert plot.relevance(relevance, ["digit", "depth"], ax=ax) is ax
    shown = curves(ax)
    assert list(shown) == ["digit", "depth (R²)", "without any neuron"]
    expected = np.sort(relevance["score"].mean("fold").sel(feature="digit").values)[::-1]
    np.testing.assert_allclose(shown["digit"].get_ydata(), expected)
    assert shown["digit"].get_xdata().tolist() == list(range(1, 25))
    baselines = relevance["baseline"].mean("fold")
    np.testing.assert_allclose(dotted(ax), [baselines.sel(feature=name) for name in ("digit", "depth")])


def test_auc_is_compared_with_a_half_and_r2_with_the_mean(relevance, ax):
    plot.relevance(relevance, ["depth=0", "depth"], ax, metric="auc")
    expected = np.sort(relevance["auc"].mean("fold").sel(feature="depth=0").values)[::-1]
    np.testing.assert_allclose(curves(ax)["depth=0"].get_ydata(), expected)
    r2 = np.sort(relevance["score"].mean("fold").sel(feature="depth").values)[::-1]
    np.testing.assert_allclose(curves(ax)["depth (R²)"].get_ydata(), r2)
    np.testing.assert_allclose(dotted(ax), [0.5, relevance["baseline"].sel(feature="depth").mean()])


def test_without_names_the_best_known_each_once(relevance, ax):
    plot.relevance(relevance, ax=ax)
    names = [name.removesuffix(" (R²)") for name in curves(ax)][:-1]
    mean = relevance.mean("fold")
    lift = (mean["score"].max("neuron") - mean["baseline"]).to_series().dropna().sort_values(ascending=False)
    assert len(names) == 8
    assert names[0] == lift.index[0]
    assert {"digit", "parenthesis"} <= set(rank_features(relevance))
    assert not {"digit", "parenthesis"} <= set(names)  # opposites: one curve
    assert (np.diff(lift[names]) <= 1e-6).all()


def test_nothing_known_and_nothing_else_draws(relevance, ax):
    plot.relevance(relevance.sel(feature=["range:e0"]), ax=ax)
    assert len(ax.get_lines()) == 0


def test_more_features_than_colors_differ_by_style(relevance, ax):
    names = relevance["feature"].values[:10].tolist()
    plot.relevance(relevance, names, ax)
    looks = {(line.get_color(), line.get_linestyle()) for name, line in curves(ax).items() if name[:7] != "without"}
    assert len(looks) == 10


def test_own_figure(relevance):
    before = pyplot.get_fignums()
    axis = plot.relevance(relevance, "digit")
    try:
        assert pyplot.gca() is axis
        assert len(pyplot.get_fignums()) == len(before) + 1
    finally:
        pyplot.close(axis.figure)


def test_bad_input(relevance, ax):
    with pytest.raises(ValueError, match="got 'digits': did you mean 'digit'"):
        plot.relevance(relevance, "digits", ax)
    with pytest.raises(ValueError, match=r"expected a metric of this relevance, .*'auc'.*, got 'baseline'"):
        plot.relevance(relevance, "digit", ax, metric="baseline")
    with pytest.raises(ValueError, match="of one network, got that of 2"):
        plot.relevance(relevance.expand_dims(model=2), "digit", ax)
    assert len(ax.get_lines()) == 0
