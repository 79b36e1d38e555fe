"""What a run has found, in sentences that claim no more than its numbers hold.

Every function takes rows of the findings (one mapping a feature, as `dni_jax.app.report._runfiles.RunFiles` holds them) and
gives words; nothing is read or drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dni_jax.app.report._verdicts import LEVEL, STRANGE, TOLD, Row, has, is_echo, knowledge, use


def known_sentence(row: Row) -> str:
    """Say how well the best neuron tells a feature, and whether that is more than chance."""
    state, neuron = knowledge(row), f"Neuron {row['neurons'][0]}"
    if state == "constant":
        return "It is the same at every character of this text, so there is nothing to know."
    if state == "same":
        return f"Its labels are those of {row['same_as']}, or their opposite: see there."
    if state == "rare":
        folds = f"{row['folds']:.0f} of {row['most_folds']:.0f} folds"
        return f"It is too rare to judge: it both holds and does not in {folds}."
    if state == "weak":
        return f"Hardly known to any single neuron: the best, number {row['neurons'][0]}, has {_scores(row)}."
    if state == "untested":
        return f"{neuron} has {_scores(row)}. Whether that is more than chance was not tested."
    if state == "chance":
        return f"{neuron} has {_scores(row)}, but that may be chance: {p_known(row)}."
    told = f"{neuron} alone tells " + ("how much of it there is" if row["kind"] == "continuous" else "where it holds")
    return f"{told}: {_scores(row)}; {p_known(row)}."


def _scores(row: Row) -> str:
    if row["kind"] == "continuous":
        return f"R² {row['score']:.3f} on unseen text (0 is chance)"
    return (
        f"AUC {row['auc']:.3f} on unseen text (0.5 is chance), accuracy {row['score']:.3f} against "
        f"{row['baseline']:.3f} without looking at any neuron"
    )


def p_known(row: Row) -> str:
    """Give the p-value of the best neuron, with what it is corrected for."""
    p, strict = _strict_p(row)
    return f"{_p(p)}, corrected for the number of neurons{' and features' if strict else ', not of features'}"


def _strict_p(row: Row) -> tuple[float, bool]:
    """Give the p that is corrected for features too if that is still small, else the one corrected for neurons."""
    strict = has(row, "p_global") and row["p_global"] <= LEVEL
    return row["p_global" if strict else "p_family"], strict


def echo_sentence(row: Row) -> str:
    """Say whether the neuron tells more than which character was just read; empty for what is not known."""
    if knowledge(row) not in TOLD:
        return ""
    if "auc_within_symbol" not in row:
        return "Whether it merely echoes the current character was not asked."
    if not has(row, "auc_within_symbol"):
        return "Each character decides by itself whether it holds, so the neuron may merely echo the current character."
    told = "it explains {:.3f} of what varies" if row["kind"] == "continuous" else "its AUC is {:.3f}"
    given = f"Among positions with the same character {told.format(row['auc_within_symbol'])}"
    if is_echo(row):
        return f"{given}: no more than an echo of the current character is shown."
    return f"{given}: more than an echo of the current character."


def untrained_sentence(row: Row) -> str:
    """Say where a neuron of an untrained network does as well; empty where none does, or none was asked."""
    if knowledge(row) not in TOLD or not has(row, "untrained_strength"):
        return ""
    if row["untrained_strength"] < row["strength"] - 0.01:
        return ""
    auc = row["kind"] != "continuous"
    score = f"AUC {(1 + row['untrained_strength']) / 2:.3f}" if auc else f"R² {row['untrained_strength']:.3f}"
    return f"A neuron of an untrained network does as well ({score}), so training need not have brought it about."


def use_sentence(row: Row, k: int, random_sets: int) -> str:
    """Say what silencing the k best neurons does, beside random sets of k; empty where that was not measured."""
    state = use(row)
    if not state:
        return ""
    best = "best neuron" if k == 1 else f"{k} best neurons"
    harm = (
        f"with its {best} held at 0, the loss where it holds changes by {signed(row['effect'])} nats a character "
        f"({random_sets} random sets of {k}: {signed(row['random'])} on average)"
    )
    p = f"{_p(row['p_effect'])}, not corrected for the number of features"
    told = knowledge(row) in TOLD
    leads = {
        "used": "The network uses them",
        "harm": "Silencing does harm, though no neuron is said to know the feature",
        "not shown": "Encoded, but not shown to be used" if told else "Not shown to be used",
    }
    return f"{leads[state]}: {harm}; {p}."


def plausible_sentence(row: Row) -> str:
    """Say how usual the states are that silencing leads to; empty where that was not judged."""
    if not has(row, "percentile"):
        return ""
    said = (
        f"Held so, half of its states are less usual than {100 - row['percentile']:.1f} % of those that it visits by "
        f"itself (by a Gaussian density; left alone, {100 - row['percentile_intact']:.0f} %)"
    )
    strange = row["percentile"] < STRANGE and use(row) in ("used", "harm")
    return f"{said}: part of the harm may come from that strangeness." if strange else f"{said}."


def feature_sentences(row: Row, k: int, random_sets: int) -> list[str]:
    """Say all that was found about one feature."""
    parts = [known_sentence(row), echo_sentence(row), untrained_sentence(row)]
    parts += [use_sentence(row, k, random_sets), plausible_sentence(row)]
    return [part for part in parts if part]


def headline(row: Row, k: int, meaning: str = "") -> str:
    """Say in a sentence or two how well a known feature is told, and what silencing does; `meaning` says what it is."""
    continuous = row["kind"] == "continuous"
    score = f"R² {row['score']:.3f}" if continuous else f"AUC {row['auc']:.3f}"
    asked = f"whether {meaning}" if meaning and not continuous else meaning or "it"
    p = f", {_p(_strict_p(row)[0])}" if has(row, "p_family") else ""
    said = f"Neuron {row['neurons'][0]} alone tells {asked} ({score}{p})."
    if use(row):
        best = "that neuron" if k == 1 else f"the {k} best"
        said += (
            f" Silencing {best} {_change(row['effect'])} where it holds; random sets: {signed(row['random'])} "
            f"({_p(row['p_effect'])})."
        )
    return f"{said} An untrained network has a neuron as good." if untrained_sentence(row) else said


def _change(effect: float) -> str:
    """Say what happens to a loss."""
    return f"{'raises' if effect >= 0 else 'lowers'} the loss by {abs(effect):.3f} nats a character"


class Group(NamedTuple):
    """Findings of one sort: a heading, what it claims and what its p-values are corrected for, the best known rows."""

    state: str
    heading: str
    note: str
    rows: list[Row]
    more: int


def main_findings(rows: Sequence[Row], most: int = 3) -> list[Group]:
    """Sort what is known into what is used, what is not shown to be, what may be an echo; the best known of each."""
    known = [row for row in rows if knowledge(row) == "known"]
    sorts = {
        "used": ("Known and used", [row for row in known if use(row) == "used"]),
        "not shown": ("Known, but not shown to be used", [row for row in known if use(row) == "not shown"]),
        "": ("Known; whether it is used was not tested", [row for row in known if use(row) == ""]),
        "echo": ("Maybe only an echo of the current character", [r for r in rows if knowledge(r) == "echo"]),
        "untested": ("Scored well; by chance or not was not tested", [r for r in rows if knowledge(r) == "untested"]),
    }
    notes = {
        "used": "A neuron tells more than which character was just read, and silencing the best neurons does more harm "
        "where the feature holds than silencing random ones.",
        "not shown": "A neuron tells more than which character was just read, but silencing the best neurons does no "
        "more harm than silencing random ones. What is encoded need not be used.",
        "": "A neuron tells more than which character was just read.",
        "echo": "Among positions with the same character no more than chance is shown, or the character alone decides.",
        "untested": "These scores have no p-value.",
    }
    return [
        Group(state, heading, f"{notes[state]} {p_note(found, bool(state))}".strip(), found[:most], len(found[most:]))
        for state, (heading, found) in sorts.items()
        if found
    ]


def p_note(rows: Sequence[Row], with_use: bool = True) -> str:
    """Say what the p-values of some rows are corrected for."""
    tested = [row for row in rows if has(row, "p_family")]
    said = ""
    if tested:
        strict = all(_strict_p(row)[1] for row in tested)
        said = "The first p is corrected for the number of neurons" + (
            " and features" if strict else ", not of features"
        )
    if with_use and any(use(row) for row in rows):
        said += ("; the second" if said else "The p") + " is not corrected for the number of features"
    return f"{said}." if said else ""


def loss_sentence(summary: Mapping[str, Any], language: str) -> str:
    """Say how well the network predicts, beside the best possible predictor or one that only counts symbols."""
    loss = summary["loss"]
    said = f"On unseen text in {language} the network's loss is {loss:.4f} nats a symbol"
    if has(summary, "ideal"):
        ideal = summary["ideal"]
        return (
            f"{said}. The best possible predictor of this grammar has {ideal:.4f}: the gap is {loss / ideal - 1:.1%}."
        )
    if has(summary, "unigram"):
        unigram = summary["unigram"]
        return (
            f"{said}. A predictor that knows only how frequent each symbol is has {unigram:.4f}; "
            f"the network's loss is {1 - loss / unigram:.0%} below that."
            if loss < unigram
            else f"{said}. A predictor that knows only how frequent each symbol is does as well: {unigram:.4f}."
        )
    return f"{said}."


def counting_sentence(rows: Sequence[Row], k: int) -> str:
    """Say how many features are known, echoed and used, and how many uses chance alone would show."""
    own = [row for row in rows if knowledge(row) not in ("constant", "same")]
    states = [knowledge(row) for row in own]
    known, echo = states.count("known"), states.count("echo")
    if "untested" in states and not known and not echo:
        high = f"{states.count('untested')} are scored well by a neuron (AUC above 0.6 or R² above 0.2)"
        return f"Of {len(own)} features with labels of their own, {high}; whether by chance was not tested."
    said = (
        f"Of {len(own)} features with labels of their own, single neurons know {known} beyond an echo of the current "
        f"character, and {echo} maybe only as such an echo (AUC above 0.6 or R² above 0.2 on unseen text, p at most "
        f"{LEVEL})."
    )
    tested = [row for row in own if use(row) and knowledge(row) in TOLD]
    if not tested:
        return f"{said} Whether the network uses them was not tested."
    used = sum(use(row) == "used" for row in tested)
    return (
        f"{said} The network is shown to use {used} of these {len(tested)}: silencing {_best(k)} harms its predictions "
        f"where the feature holds more than silencing random ones (p at most {LEVEL} each, not corrected for the "
        f"number of features: chance alone would give about {len(tested) * LEVEL:.0f})."
    )


def _best(k: int) -> str:
    return "the best neuron" if k == 1 else f"the {k} best neurons"


def left_out_sentences(rows: Sequence[Row]) -> list[str]:
    """Name the features of which nothing is claimed, and why."""
    words = {
        "weak": "Hardly known to any single neuron",
        "chance": "Scored no better than chance",
        "rare": "Too rare to judge",
        "constant": "The same at every character of this text",
    }
    said = []
    for state, lead in words.items():
        names = [str(row["feature"]) for row in rows if knowledge(row) == state]
        if names:
            said.append(f"{lead}: {', '.join(names)}.")
    same = [f"{row['feature']} as {row['same_as']}" for row in rows if knowledge(row) == "same"]
    if same:
        said.append(f"The same labels, or their opposite: {', '.join(same)}.")
    return said


def sample_sentence(sample: Mapping[str, Any], intact: Mapping[str, Any], random: Row | None) -> str:
    """Say what an override changes most in what the network writes: the share of one class of characters."""
    classes = sorted({*sample["shares"], *intact["shares"]})
    if not classes:
        return ""

    def share(of: Mapping[str, Any], one: str) -> float:
        return float(of["shares"].get(one, 0.0))

    most = max(classes, key=lambda one: abs(share(sample, one) - share(intact, one)))
    beside = "" if random is None else f", {share(random, most):.1%} with one random set held at 1"
    return f"{share(sample, most):.1%} of class {most}; {share(intact, most):.1%} when left alone{beside}."


def signed(value: float) -> str:
    """Write a number with its sign and three decimals."""
    return f"{value:+.3f}".replace("-", "\u2212")


def p_text(p: float) -> str:
    """Write a p-value with three decimals, smaller ones with two digits.

    Examples
    --------
    >>> p_text(0.005), p_text(0.00042)
    ('0.005', '0.00042')
    """
    return f"{p:.3f}" if p >= 0.001 else f"{p:.2g}"


def _p(p: float) -> str:
    return f"p\u00a0=\u00a0{p_text(p)}"
