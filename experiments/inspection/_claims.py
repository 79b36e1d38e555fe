"""Claims a to j of Lin & Wu 2017 on one network: each number beside what it is to be compared with."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import hypergeom, spearmanr

import dni_jax as dni
from dni_jax.models import cross_entropy
from experiments._shared.networks import Case, Plan, ideal_of, kept, loss_text, unseen
from experiments._shared.subjects import both_protocols

LEVELS = [f"depth={level}" for level in range(5)]
RULES = {sign: f"e -> e {sign} e" for sign in "+-*/"} | {"()": "e -> ( e )"}
KS = (1, 5, 10)
MEASURES = {
    "type_accuracy": "class accuracy",
    "type_accuracy_by_symbol": "accuracy of the most probable character's class",
    "symbol_accuracy": "accuracy of the character, given its class,",
}
SHARES: dict[str, Callable[[str], bool]] = {"digit": str.isdigit, "symbol:+": "+".__eq__}


class Row(NamedTuple):
    """One number of one network, and what it is compared with.

    Attributes
    ----------
    claim, what
        The claim's letter, and what is measured.
    value
        Of the neurons that the claim names.
    reference
        Of random sets of neurons (their mean), of chance, of the majority class, or of other features.
    low, high
        The 5th and 95th percentile of the random sets.
    p
        How often random sets do at least as much; the set itself counts as one of them.
    intact
        Of the network without an override.
    """

    claim: str
    what: str
    value: float
    reference: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    intact: float = float("nan")


@dataclass(frozen=True)
class Effort:
    """How much is sampled for one network."""

    scored: int = 10_000
    verified: int = 3_000
    random_sets: int = 32
    texts: int = 32
    length: int = 100

    @property
    def name(self) -> str:
        """Name of the file with the measurements."""
        return "claims-" + "-".join(str(number) for number in vars(self).values())


def against(claim: str, what: str, value: float, random: np.ndarray, intact: float, sign: float = 1.0) -> Row:
    """Compare a value with random sets'; with sign -1, less is more."""
    p = (1 + int((sign * random >= sign * value).sum())) / (1 + len(random))
    low, high = np.quantile(random, [0.05, 0.95])
    return Row(claim, what, float(value), float(random.mean()), float(low), float(high), p, float(intact))


def overlap(orders: np.ndarray, k: int) -> tuple[float, float, float]:
    """Compare the k best neurons of each two features.

    Parameters
    ----------
    orders
        int ``(F, N)``: the neurons of each feature, the best first.
    k
        How many of them.

    Returns
    -------
    How many two features share on average; how many they would share by chance, k * k / N; and the p-value that the
    pair that shares most does so by chance (hypergeometric, times the number of pairs).
    """
    n_neurons = orders.shape[1]
    shared = [len(set(a[:k]) & set(b[:k])) for a, b in itertools.combinations(orders.tolist(), 2)]
    p = len(shared) * float(hypergeom.sf(max(shared) - 1, n_neurons, k, k))
    return float(np.mean(shared)), k * k / n_neurons, min(p, 1.0)


def rank_correlation(scores: np.ndarray) -> float:
    """Return the mean rank correlation of each two columns of scores ``(N, F)``; constant columns have none."""
    pairs = itertools.combinations(scores[:, np.ptp(scores, axis=0) > 0].T, 2)
    return float(np.mean([spearmanr(a, b).statistic for a, b in pairs]))


def expected_distinct(n_neurons: int, n_draws: int) -> float:
    """Return how many different neurons so many independent draws give on average."""
    return n_neurons * (1 - (1 - 1 / n_neurons) ** n_draws)


def _scores(case: Case, names: Sequence[str], model: dni.models.TrainedModel, seed: int) -> tuple[xr.Dataset, ...]:
    """Score a network's neurons by both protocols, leaving out features that are constant in this text."""
    states = dni.record(model, case.scored)
    labels = case.language.features().select(list(names)).label(case.scored)
    labels = labels.select([name for name in labels.names if name not in labels.constant])
    return tuple(found.mean("fold") for found in both_protocols(states.hidden, labels, states.groups, seed))


def nesting_levels(case: Case, seed: int) -> list[Row]:
    """Claims a, b and c. What they are compared with is an untrained network of the same size, or chance."""
    library = case.language.features()
    rules = [name for name in library.names if ":e" in name and "->" not in name]
    names = [*LEVELS, "digit", "parenthesis", *rules]
    untrained = dni.models.TrainedModel.init(case.model.vocabulary, case.model.config)
    found = [_scores(case, names, model, seed) for model in (case.model, untrained)]
    half = [
        (paper["accuracy"] > (1 + paper["baseline"]) / 2).sum("neuron").sel(feature=LEVELS).values for paper, _ in found
    ]
    good = [(ours["auc"] > 0.9).sum("neuron").sel(feature=LEVELS).values for _, ours in found]
    rows = []
    for what, counts in (("neurons half way from the majority to 1", half), ("neurons of AUC > .9", good)):
        rows += [Row("a", f"{what}, {name}", *map(float, pair)) for name, *pair in zip(LEVELS, *counts, strict=True)]
        ends, middle = counts[0][[0, 4]].mean(), counts[0][1:4].mean()
        rows.append(Row("a", f"{what}: levels 0 and 4, against 1 to 3", float(ends), float(middle)))
    paper, ours = found[0]
    for way, scores in (("accuracy", paper["accuracy"]), ("AUC", ours["auc"])):
        table = scores.sel(feature=LEVELS).transpose("neuron", "feature").values
        orders = np.argsort(-table, axis=0, kind="stable").T
        for k in KS:
            rows.append(Row("b", f"shared by the top {k} of two levels, by {way}", *overlap_row(orders, k)))
        distinct = len(set(orders[:, 0].tolist()))
        rows.append(
            Row("b", f"different best neurons of five levels, by {way}", distinct, expected_distinct(len(table), 5))
        )
        rows.append(Row("b", f"rank correlation of two levels' {way}", rank_correlation(table), 0.0))
    for what, share in (("AUC > .9", lambda auc: auc > 0.9), ("AUC < .6", lambda auc: auc < 0.6)):
        values = [float(share(scores["auc"]).mean()) for _, scores in found]
        rows.append(Row("c", f"share of neuron-feature pairs with {what}", *values))
    return rows


def overlap_row(orders: np.ndarray, k: int) -> tuple[float, float, float, float, float]:
    """Return `overlap` in the order of a row's fields."""
    shared, chance, p = overlap(orders, k)
    return shared, chance, float("nan"), float("nan"), p


def arithmetic_rules(case: Case, seed: int) -> list[Row]:
    """Claims d, e and f: a rule's range against its impulse, accuracy against the majority, `*` `/` against `+` `-`."""
    names = ["digit", "parenthesis", *[f"{kind}:{rule}" for rule in RULES.values() for kind in ("range", "impulse")]]
    paper, ours = _scores(case, names, case.model, seed)
    best, base = paper["accuracy"].max("neuron"), paper["baseline"]
    base = base.max("neuron") if "neuron" in base.dims else base
    auc = ours["auc"].max("neuron")
    lift = (best - base) / (1 - base)

    def of(values: xr.DataArray, kind: str, signs: Sequence[str]) -> float:
        return float(np.mean([float(values.sel(feature=f"{kind}:{RULES[sign]}")) for sign in signs]))

    rows = []
    for what, values in (("share of the way from the majority to 1", lift), ("AUC", auc)):
        for signs, said in ((("()",), "( e )"), (tuple("+-*/"), "operators")):
            pair = [of(values, kind, signs) for kind in ("range", "impulse")]
            rows.append(Row("d", f"best {what}, range against impulse: {said}", *pair))
        rows.append(
            Row("f", f"best {what} of ranges: * / against + -", *(of(values, "range", s) for s in ("*/", "+-")))
        )
    for name in ("digit", "parenthesis"):
        rows.append(
            Row(
                "e",
                f"best accuracy for {name}, against the majority",
                *(float(v.sel(feature=name)) for v in (best, base)),
            )
        )
    rows.append(
        Row(
            "f",
            "best accuracy of operators' ranges, against the majority",
            of(best, "range", "+-*/"),
            of(base, "range", "+-*/"),
        )
    )
    return rows


def set_to_one(case: Case, seed: int, effort: Effort) -> list[Row]:
    """Claims g and h: shares of characters in generated text, with the top k of a feature held.

    In the paper's way the neurons that tell the character just read best (by accuracy) are held at 1. The other way
    takes those that tell the character to come best (by AUC), each held at 1 or -1 as it then is; random sets have
    random signs.
    """
    symbols = set(case.model.vocabulary.characters)
    features = [name for name in SHARES if name == "digit" or name[-1] in symbols]
    library = case.language.features().select(features)
    library = library + dni.FeatureLibrary(tuple(library[name].lag(-1) for name in features))
    states = dni.record(case.model, case.scored)
    labels = library.label(case.scored)
    relevance = dni.inspect(states, labels, seed=seed, folds=10)
    rng, n_neurons = np.random.default_rng(seed), case.model.n_neurons
    ones = np.ones(n_neurons)
    ways = {}
    for name in features:
        ahead = labels[f"{name}@+1"] == 1
        sign = np.sign(states.hidden[ahead].mean(0) - states.hidden[~ahead].mean(0))
        ways["at 1", name] = dni.top(relevance, name, k=max(KS), by="score")["neuron"].to_numpy(), ones
        ways["own signs", name] = dni.top(relevance, f"{name}@+1", k=max(KS), by="auc")["neuron"].to_numpy(), sign
    for draw in range(effort.random_sets):
        order = rng.permutation(n_neurons)
        ways["at 1", draw] = order, ones
        ways["own signs", draw] = order, rng.choice([-1.0, 1.0], n_neurons)
    sets = [(way, k, where) for where in ("recurrent", "readout") for way in ways for k in KS]
    held = [
        dni.clamp(ways[way][0][:k].tolist(), ways[way][1][ways[way][0][:k]].tolist(), where=where)
        for way, k, where in sets
    ]
    texts = dni.models.generate_each(case.model, [None, *held], n=effort.texts, length=effort.length, seed=seed)
    boundary = case.model.vocabulary.boundary_text
    found = dict(zip([None, *sets], [count(each, boundary, features) for each in texts], strict=True))
    rows = []
    for name, k, (how, said), where in itertools.product(
        features,
        KS,
        {"at 1": "top {} at 1", "own signs": "top {} for the next one, own signs"}.items(),
        ("recurrent", "readout"),
    ):
        random = np.asarray([found[(how, draw), k, where][name] for draw in range(effort.random_sets)])
        what = f"share of {name}, {said.format(k)}, {where}"
        rows.append(
            against(
                "g" if name == "digit" else "h", what, found[(how, name), k, where][name], random, found[None][name]
            )
        )
    return rows


def count(texts: Sequence[str], boundary: str, features: Sequence[str]) -> dict[str, float]:
    r"""Return the share of each feature's characters in texts, boundaries left out.

    Examples
    --------
    >>> count(["1+1\n", "2"], "\n", ["digit", "symbol:+"])
    {'digit': 0.75, 'symbol:+': 0.25}
    """
    whole = "".join(texts).replace(boundary, "")
    return {name: sum(map(SHARES[name], whole)) / max(len(whole), 1) for name in features}


def neurons_removed(case: Case, seed: int, effort: Effort) -> list[Row]:
    """Claims i and j: how right predictions are without the top k of a feature, or with these driven by its labels."""
    digits = "".join(filter(str.isdigit, case.model.vocabulary.characters))
    others = dict.fromkeys(LEVELS[1:4], digits) if case.language.name == "parentheses" else {"parenthesis": "()"}
    asked = {"digit": digits} | others
    labels = case.language.features().select(list(asked)).label(case.scored)
    relevance = dni.inspect(dni.record(case.model, case.scored), labels, seed=seed, folds=10)

    def effect_of(name: str, **options: Any) -> xr.Dataset:
        shared = {"ks": KS, "n_random": effort.random_sets, "by": "auc", "seed": seed}
        return dni.verify(case.model, case.verified, relevance, name, **shared, **options)

    rows = []
    for name, symbols in asked.items():
        place = "where a digit comes" if symbols == digits else "where a bracket comes"
        for where in ("recurrent", "readout"):
            effect = effect_of(name, where=where, at=symbols)
            rows += _removed("i", f"{place}, without {{}} of {name}, {where}", effect, MEASURES, -1.0)
    rows += _removed("i", "everywhere, without {} of digit, recurrent", effect_of("digit"), MEASURES, -1.0)
    for kind, words in (("oracle", "driven from -1 to 1"), ("fitted", "driven along their own lines")):
        effect = effect_of("digit", intervention=kind)
        rows += _removed("j", f"everywhere, {{}} of digit {words}", effect, list(MEASURES)[:2], 1.0)
    return rows


def _removed(claim: str, what: str, effect: xr.Dataset, measures: Sequence[str], sign: float) -> list[Row]:
    rows = []
    for measure, k in itertools.product(measures, KS):
        one = effect.sel(measure=measure, k=k)
        said = f"{MEASURES[measure]} {what.format(f'top {k}')}"
        rows.append(against(claim, said, float(one["top"]), one["random"].values, float(one["intact"]), sign))
    return rows


def rows_of(case: Case, seed: int, effort: Effort) -> list[Row]:
    """Return everything that is measured on one network; its gap to the best possible loss comes first."""
    gap = cross_entropy(case.model.weights, loss_text(case.language.name)) - ideal_of(case.language.name)
    scored = nesting_levels if case.language.name == "parentheses" else arithmetic_rules
    return [
        Row("gap", "gap", gap, 0.0),
        *scored(case, seed),
        *set_to_one(case, seed, effort),
        *neurons_removed(case, seed, effort),
    ]


def measure(plan: Plan, seed: int, folder: Path, effort: Effort) -> pd.DataFrame:
    """Measure one network, or read what was measured; a network that a kill interrupts is measured again."""
    path = folder / plan.name / str(seed)

    def rows() -> list[dict[str, Any]]:
        parts = unseen(plan.language, effort.scored, effort.verified)
        case = Case(dni.languages.get(plan.language), dni.load(path / "network"), *parts)
        return [row._asdict() for row in rows_of(case, seed, effort)]

    found = pd.DataFrame(kept(path / f"{effort.name}.json", rows))
    gap = float(found.loc[found["claim"] == "gap", "value"].iloc[0])
    return found.assign(**vars(plan), seed=seed, gap=gap)
