"""Does the network use the neurons that know a feature? They are overridden, and compared with random neurons."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from dni_jax.features import FeatureLibrary, Labels
from dni_jax.inspection import find_library, rankings
from dni_jax.models import ImportedModel, StateGaussian, TrainedModel, make_output_task, record
from dni_jax.probes import string_weights
from dni_jax.states import Activations
from dni_jax.text import Corpus, check_corpus
from dni_jax.verification._measures import (
    LOSSES,
    MEASURES,
    Sums,
    Values,
    group_sums,
    holds_before,
    means_of,
)
from dni_jax.verification._outputs import NextSymbolTask, Task, choose_outputs, choose_positions
from dni_jax.verification._overrides import FEWEST_SETS, INTERVENTIONS, Sets, intervene, neuron_sets
from dni_jax.verification._plausible import Density, check_density, plausibility_variables

_BOOTSTRAP = 500
_SIZES = (1, 5, 10)
_INTERVAL = (0.025, 0.975)


def verify(
    model: TrainedModel | ImportedModel,
    corpus: Corpus,
    relevance: xr.Dataset,
    features: str | Sequence[str],
    ks: Sequence[int] | None = None,
    n_random: int = 64,
    *,
    intervention: str = "ablate",
    value: float = 1.0,
    where: str = "recurrent",
    match: str | None = "variance",
    by: str = "score",
    labels: Labels | FeatureLibrary | None = None,
    density: Density | None = None,
    at: Any = None,
    outputs: Any = None,
    targets: Any = None,
    seed: int = 0,
) -> xr.Dataset:
    """Override the k best neurons of a feature, the k worst, and random sets of k, and measure the predictions.

    Parameters
    ----------
    model
        The network.
    corpus
        What it reads; text it was not trained on.
    relevance
        From `dni_jax.inspect`; ranks the neurons.
    features
        The name of one feature, or several names.
    ks
        Sizes of the sets. Default: 1, 5 and 10, up to the number of neurons.
    n_random
        Number of random sets of each size: different ones, and none that is the best set itself. Where fewer exist, all
        of them are taken: a network of 20 neurons has 19 other sets of one.
    intervention
        ``"ablate"``: held at 0 (the paper's Rm-Neuron); ``"mean"``: at their means over the corpus; ``"resample"``:
        given the values of another position; ``"clamp"``: held at `value`; ``"oracle"``: driven by the feature's labels
        of the character just read, from -1 to 1 (Lin & Wu 2017, section 4); ``"fitted"``: the same along each neuron's
        own line, with its own sign and scale.
    value
        For clamp.
    where
        ``"recurrent"`` (the change is carried on through time) or ``"readout"`` (only the prediction sees it).
    match
        ``"variance"``: random sets hold as many neurons of each variance as the best ones do, so that ``p`` does not
        reflect how active neurons are; each feature has its own. Neurons are alike in strata of 16, or of 32,
        64, ... where those of 16 leave too few sets for a p of .05, as with k = 1. None: drawn among all
        neurons, and shared by the features, which is faster for many.
    by
        The score that ranks neurons.
    labels
        The features on this corpus, or the library that labels it; needed where `relevance` no longer holds its
        library (after reading it from disk).
    density
        From `dni.plausibility`, of this network's states: how plausible the overridden states are. They are judged on
        256 positions among the corpus' first 4,000 characters.
    at
        Where to measure: the symbols to be predicted (a string of characters, or a list of symbols), or bool ``(T,)``.
        An effect that is large at a few positions disappears in the mean over all. None: everywhere.
    outputs
        Whose probability ``class_probability`` is: symbols (a string, or a list), or numbers of a network's outputs.
        None: the class for which the feature holds most often.
    targets
        For an imported network whose output is not the next symbol: the wanted outputs, as codes ``(T,)`` for each
        symbol or ``(S, *x)`` for each string (-1 where none is wanted), or as values ``(T, C)`` of a regression;
        ``"own"``: what the intact network's outputs are. An output for each string belongs to the string's last
        character, and the feature holds there if it holds anywhere in the string.
    seed
        Draws the random sets and the bootstrap.

    Returns
    -------
    Dataset with dimensions ``(feature, k, draw, measure)`` (without `feature` if a single name was given). Measures:
    ``type_accuracy``, how often the class of characters (digit, parenthesis, ...) with the largest total probability is
    that of the character that comes; ``symbol_accuracy``, how often this character is the most probable one of its
    class (which digit, given that a digit comes); ``loss``, nats per character; ``class_probability``, the probability
    of the class of characters for which the feature holds most often (coordinate ``symbols``). Each of these four also
    exists over some of the characters to be predicted: those that the feature holds for (``accuracy_on``,
    ``symbol_accuracy_on``, ``loss_on``, ``class_probability_on``), the others (``_off``), and those after a character
    that it holds for, so that it holds for the character just read (``_after``). A continuous feature holds above the
    middle of its range. ``type_accuracy_by_symbol`` is the accuracy of the single most probable character's class: ten
    equally likely digits lose to one bracket, so that it can be 0 where a digit comes, before anything is overridden.
    ``distance``, how far the states are from those of the intact network (Mahalanobis over the square root of N; 1 is
    usual). Variables:

    - ``intact``: without override; ``top`` and ``bottom`` ``(feature, k, measure)``, ``random`` ``(feature, k, draw,
      measure)``;
    - ``top_effect`` and ``bottom_effect``: less intact, with ``top_effect_low`` and ``top_effect_high``, the 95 %
      interval by a bootstrap over strings (files, for text);
    - ``random_effect`` (mean over draws), ``random_effect_low`` and ``random_effect_high`` (the draws' 2.5th and
      97.5th percentile);
    - ``p`` ``(feature, k, measure)``: share of random sets that harm at least as much, the top set counted in; and
      ``p_differs``: share that lie at least as far from the mean of all sets, on either side; ``p_smallest``
      ``(feature, k)``: the least that both can be, 1 / (1 + number of random sets). Where fewer than `n_random` exist,
      the others' values in ``random`` are NaN;
    - ``neurons`` ``(feature, k, place)``: the neurons overridden, -1 after the k-th;
    - with a density, ``percentile_top`` and ``percentile_bottom`` ``(feature, k)``: the median state's percentile among
      visited ones (about 50 is usual, 0 is like none of them); ``percentile_random``, its mean over the first 8 draws;
      ``percentile_intact``; and the same four of ``log_density``, in nats.

    Raises
    ------
    ValueError
        For k above the number of neurons, an unknown feature, intervention or match, or labels that do not fit.

    Warns
    -----
    UserWarning
        Where fewer random sets exist than were asked for, and too few for a p of .05.

    Examples
    --------
    >>> import dni_jax as dni
    >>> language = dni.languages.get("parentheses")
    >>> corpus = language.sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> labels = language.features().select("digit", "depth=1").label(corpus)
    >>> relevance = dni.inspect(dni.record(model, corpus), labels, folds=5)
    >>> effect = dni.verify(model, corpus, relevance, "digit", ks=(1, 3), n_random=4)
    >>> effect["top_effect"].sel(k=3, measure="loss_on").shape, dict(effect.sizes)["draw"]
    ((), 4)
    """
    names = [features] if isinstance(features, str) else list(features)
    check_corpus(corpus)
    check_network(model)
    ks = [k for k in _SIZES if k <= model.n_neurons] if ks is None else ks
    check_request(names, ks, n_random, intervention, match, model.n_neurons)
    check_density(density, model.n_neurons)
    if relevance.sizes["neuron"] != model.n_neurons:
        raise ValueError(
            f"expected a relevance of this model's {model.n_neurons} neurons, got one of {relevance.sizes['neuron']}: "
            "pass what dni.inspect found in the states of this model"
        )
    # Labels first: cut as the network reads it, the text would give other labels to a procedure or a lag.
    selected = _labels(relevance, labels, corpus).select(names)
    task: Task
    if isinstance(model, TrainedModel):
        if targets is not None:
            raise ValueError("expected targets= only with an ImportedModel, got it with a TrainedModel: omit it")
        corpus = model.encode(corpus)
        task = NextSymbolTask.of(model, corpus)
    else:
        task = make_output_task(model, corpus, targets)
        if model.readout is not None and model.readout.per == "string":
            selected = _of_strings(selected, corpus)
    place = choose_positions(task, corpus, at)
    orders = rankings(relevance, names, by)
    states = record(model, corpus)
    seen = states.hidden if states.mask is None else states.hidden[states.mask]
    request = _Request(
        model,
        corpus,
        states,
        StateGaussian.fit(seen),
        ks,
        n_random,
        intervention,
        value,
        where,
        match,
        density,
        task,
        place,
        outputs,
        seed,
    )
    alone = match is not None or intervention in ("oracle", "fitted")
    jobs = [[place] for place in range(len(names))] if alone else [list(range(len(names)))]
    parts = [_effects(request, selected.select([names[n] for n in job]), orders[job]) for job in jobs]
    dataset = parts[0] if len(parts) == 1 else xr.concat(parts, "feature", data_vars="all")
    _warn_of_few_sets(dataset, n_random)
    about = {"intervention": intervention, "characters": corpus.n_positions, "n_random": n_random}
    dataset = dataset.assign_attrs(**about, match=match or "none", where=where)
    return dataset.isel(feature=0) if isinstance(features, str) else dataset


class _Request(NamedTuple):
    """What is verified, apart from the features."""

    model: TrainedModel | ImportedModel
    corpus: Corpus
    states: Activations
    gaussian: StateGaussian
    ks: Sequence[int]
    n_random: int
    intervention: str
    value: float
    where: str
    match: str | None
    density: Density | None
    task: Task
    at: Bool[np.ndarray, " T"]
    outputs: Any
    seed: int


def check_network(model: Any) -> None:
    """Raise a ValueError unless the model is a network that can be verified."""
    if not isinstance(model, (TrainedModel, ImportedModel)):
        hint = "pass the network first: dni.verify(model, corpus, relevance, ...)"
        raise ValueError(f"expected a network that dni_jax runs itself, got {type(model).__name__}: {hint}")


def check_request(
    names: list[str], ks: Sequence[int], n_random: int, intervention: str, match: str | None, n_neurons: int
) -> None:
    """Raise a ValueError for a request that cannot be verified; see `verify`."""
    if not names:
        raise ValueError("expected at least one feature to verify, got none")
    if not ks or min(ks) < 1 or max(ks) > n_neurons or list(ks) != sorted(set(ks)):
        raise ValueError(f"expected growing ks from 1 to {n_neurons} (the number of neurons), got {tuple(ks)}")
    if n_random < 1:
        raise ValueError(f"expected n_random of at least 1, got {n_random}")
    if intervention not in INTERVENTIONS:
        raise ValueError(f"expected intervention to be one of {INTERVENTIONS}, got {intervention!r}")
    if match not in ("variance", None):
        raise ValueError(f"expected match='variance' or None, got {match!r}")


def _labels(relevance: xr.Dataset, labels: Labels | FeatureLibrary | None, corpus: Corpus) -> Labels:
    source = find_library(relevance.attrs) if labels is None else labels
    if source is None:
        raise ValueError("expected labels=library.label(corpus) with a relevance that was read from disk, got none")
    made = source.label(corpus) if isinstance(source, FeatureLibrary) else source
    if len(made.mask) != corpus.n_positions:
        raise ValueError(f"expected labels of the corpus' {corpus.n_positions} positions, got {len(made.mask)}")
    return made


def _of_strings(labels: Labels, corpus: Corpus) -> Labels:
    """Return labels that hold at a string's last character if they hold anywhere in the string."""
    last = corpus.offsets[1:] - 1
    columns = []
    for column in labels.columns:
        whole = np.array(column)
        highest = np.maximum.reduceat(np.where(labels.mask, column, -np.inf), corpus.offsets[:-1])
        whole[last] = np.where(np.isfinite(highest), highest, 0).astype(whole.dtype)
        columns.append(whole)
    mask = np.array(labels.mask)
    mask[last] = np.logical_or.reduceat(labels.mask, corpus.offsets[:-1])
    return replace(labels, columns=tuple(columns), mask=mask)


def feature_holds(column: np.ndarray) -> Bool[np.ndarray, " T"]:
    """Return where a feature holds: at label 1, or above the middle of a continuous feature's range."""
    return column > (float(column.min()) + float(column.max())) / 2


def _effects(request: _Request, labels: Labels, orders: Int[np.ndarray, "F N"]) -> xr.Dataset:
    """Measure some features, whose sets go through the network in one call."""
    model, corpus, states, ks = request.model, request.corpus, request.states, request.ks
    seen = states.hidden if states.mask is None else states.hidden[states.mask]
    variances = None if request.match is None else seen.var(axis=0)
    sets = neuron_sets(orders, ks, request.n_random, variances, request.seed)
    signal = labels.columns[0].astype(np.float32)
    change = intervene(
        request.intervention, states, signal, value=request.value, where=request.where, seed=request.seed
    )
    overrides = change.bind(model.n_neurons, corpus.n_positions, model.parts, sets=sets.masks)
    held = [feature_holds(column) & labels.mask for column in labels.columns]
    task = request.task
    main_types, classes, type_names = choose_outputs(task, held, request.outputs)
    outcome = task.measure(overrides, classes, request.gaussian)
    counted = outcome.measured & labels.mask & request.at
    if not counted.any():
        raise ValueError(
            "expected positions that are predicted and labeled among those that at= names, got none: is a symbol "
            "missing in this text?"
        )
    groups = corpus.position_groups
    draw = string_weights(len(np.unique(groups)), _BOOTSTRAP, request.seed)
    used = sorted(set(main_types))
    probabilities = [outcome.class_probability[..., which].astype(np.float64) for which in used]
    for which, probability in zip(used, probabilities, strict=True):
        if not classes[:, which].any():  # no class to measure: a regression, or several places of a string
            probability[:] = np.nan
    of_class = [used.index(main) for main in main_types]
    measured = {name: getattr(outcome, name) for name in Values._fields} | {"class_probability": probabilities[0]}
    holds = np.asarray(held)
    after = holds_before(holds, corpus.offsets)
    means = means_of(Values(**measured), probabilities, of_class, counted, holds, after)
    found = []
    for place, probability in enumerate(probabilities[number] for number in of_class):
        first = np.concatenate([[0], sets.top[place]])
        values = Values(**{name: each[first] for name, each in (measured | {"class_probability": probability}).items()})
        sums = group_sums(values, counted, holds[place], after[place], groups)
        each = {name: means[place, rows] for name, rows in _rows(sets, place).items()}
        each["random"] = np.where(sets.random[place][..., None] >= 0, each["random"], np.nan)
        found.append(each | _intervals(sums, draw))
    arrays = {name: np.stack([each[name] for each in found]) for name in found[0]}
    dataset = _dataset(arrays, sets.n_random, orders, labels.names, ks).assign_coords(
        symbols=("feature", [type_names[n] for n in main_types])
    )
    if request.density is None:
        return dataset
    return dataset.assign(plausibility_variables(request.density, model, corpus, change, sets))


def _rows(sets: Sets, place: int) -> dict[str, Any]:
    """Return the rows of the sets of one feature's variables."""
    return {"intact": 0, "top": sets.top[place], "bottom": sets.bottom[place], "random": sets.random[place]}


def _intervals(sums: Sums, draw: np.ndarray) -> dict[str, np.ndarray]:
    """Return the interval of the top sets' effects, from the sums of the intact network and of the top sets."""
    resampled = sums.resampled(draw)
    effect = resampled[:, 1:] - resampled[:, :1]
    low, high = np.full((2, *effect.shape[1:]), np.nan)
    usable = ~np.isnan(effect).all(axis=0)
    if usable.any():
        some = effect[:, usable]
        quantile = np.nanquantile if np.isnan(some).any() else np.quantile  # the latter is many times as fast
        low[usable], high[usable] = quantile(some, _INTERVAL, axis=0)
    return {"low": low, "high": high}


def _warn_of_few_sets(dataset: xr.Dataset, n_random: int) -> None:
    """Warn where so few other sets exist that no p can be small."""
    n_sets = (1 / dataset["p_smallest"].fillna(1.0) - 1).round().astype(int).min("feature")
    few = [(int(k), int(n)) for k, n in zip(n_sets["k"].values, n_sets.values, strict=True)]
    few = [(k, n) for k, n in few if n < min(n_random, FEWEST_SETS)]
    if few:
        found = "; ".join(
            f"{n} other sets of {k}, p is at least {1 / (1 + n):.2g}" if n else f"no other set of {k}, no p"
            for k, n in few
        )
        warnings.warn(
            f"fewer sets exist to compare the best neurons with than n_random={n_random}, and too few for a p of .05: "
            f'{found}. Try another k, or, with match="variance", match=None, which draws among all neurons',
            UserWarning,
            stacklevel=3,
        )


def _dataset(
    arrays: dict[str, np.ndarray],
    n_random: Int[np.ndarray, "F K"],
    orders: np.ndarray,
    names: Sequence[str],
    ks: Sequence[int],
) -> xr.Dataset:
    intact, top, random = arrays["intact"], arrays["top"], arrays["random"]
    harm = np.asarray([1.0 if measure in LOSSES else -1.0 for measure in MEASURES])
    change = random - intact[:, None, None]
    at_least = (harm * random >= harm * top[:, :, None] - 1e-12).sum(axis=2)
    # NaN draws of sets that do not exist count nowhere.
    exists = np.arange(random.shape[2]) < n_random[..., None]
    n_sets = 1.0 + n_random[..., None]
    middle = (np.where(exists[..., None], random, 0.0).sum(axis=2) + top) / n_sets
    as_far = (np.abs(random - middle[:, :, None]) >= np.abs(top - middle)[:, :, None] - 1e-12).sum(axis=2)
    low, high = _draws_interval(change, exists)
    neurons = np.full((len(names), len(ks), max(ks)), -1)
    for column, k in enumerate(ks):
        neurons[:, column, :k] = orders[:, :k]

    def p_value(count: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(top) | (n_sets == 1), np.nan, (1 + count) / n_sets)

    one, many = ("feature", "k", "measure"), ("feature", "k", "draw", "measure")
    totals = np.where(exists[..., None], change, 0.0).sum(axis=2)
    variables: dict[str, Any] = {
        "intact": (("feature", "measure"), intact),
        "top": (one, top),
        "bottom": (one, arrays["bottom"]),
        "random": (many, random),
        "top_effect": (one, top - intact[:, None]),
        "top_effect_low": (one, arrays["low"]),
        "top_effect_high": (one, arrays["high"]),
        "bottom_effect": (one, arrays["bottom"] - intact[:, None]),
        "random_effect": (one, np.where(n_sets == 1, np.nan, totals / np.maximum(n_sets - 1, 1))),
        "random_effect_low": (one, low),
        "random_effect_high": (one, high),
        "p": (one, p_value(at_least)),
        "p_differs": (one, p_value(as_far)),
        "p_smallest": (("feature", "k"), np.where(n_random > 0, 1 / (1 + n_random), np.nan)),
        "neurons": (("feature", "k", "place"), neurons),
    }
    return xr.Dataset(variables, coords={"feature": list(names), "k": list(ks), "measure": list(MEASURES)})


def _draws_interval(
    change: Float[np.ndarray, "F K R X"], exists: Bool[np.ndarray, "F K R"]
) -> tuple[Float[np.ndarray, "F K X"], Float[np.ndarray, "F K X"]]:
    """Return the interval of the draws that exist."""
    if exists.all():
        low, high = np.quantile(change, _INTERVAL, axis=2)
        return low, high
    found = np.full((2, *change.shape[:2], change.shape[3]), np.nan)
    for place in zip(*np.nonzero(exists.any(axis=2)), strict=True):
        found[:, *place] = np.quantile(change[place][exists[place]], _INTERVAL, axis=0)
    return found[0], found[1]
