"""Scores of all neurons for all features, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dni_jax.features import Labels
from dni_jax.inspection._checking import check_states, groups_of, where_stated
from dni_jax.inspection._chunks import inspect_chunks
from dni_jax.inspection._labelling import labels_in_memory
from dni_jax.inspection._table import Table, parts_of
from dni_jax.models import ChunkedActivations
from dni_jax.probes import make_folds, score_neurons
from dni_jax.text import Corpus


def inspect(
    states: Any,
    labels: Any,
    probe: str = "svm",
    folds: int | np.ndarray = 20,
    *,
    corpus: Corpus | None = None,
    groups: np.ndarray | None = None,
    metrics: Sequence[str] = ("accuracy", "auc", "r2"),
    seed: int = 0,
    tolerance: float | None = None,
    confidence: float = 0.95,
    **options: Any,
) -> xr.Dataset:
    """Score how well each neuron alone predicts each feature, cross-validated.

    Binary features are scored with `probe`; continuous ones with ordinary least squares, as in the paper (Lin & Wu
    2017, section 3), or with ridge regression if `probe` is "ridge". With "ols", binary features are scored by R^2 too.

    States on disk (`dni_jax.models.open_states`) or of a network that runs meanwhile (`dni_jax.models.stream`) are read
    chunk by chunk, labelled in a thread, and scored by the binned engine in memory that does not depend on T.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)`` of any network's states, or ``(M, T, N)`` of M networks'. Positions
        whose ``Activations.mask`` is False are left out. Or ``StoredActivations`` or ``StreamedActivations``.
    labels
        The features' labels on the same T positions: ``Labels``; or what makes them, ``LazyLabels`` (as from
        ``library.label_lazily(corpus)``) or a library, with its `corpus`: with states that come in chunks, labels are then
        made chunk by chunk, too.
    probe
        See `dni_jax.probes.score_neurons`.
    folds
        A number of folds, into which whole groups are dealt; or int ``(T,)``: the fold of each position, -1 for
        positions to leave out.
    corpus
        What a library labels; streamed states know theirs.
    groups
        int ``(T,)``: positions that folds must not tear apart; taken from `states` if they are ``Activations``.
    metrics
        Which scores to keep: those that fit a feature's kind.
    seed
        Deals the groups to folds; with a tolerance, also the order of reading.
    tolerance
        For states that come in chunks: stop reading when every score of every pair is known to within this much, and
        say so in ``attrs["positions"]``; see `dni_jax.inspection._chunks.inspect_chunks` for what that means.
    confidence
        How often, at least, a score on all positions lies within the tolerance of the one given.
    options
        Further arguments of `score_neurons`. For states that come in chunks `C`, `alpha`, `class_weight`, `n_bins`,
        `neuron_batch` and `feature_batch`, how many neurons and features are counted in one pass over the states.

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
    >>> library = dni.languages.get("parentheses").features()
    >>> dict(dni.inspect(dni.record(model, corpus), library.label(corpus), folds=5).sizes)
    {'neuron': 8, 'feature': 51, 'fold': 5}
    >>> running = dni.models.stream(model, corpus, chunk=500)
    >>> dict(dni.inspect(running, library, folds=5, n_bins=64).sizes)
    {'neuron': 8, 'feature': 51, 'fold': 5}
    """
    if isinstance(states, ChunkedActivations):
        return inspect_chunks(
            states,
            labels,
            probe,
            folds,
            corpus=corpus,
            groups=groups,
            metrics=metrics,
            seed=seed,
            tolerance=tolerance,
            confidence=confidence,
            **options,
        )
    if tolerance is not None:
        raise ValueError(
            f"expected a tolerance only with states that come in chunks (dni_jax.models.open_states or stream), got "
            f"{tolerance} with {type(states).__name__}: these are in memory, and all are scored"
        )
    labels = labels_in_memory(labels, corpus)
    each = models_of(states)
    if each is not None:
        settings: dict[str, Any] = {"groups": groups, "metrics": metrics, "seed": seed, **options}
        found = [inspect(one, labels, probe, folds, **settings) for one in each]
        return _together(found, getattr(states, "members", {}))
    hidden = check_states(states, labels)
    chosen = folds_of(states, labels, folds, groups, seed)
    table = Table.empty(hidden.shape[1], labels.kinds, int(chosen.max()) + 1, metrics)
    for part in parts_of(labels.kinds, probe, metrics):
        matrix = labels.of_kind(part.kind).matrix
        scores = score_neurons(hidden, matrix, chosen, probe=part.probe, metrics=part.asked, **options)
        table.put(part, scores)
    used = chosen >= 0
    shares = [float(column[used].mean()) for column in labels.columns]
    dealt = {"seed": seed, "folds": "dealt"} if isinstance(folds, (int, np.integer)) else {"folds": "given"}
    attrs = {"probe": probe, **dealt, "positions": int(used.sum()), "library": labels.library}
    return table.dataset(labels.names, labels.kinds, shares, attrs)


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
