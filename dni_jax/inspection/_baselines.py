"""Baselines that a score has to beat: an untrained network, a control task, and the current character alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.features import FeatureLibrary, Labels, control_task, draw_control
from dni_jax.inspection._data import check_states, each_kind, load_pair, same_folds
from dni_jax.inspection._inspect import inspect
from dni_jax.inspection._significance import METRIC_OF
from dni_jax.models import CharNetwork, ImportedModel, TrainedModel, record
from dni_jax.probes import direct_scores
from dni_jax.states import Activations, ChunkedActivations, as_activations
from dni_jax.text import Corpus


def baselines(
    relevance: xr.Dataset,
    states: Any,
    labels: Labels,
    corpus: Corpus,
    *,
    model: TrainedModel | ImportedModel | None = None,
    untrained_states: Any = None,
    symbols: Any = None,
    n_controls: int = 3,
    folds: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    **settings: Any,
) -> xr.Dataset:
    """Add the scores of simpler explanations to a relevance dataset; the majority class is there already.

    Parameters
    ----------
    relevance
        From `dni_jax.inspect` on the same states and labels.
    states
        ``Activations``, or an array ``(T, N)``.
    labels
        As for `inspect`; control tasks need their library.
    corpus
        What was recorded and labeled.
    model
        The network. A network of the same shape, with the weights that training started from, is the baseline; for
        an imported network, one of the same architecture with fresh weights.
    untrained_states
        States ``(T, N')`` of an untrained network of your own instead.
    symbols
        int ``(T,)``: the symbol that the network read last at each position, which is held fixed and which control
        tasks label at random. None: what the states say (the token, where tokens are read), or else the character.
    n_controls
        Control tasks per feature, whose scores are averaged; 0 for none.
    folds, groups
        As they were passed to `inspect`; nothing where they were not.
    seed
        Draws the control tasks.
    settings
        Further settings of the probe, as they were passed to `inspect`.

    Returns
    -------
    The dataset with

    - ``auc_within_symbol`` ``(neuron, feature)``: the score with the current symbol held fixed, over all positions.
      For binary features the AUC over pairs of positions with the same symbol, in the direction that the neuron has
      over all (van Elteren 1960); for continuous ones the squared partial correlation given the symbol. A neuron
      that only echoes its input has .5, or 0. NaN where each symbol has a single label;
    - ``control`` and ``selectivity`` ``(neuron, feature)``: the mean score on control tasks, random labels of the
      symbols, and the score less that (Hewitt & Liang 2019). NaN for features named in the attribute ``no_control``,
      whose symbols are too few for another map;
    - with `model` or `untrained_states`, ``untrained`` ``(feature)``, the best untrained neuron's score;
      ``over_untrained`` ``(neuron, feature)``, the score less that; and ``untrained_auc`` ``(feature)``.

    Raises
    ------
    ValueError
        Where the parts do not belong together, or labels do not know their library.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.languages.get("parentheses").features().select("symbol:1", "symbol:2").label(corpus)
    >>> echo = labels.values.astype(np.float64)
    >>> relevance = dni.inspect(echo, labels, "ridge", folds=5, groups=corpus.string_ids)
    >>> relevance = relevance.pipe(dni.baselines, echo, labels, corpus, n_controls=0, groups=corpus.string_ids)
    >>> one = relevance.sel(neuron=1, feature="symbol:2")
    >>> float(one["auc"].mean()), float(one["auc_within_symbol"])
    (1.0, nan)
    """
    read = _symbols(symbols, states, corpus)
    states = as_activations(states)
    hidden, labels, own_groups = load_pair(relevance, states, labels)
    labels.check_corpus(corpus)
    dims = ("neuron", "feature")
    added: dict[str, Any] = {
        "auc_within_symbol": (dims, auc_within_symbol(hidden, labels, corpus if read is None else read))
    }
    attrs: dict[str, Any] = {}
    score = relevance["score"].mean("fold")
    again = {"probe": relevance.attrs["probe"], "folds": same_folds(relevance, folds), **settings}
    again |= {"groups": groups, "seed": relevance.attrs.get("seed", 0)}
    if n_controls:
        control, without = _control(states, labels, corpus, read, n_controls, seed, again)
        added |= {"control": (dims, control), "selectivity": (dims, score.values - control)}
        attrs["no_control"] = without
    if model is not None and untrained_states is None:
        untrained_states = _untrained(model, corpus)
    if untrained_states is not None:
        check_states(untrained_states, labels)
        if again["groups"] is None:
            again["groups"] = own_groups
        theirs = inspect(untrained_states, labels, **again).mean("fold").max("neuron")
        added |= {"untrained": theirs["score"], "untrained_auc": theirs["auc"]}
        added["over_untrained"] = (dims, (score - theirs["score"]).transpose(*dims).values)
    return relevance.assign(added).assign_attrs(attrs)


def _untrained(model: TrainedModel | ImportedModel, corpus: Corpus) -> Activations:
    """Return the states of a network of the same shape that was never trained."""
    if isinstance(model, ImportedModel):
        return record(model.untrained(), corpus)
    if model.config is not None:
        return record(TrainedModel.init(model.vocabulary, model.config), corpus)
    weights = model.weights
    sizes, cell = tuple(weights.sizes), weights.cell
    twin = CharNetwork.init(len(model.vocabulary), sizes, cell, weights.matmul_dtype)
    return record(TrainedModel(twin, model.vocabulary, boundary=model.boundary), corpus)


def _symbols(symbols: Any, states: Any, corpus: Corpus) -> Int[np.ndarray, " T"] | None:
    """Return the symbol read at each position as codes from 0; None: the character."""
    if symbols is None:
        symbols = states.symbols if isinstance(states, (Activations, ChunkedActivations)) else None
    if symbols is None:
        return None
    symbols = np.asarray(symbols)
    if symbols.shape != (corpus.n_positions,) or symbols.dtype.kind not in "iu":
        raise ValueError(
            f"expected symbols as integers ({corpus.n_positions},), one for each position, got {symbols.dtype} of "
            "shape "
            f"{symbols.shape}"
        )
    return np.unique(symbols, return_inverse=True)[1]


def auc_within_symbol(
    hidden: np.ndarray, labels: Labels, source: Corpus | Int[np.ndarray, " T"]
) -> Float[np.ndarray, "N F"]:
    """Score with the current symbol held fixed: the character of a corpus, or the symbols passed; see `baselines`."""
    codes = source.flat_codes if isinstance(source, Corpus) else source
    used, symbols = labels.mask, codes[labels.mask]
    result = np.full((hidden.shape[1], len(labels)), np.nan)
    for kind, columns, matrix in each_kind(labels):
        metric, values = METRIC_OF[kind], matrix[used]
        within = direct_scores(hidden[used], values, metric, symbols)
        if kind == "continuous":
            result[:, columns] = within**2
        else:
            falls = direct_scores(hidden[used], values, metric) < 0.5
            result[:, columns] = np.where(falls, 1 - within, within)
    return result


def _control(
    states: Any,
    labels: Labels,
    corpus: Corpus,
    symbols: Int[np.ndarray, " T"] | None,
    n_controls: int,
    seed: int,
    again: dict[str, Any],
) -> tuple[Float[np.ndarray, "N F"], list[str]]:
    """Return the mean score of every neuron on each feature's control tasks, and the features that have none."""
    if symbols is not None:
        return _control_of_symbols(states, labels, symbols, n_controls, seed, again)
    if not isinstance(labels.library, FeatureLibrary):
        raise ValueError(
            "expected labels that know their library for control tasks, got labels without one: make them with "
            "library.label(corpus), or pass n_controls=0"
        )
    library = labels.library.select(list(labels.names))
    tasks = [_tasks(library, corpus, seed + number) for number in range(n_controls)]
    without = sorted(set(labels.names) - set(tasks[0]))
    total = np.full((check_states(states, labels).shape[1], len(labels)), np.nan)
    columns = [labels.index(name) for name in tasks[0]]
    if not columns:
        return total, without
    features = FeatureLibrary(
        tuple(task.rename(f"{number}:{name}") for number, some in enumerate(tasks) for name, task in some.items())
    )
    scores = inspect(states, _masked(features.label(corpus), labels), **again)["score"].mean("fold").values
    total[:, columns] = scores.reshape(len(scores), n_controls, len(columns)).mean(1)
    return total, without


def _control_of_symbols(
    states: Any,
    labels: Labels,
    symbols: Int[np.ndarray, " T"],
    n_controls: int,
    seed: int,
    again: dict[str, Any],
) -> tuple[Float[np.ndarray, "N F"], list[str]]:
    """Return the same for labels of the symbols that the network reads."""
    used, n_codes = labels.mask, int(symbols.max()) + 1
    total = np.full((check_states(states, labels).shape[1], len(labels)), np.nan)
    columns: list[np.ndarray] = []
    places: list[int] = []
    for place, (name, kind, column) in enumerate(zip(labels.names, labels.kinds, labels.columns, strict=True)):
        try:
            drawn = [
                draw_control(name, kind, column[used], symbols[used], n_codes, seed + number)
                for number in range(n_controls)
            ]
        except ValueError:  # too few symbols for a map that is not the feature itself
            continue
        columns += [table.astype(column.dtype)[symbols] for table in drawn]
        places.append(place)
    without = sorted(set(labels.names) - {labels.names[place] for place in places})
    if places:
        names = tuple(f"{number}:{labels.names[place]}" for place in places for number in range(n_controls))
        kinds = tuple(labels.kinds[place] for place in places for _ in range(n_controls))
        tasks = Labels(names, kinds, tuple(columns), used)
        scores = inspect(states, tasks, **again)["score"].mean("fold").values
        total[:, places] = scores.reshape(len(scores), len(places), n_controls).mean(2)
    return total, without


def _tasks(library: FeatureLibrary, corpus: Corpus, seed: int) -> dict[str, Any]:
    """Return a control task for each feature that has one, by the feature's name."""
    tasks = {}
    for feature in library:
        try:
            tasks[feature.name] = next(iter(control_task(feature, corpus, seed)))
        except ValueError:  # too few symbols for a map that is not the feature itself
            continue
    return tasks


def _masked(control: Labels, labels: Labels) -> Labels:
    return replace(control, mask=control.mask & labels.mask)
