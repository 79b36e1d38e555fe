"""How overriding neurons changes the predictions, by the number of neurons (Figure 5 of Lin & Wu 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes

from dni_jax.characters import display_name
from dni_jax.features import check_feature_name
from dni_jax.plot._style import PALETTE, fit_text, new_axes, remove_frame

MEASURE_LABELS = {
    "type_accuracy": "accuracy of next class",
    "accuracy_on": "accuracy of next class where it holds",
    "accuracy_off": "accuracy of next class elsewhere",
    "accuracy_after": "accuracy of next class after it",
    "type_accuracy_by_symbol": "accuracy of the likeliest symbol's class",
    "symbol_accuracy": "accuracy of next symbol, given its class",
    "symbol_accuracy_on": "accuracy of next symbol, given its class, where it holds",
    "symbol_accuracy_off": "accuracy of next symbol, given its class, elsewhere",
    "symbol_accuracy_after": "accuracy of next symbol, given its class, after it",
    "loss": "nats per character",
    "loss_on": "nats per character where it holds",
    "loss_off": "nats per character elsewhere",
    "loss_after": "nats per character after it",
    "class_probability": "probability of its class",
    "class_probability_on": "probability of its class where it holds",
    "class_probability_off": "probability of its class elsewhere",
    "class_probability_after": "probability of its class after it",
    "distance": "distance from the usual states",
}
_SETS = {"top": (None, "-"), "random": (PALETTE[-1], "--"), "bottom": (PALETTE[2], ":")}


def effects(
    effects: xr.Dataset,
    feature: str | None = None,
    measure: str = "loss_on",
    ax: Axes | None = None,
    *,
    sets: Sequence[str] = ("top", "random", "bottom"),
    color: str | None = None,
    label: str | None = None,
) -> Axes:
    """Draw a measure of the predictions against k, the number of neurons overridden.

    k = 0 is the intact network. The band around the k best neurons is the 95 % interval of the effect, from a
    bootstrap over strings. The band around the random sets contains 95 % of them. The k worst neurons have no band.

    Parameters
    ----------
    effects
        From `dni_jax.verify`.
    feature
        Its name; may be left out if the dataset has one feature.
    measure
        One of the dataset's measures, as listed for `dni_jax.verify`.
    ax
        Axes to draw into, which may already hold another intervention's curves; None makes a new figure.
    sets
        Which curves: any of ``"top"``, ``"random"`` and ``"bottom"``.
    color, label
        Of the top curve.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        If the feature, the measure or a set is unknown, or the feature must be named.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> language = dni.languages.get("parentheses")
    >>> corpus = language.sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> relevance = dni.inspect(dni.record(model, corpus), language.features().label(corpus), "ols", folds=5)
    >>> effect = dni.verify(model, corpus, relevance, "digit", ks=(1, 3), n_random=4)
    >>> ax = plot.effects(effect, ax=Figure().subplots())
    >>> ax.get_legend_handles_labels()[1]
    ['top k', 'random k', 'bottom k']
    """
    one = _select(effects, feature, measure)
    unknown = [name for name in sets if name not in _SETS]
    if unknown or not sets:
        raise ValueError(f"expected sets of {', '.join(_SETS)}, got {tuple(sets)}")
    axis = new_axes(ax, 5.0, 3.6)
    ks, intact = [0, *one["k"].values.tolist()], float(one["intact"])
    for name in sets:
        own, style = _SETS[name]
        shade = own or color or PALETTE[0]
        curve = [intact, *(intact + one[f"{name}_effect"].values)]
        curve_label = label if name == "top" and label else f"{name} k"
        axis.plot(ks, curve, style, color=shade, marker="o", markersize=3, label=curve_label)
        if f"{name}_effect_low" in one:
            low, high = ([intact, *(intact + one[f"{name}_effect_{end}"].values)] for end in ("low", "high"))
            axis.fill_between(ks, low, high, color=shade, alpha=0.15, linewidth=0)
    axis.set_xticks(ks)
    axis.set(xlabel="neurons overridden", ylabel=MEASURE_LABELS.get(measure, measure))
    title = axis.set_title(display_name(str(one["feature"].values)))
    fit_text(title, *axis.legend(fontsize=8, frameon=False).get_texts())
    remove_frame(axis)
    return axis


def _select(effects: xr.Dataset, feature: str | None, measure: str) -> xr.Dataset:
    """Select one feature and one measure."""
    measures = effects["measure"].values.tolist()
    if measure not in measures:
        raise ValueError(f"expected a measure of these effects, {measures}, got {measure!r}")
    names = [str(name) for name in effects["feature"].values.reshape(-1)]
    if feature is not None:
        check_feature_name(feature, names)
    elif len(names) > 1:
        raise ValueError(f"expected feature= one of {names}, got none")
    chosen = effects.sel(measure=measure)
    return chosen.sel(feature=feature or names[0]) if "feature" in effects.dims else chosen
