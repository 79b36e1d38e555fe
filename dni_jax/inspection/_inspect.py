"""Scores of all neurons for all features, as one labeled dataset."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from dni_jax import devices, processes
from dni_jax.features import Feature, FeatureLibrary, Labels, LazyLabels
from dni_jax.inspection._label_source import as_label_source
from dni_jax.inspection._library_attribute import library_attributes
from dni_jax.inspection._passes import Source, StopRule, run_pass
from dni_jax.inspection._read_plan import at_random, in_order
from dni_jax.inspection._table import FeatureGroup, Table, group_features
from dni_jax.probes import ProbeSpec, as_spec, choose_engine
from dni_jax.states import ChunkedActivations, as_activations
from dni_jax.text import Corpus

_COUNTS = 3 * 2**29  # bytes of counts in one pass, where the caller does not say how many neurons to count
_ERRORS = ("auc_error", "accuracy_error", "r2_error")


def inspect(
    states: Any,
    labels: Any,
    probe: str | ProbeSpec = "svm",
    folds: int | np.ndarray = 20,
    *,
    corpus: Corpus | None = None,
    groups: np.ndarray | None = None,
    metrics: Sequence[str] = ("accuracy", "auc", "r2"),
    seed: int = 0,
    tolerance: float | None = None,
    confidence: float = 0.95,
    **settings: Any,
) -> xr.Dataset:
    """Score how well each neuron alone predicts each feature, cross-validated.

    Binary features are scored with `probe`; continuous ones with ordinary least squares, as in the paper (Lin & Wu
    2017, section 3), or with ridge regression if `probe` is "ridge". With "ols", binary features are scored by R^2 too.

    States on disk (`dni_jax.models.open_states`) or of a network that runs meanwhile (`dni_jax.models.stream`) are read
    chunk by chunk, labeled in a thread, and scored by the binned engine in memory that does not depend on T.

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)`` of any network's states, or ``(M, T, N)`` of M networks'. Positions
        whose ``Activations.mask`` is False are left out. Or ``StoredActivations`` or ``StreamedActivations``.
    labels
        The features' labels on the same T positions: ``Labels``; or what makes them, ``LazyLabels`` (as from
        ``library.label_lazily(corpus)``) or a library, with its `corpus`: with states that come in chunks, labels are
        then made chunk by chunk, too.
    probe
        The name of a probe, or a whole `dni_jax.probes.ProbeSpec`; its `class_weight` holds for binary features.
    folds
        A number of folds, into which whole groups are dealt; or int ``(T,)``: the fold of each position, -1 for
        positions to leave out.
    corpus
        What a library labels; streamed states know theirs.
    groups
        int ``(T,)``: positions that folds must not separate; taken from `states` if they are ``Activations``.
    metrics
        Which scores to keep: those that fit a feature's kind. A `ProbeSpec` with metrics keeps its own.
    seed
        Deals the groups to folds; with a tolerance, also decides the order of reading.
    tolerance
        For states that come in chunks: stop reading when every score of every pair is known to within this much; see
        the notes.
    confidence
        How often, at least, a score on all positions lies within the tolerance of the one returned.
    settings
        Further fields of `dni_jax.probes.ProbeSpec`. With the binned engine, `neuron_batch` and `feature_batch` are how
        many neurons and features are counted in one pass over the states.

    Returns
    -------
    Dataset with dimensions ``(neuron, feature, fold)``: one variable per metric (NaN where the metric does not fit the
    feature's kind), ``score`` (accuracy for binary features, R^2 for continuous ones), and ``baseline``
    ``(feature, fold)``, the score of the majority class or of the mean. The coordinate ``kind`` distinguishes binary
    from continuous features, ``share`` is a feature's mean label. The states of a population give a further dimension,
    ``model``. In ``attrs``, "engine" is that of binary features; "auc_error", "accuracy_error" and "r2_error" are what
    rounding to levels can change (see `dni_jax.probes.score_stream`). With a tolerance, ``score_margin`` and one such
    variable per metric ``(neuron, feature)`` are half-widths of intervals (0 where all was read),
    ``attrs["positions_read"]`` is how much was read, and ``attrs["evaluations"]`` how often scores were evaluated
    before the end.

    Raises
    ------
    ValueError
        For sizes that do not match, states that are not finite, an unknown probe, or more folds than groups.

    Notes
    -----
    The binned engine chooses levels from some 200,000 positions from all over the text; then every chunk is read (or
    computed) and labeled in threads while the one before is counted. With n neurons and f features per pass, memory
    holds

    - counts: ``4 n B K (f + 1)`` bytes for B levels and K folds, and ``8 K n c`` for the c continuous features;
    - levels: ``131,072 n`` bytes for states in half precision, and while they are chosen the sample of at most
      ``200,000 n`` states;
    - chunks: six of ``chunk * n`` states, three of ``chunk * f`` bytes of labels;
    - the text: the corpus, and 12 bytes per position for folds and groups.

    By default n is as large as lets the counts fit into 1.5 GiB. Each pass reads the states once more.

    With a tolerance, folds are made of whole blocks of neighboring strings (some 8,192 positions, 16 or more per fold)
    and blocks are read in random order, equally many from each fold. Each time the amount read has grown by half, each
    pair gets an interval for the score that all positions would give, with the same folds; reading stops when all are
    narrower than the tolerance to each side. The interval is `dni_jax.probes.fold_margin`'s: from the spread between
    folds, corrected for shared training sets, for what is left to read, and for several evaluations. It holds for each
    pair by itself with this confidence, not for all at once. A fold's spread is taken to be at least what one string
    more or less would change. A feature of which one class has not occurred stops nothing; where some folds lack a
    class, reading continues.

    Several processes share the neurons, unless reading may stop early.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> library = dni.languages.get("parentheses").features().select("digit", "depth=1")
    >>> dict(dni.inspect(dni.record(model, corpus), library.label(corpus), folds=5).sizes)
    {'neuron': 8, 'feature': 2, 'fold': 5}
    >>> running = dni.models.stream(model, corpus, chunk=500)
    >>> dict(dni.inspect(running, library, folds=5, n_bins=64).sizes)
    {'neuron': 8, 'feature': 2, 'fold': 5}
    """
    devices.use_all_cores()
    if isinstance(states, (Labels, LazyLabels, FeatureLibrary, Feature)):
        raise ValueError(f"expected states first, got {type(states).__name__}: dni.inspect(states, labels)")
    activations, spec = as_activations(states), as_spec(probe, settings)
    _check(activations, spec, tolerance)
    source = as_label_source(labels, corpus, activations)
    kept = metrics if spec.metrics is None else spec.names
    plan = (in_order if tolerance is None else at_random)(activations, folds, groups, seed)
    stop, n_neurons = None, activations.n_neurons
    # With early stopping every process must stop at the same place, so each reads all neurons.
    own = processes.shard(n_neurons) if tolerance is None else slice(0, n_neurons)
    if tolerance is not None:
        stop = StopRule(tolerance, confidence, activations.n_positions, len(activations.offsets) - 1)
    n_own = own.stop - own.start
    table = Table.empty(n_own, len(source.names), plan.n_folds, kept, with_margins=stop is not None)
    shares, attrs = np.zeros(len(source.names)), dict[str, Any]()
    for features, neurons in _passes(activations, group_features(source.kinds, spec, kept), spec, plan.n_folds, n_own):
        some = source.select(list(source.names[features])) if features != slice(0, len(source.names)) else source
        feature_groups = group_features(some.kinds, spec, kept)
        rows = slice(own.start + neurons.start, own.start + neurons.stop)
        rows = slice(None) if rows == slice(0, n_neurons) else rows
        result = run_pass(Source(activations, some, feature_groups, plan, rows), stop)
        for stats, scores, margins in zip(result.stats, result.scores, result.margins, strict=True):
            table.put(stats.group, scores, margins, neurons, features.start)
            shares[stats.group.columns + features.start] = stats.shares
            _note_largest(attrs, {name: scores.attrs[name] for name in _ERRORS if name in scores.attrs})
            attrs.setdefault("engine", scores.attrs["engine"])
        _note_largest(attrs, {"positions": result.n_used})
        if stop is not None:
            _note_largest(attrs, {"positions_read": result.n_read, "evaluations": result.n_evaluations})
    if n_own < n_neurons:
        table, attrs = table.gathered(n_neurons), _largest_of_all(attrs)
    if attrs["engine"] == "binned":
        attrs["n_bins"] = spec.n_bins
    attrs = {**_about(spec, folds, seed, stop), **attrs, **library_attributes(source.source)}
    return table.dataset(source.names, source.kinds, shares.tolist(), activations, attrs)


def _check(states: ChunkedActivations, spec: ProbeSpec, tolerance: float | None) -> None:
    if spec.several:
        raise ValueError(f"expected one alpha, got {spec.alpha}")
    if not states.in_memory and spec.engine == "exact":
        raise ValueError(
            'expected engine="auto" or "binned" for states that come in chunks, got engine=\'exact\': read the states '
            "into memory with .load() for it"
        )
    if tolerance is not None and states.in_memory:
        raise ValueError(
            f"expected a tolerance only with states that come in chunks (dni_jax.models.open_states or stream), got "
            f"{tolerance} with states in memory, which are all scored"
        )
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"expected a tolerance above 0, or None, got {tolerance}")


def _passes(
    states: ChunkedActivations, groups: Sequence[FeatureGroup], spec: ProbeSpec, n_folds: int, n_neurons: int
) -> list[tuple[slice, slice]]:
    """Return the features and neurons of each pass over the states; exact engines divide their work themselves."""
    n_features = sum(len(group.columns) for group in groups)
    n_positions = states.n_positions if states.in_memory else None
    if all(choose_engine(group.spec, n_positions).name == "exact" for group in groups):
        return [(slice(0, n_features), slice(0, n_neurons))]
    passes = []
    for features in _batches(n_features, spec.feature_batch or n_features):
        fitting = _COUNTS // (4 * spec.n_bins * n_folds * (features.stop - features.start + 1))
        batches = _batches(n_neurons, spec.neuron_batch or max(1, fitting))
        passes += [(features, neurons) for neurons in batches]
    return passes


def _batches(total: int, largest: int) -> list[slice]:
    """Cut an axis into as few parts of at most `largest` as there can be, about equal."""
    count = -(-total // largest)
    bounds = [total * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


def _note_largest(attrs: dict[str, Any], more: dict[str, Any]) -> None:
    """Keep the largest value of all passes."""
    for name, value in more.items():
        attrs[name] = max(attrs.get(name, 0), value)


def _largest_of_all(attrs: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes with the largest errors of all processes."""
    errors = {name: attrs[name] for name in _ERRORS if name in attrs}
    largest = np.max(processes.gather_list(np.asarray(list(errors.values()), np.float64)), axis=0)
    return attrs | dict(zip(errors, largest.tolist(), strict=True))


def _about(spec: ProbeSpec, folds: int | np.ndarray, seed: int, stop: StopRule | None) -> dict[str, Any]:
    """Return the attributes that record the call's settings."""
    about: dict[str, Any] = {"probe": spec.probe}
    if stop is not None:
        about |= {"seed": seed, "folds": "blocks", "tolerance": stop.tolerance, "confidence": stop.confidence}
    elif isinstance(folds, (int, np.integer)):
        about |= {"seed": seed, "folds": "random"}
    else:
        about |= {"folds": "passed"}
    return about
