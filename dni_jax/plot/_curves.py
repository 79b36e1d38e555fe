"""What overriding neurons does to the predictions, against how many are overridden (Figure 5 of Lin & Wu 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes

from dni_jax.features import check_feature_name
from dni_jax.plot._style import PALETTE, axes_of

_WORDS = {
    "type_accuracy": "right class of next character",
    "accuracy_on": "right class where it holds",
    "accuracy_off": "right class elsewhere",
    "loss": "nats a character",
    "loss_on": "nats a character where it holds",
    "loss_off": "nats a character elsewhere",
    "class_probability": "probability of its class",
    "class_probability_on": "probability of its class where it holds",
    "class_probability_off": "probability of its class elsewhere",
    "distance": "distance from the usual states",
}
SETS = {"top": (None, "-"), "random": (PALETTE[-1], "--"), "bottom": (PALETTE[2], ":")}


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

    At k = 0 stands the intact network. The band of the k best neurons is the 95 % interval of the effect, by a
    bootstrap over strings; that of random sets holds 95 % of the sets drawn. The k worst neurons have no band.

    Parameters
    ----------
    effects
        From `dni_jax.verify`.
    feature
        Its name; not needed where the dataset is of one feature.
    measure
        One of the dataset's measures, as listed for `dni_jax.verify`.
    ax
        Axes to draw into; None makes a figure of its own. Several interventions can be laid over each other.
    sets
        Which curves: of ``"top"``, ``"random"`` and ``"bottom"``.
    color, label
        Of the top curve.

    Returns
    -------
    The axes.

    Raises
    ------
    ValueError
        For an unknown feature, measure or set, or a feature that must be named.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax import plot
    >>> from matplotlib.figure import Figure
    >>> language = dni.languages.get("parentheses")
    >>> corpus = language.sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> relevance = dni.inspect(dni.record(model, corpus), language.features().label(corpus), folds=5)
    >>> effect = dni.verify(model, corpus, relevance, "digit", ks=(1, 3), n_random=4)
    >>> ax = plot.effects(effect, ax=Figure().subplots())
    >>> ax.get_legend_handles_labels()[1]
    ['top k', 'random k', 'bottom k']
    """
    one = _one(effects, feature, measure)
    unknown = [name for name in sets if name not in SETS]
    if unknown or not sets:
        raise ValueError(f"expected sets of {', '.join(SETS)}, got {tuple(sets)}")
    axis = axes_of(ax, 5.0, 3.6)
    ks, intact = [0, *one["k"].values.tolist()], float(one["intact"])
    for name in sets:
        colour, style = SETS[name]
        own = label if name == "top" and label else f"{name} k"
        middle = [intact, *(intact + one[f"{name}_effect"].values)]
        colour = colour or color or PALETTE[0]
        axis.plot(ks, middle, style, color=colour, marker="o", markersize=3, label=own)
        if f"{name}_effect_low" in one:
            low, high = ([intact, *(intact + one[f"{name}_effect_{end}"].values)] for end in ("low", "high"))
            axis.fill_between(ks, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.set_xticks(ks)
    axis.set(xlabel="neurons overridden", ylabel=_WORDS.get(measure, measure), title=str(one["feature"].values))
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def _one(effects: xr.Dataset, feature: str | None, measure: str) -> xr.Dataset:
    """Choose a feature and a measure."""
    measures = effects["measure"].values.tolist()
    if measure not in measures:
        raise ValueError(f"expected a measure of these effects, {measures}, got {measure!r}")
    names = [str(name) for name in effects["feature"].values.reshape(-1)]
    if feature is not None:
        check_feature_name(feature, names)
    if feature is None and len(names) > 1:
        raise ValueError(f"expected feature= one of {names}, got none")
    chosen = effects.sel(measure=measure)
    return chosen.sel(feature=feature or names[0]) if "feature" in effects.dims else chosen
