"""Scores of all neurons for all features, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dni_jax.features import Labels
from dni_jax.inspection.checking import check_states, groups_of, where_stated
from dni_jax.probes import make_folds, score_neurons

_OF_REGRESSIONS = ("r2", "pearson")


def inspect(
    states: Any,
    labels: Labels,
    probe: str = "svm",
    folds: int | np.ndarray = 20,
    *,
    groups: np.ndarray | None = None,
    metrics: Sequence[str] = ("accuracy", "auc", "r2"),
    seed: int = 0,
    **options: Any,
) -> xr.Dataset:
    """Score how well each neuron alone predicts each feature, cross-validated.

    Binary features are scored with `probe`; continuous ones with ordinary least squares, as in the paper (Lin & Wu
    2017, section 3), or with ridge regression if `probe` is "ridge". With "ols", binary features are scored by R^2 too.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)`` of any network's states, or ``(M, T, N)`` of M networks'. Positions
        whose ``Activations.mask`` is False are left out.
    labels
        The features' labels on the same T positions.
    probe
        See `dni_jax.probes.score_neurons`.
    folds
        A number of folds, into which whole groups are dealt; or int ``(T,)``: the fold of each position, -1 for
        positions to leave out.
    groups
        int ``(T,)``: positions that folds must not tear apart; taken from `states` if they are ``Activations``.
    metrics
        Which scores to keep: those that fit a feature's kind.
    seed
        Deals the groups to folds.
    options
        Further arguments of `score_neurons`.

    Returns
    -------
    Dataset with dimensions ``(neuron, feature, fold)``: one variable a metric (NaN where the metric does not fit the
    feature's kind), ``score`` (accuracy for binary features, R^2 for continuous ones), and ``baseline``
    ``(feature, fold)``, the score of the majority class or of the mean. The coordinate ``kind`` tells binary from
    continuous, ``share`` is a feature's mean label. The states of a population give a further dimension, ``model``.

    Raises
    ------
    ValueError
        For sizes that do not match, states that are not finite, an unknown probe, or more folds than groups.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> labels = dni.languages.get("parentheses").features().label(corpus)
    >>> dict(dni.inspect(dni.record(model, corpus), labels, folds=5).sizes)
    {'neuron': 8, 'feature': 51, 'fold': 5}
    """
    each = models_of(states)
    if each is not None:
        settings: dict[str, Any] = {"groups": groups, "metrics": metrics, "seed": seed, **options}
        found = [inspect(one, labels, probe, folds, **settings) for one in each]
        return _together(found, getattr(states, "members", {}))
    hidden = check_states(states, labels)
    chosen = folds_of(states, labels, folds, groups, seed)
    shape = (hidden.shape[1], len(labels), int(chosen.max()) + 1)
    arrays = {name: np.full(shape, np.nan, np.float32) for name in dict.fromkeys(("score", *metrics))}
    baseline = np.full(shape[1:], np.nan, np.float32)
    regression = regression_of(probe)
    for kind, its_probe, headline in (("binary", probe, "accuracy"), ("continuous", regression, "r2")):
        columns = np.flatnonzero([its == kind for its in labels.kinds])
        if len(columns) == 0:
            continue
        headline = "r2" if its_probe == "ols" else headline
        fitting = [name for name in metrics if (name in _OF_REGRESSIONS) == (headline == "r2")]
        asked = tuple(dict.fromkeys((headline, *fitting)))
        scores = score_neurons(hidden, labels.of_kind(kind).matrix, chosen, probe=its_probe, metrics=asked, **options)
        for name in fitting:
            arrays[name][:, columns] = scores[name]
        arrays["score"][:, columns] = scores[headline]
        baseline[columns] = scores["baseline"]
    dealt = {"seed": seed, "folds": "dealt"} if isinstance(folds, (int, np.integer)) else {"folds": "given"}
    return _dataset(arrays, baseline, labels, chosen, {"probe": probe, **dealt})


def models_of(states: Any) -> list[Any] | None:
    """The states of each network of a population; None for those of one network."""
    hidden = np.asarray(getattr(states, "hidden", states))
    if hidden.ndim != 3:
        return None
    return [states.of_model(number) if hasattr(states, "of_model") else one for number, one in enumerate(hidden)]


def _together(each: Sequence[xr.Dataset], members: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Put what was found in the networks of a population into one dataset."""
    dataset = xr.concat(each, "model", data_vars="all").assign_coords(model=np.arange(len(each)))
    return dataset.assign_coords({name: ("model", list(values)) for name, values in members.items()})


def regression_of(probe: str) -> str:
    """The probe that scores continuous features beside this one."""
    return "ridge" if probe == "ridge" else "ols"


def folds_of(states: Any, labels: Labels, folds: int | np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """Deal groups to folds, or take those that were given; -1 where labels are masked."""
    if isinstance(folds, (int, np.integer)):
        groups = groups_of(states, groups)
        if groups is None:
            raise ValueError(
                "expected groups=(T,) beside an array of states (the string of each position), got none: pass them, "
                "or pass folds=dni.make_folds(T, scheme='shuffled') if positions are independent"
            )
        chosen = np.asarray(make_folds(len(labels.mask), int(folds), groups=groups, seed=seed))
    else:
        chosen = np.asarray(folds)
    return np.where(where_stated(states, labels).mask, chosen, -1).astype(np.int32)


def _dataset(
    arrays: dict[str, np.ndarray], baseline: np.ndarray, labels: Labels, folds: np.ndarray, attrs: dict[str, Any]
) -> xr.Dataset:
    used = folds >= 0
    dims = ("neuron", "feature", "fold")
    return xr.Dataset(
        {name: (dims, array) for name, array in arrays.items()} | {"baseline": (dims[1:], baseline)},
        coords={
            "neuron": np.arange(arrays["score"].shape[0]),
            "feature": list(labels.names),
            "fold": np.arange(baseline.shape[1]),
            "kind": ("feature", list(labels.kinds)),
            "share": ("feature", [float(column[used].mean()) for column in labels.columns]),
        },
        attrs={**attrs, "positions": int(used.sum()), "library": labels.library},
    )
