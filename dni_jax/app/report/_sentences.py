"""The findings of a run in sentences that claim no more than the numbers support.

The functions take rows of `RunFiles.findings`, one mapping per feature, and return text. They read and draw nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dni_jax.app.report._verdicts import ATYPICAL, LEVEL, PREDICTED, Row, has, is_echo, knowledge, use


def known_sentence(row: Row) -> str:
    """Say how well the best neuron predicts a feature, and whether that is better than chance."""
    state, neuron = knowledge(row), f"Neuron {row['neurons'][0]}"
    if state == "constant":
        return "Its label is the same at every character of this text, so there is nothing to predict."
    if state == "same":
        return f"Its labels are those of {row['same_as']}, or the opposite; see that feature."
    if state == "rare":
        folds = f"{row['folds']:.0f} of {row['most_folds']:.0f} folds"
        return f"It is too rare to judge: only {folds} contain both characters where it holds and others."
    if state == "weak":
        return f"No single neuron predicts it well: the best one, neuron {row['neurons'][0]}, has {_scores(row)}."
    if state == "untested":
        return f"{neuron} has {_scores(row)}. Whether that is better than chance was not tested."
    if state == "chance":
        return f"{neuron} has {_scores(row)}, but that may be chance: {known_p_value(row)}."
    object_ = "its value" if row["kind"] == "continuous" else "where it holds"
    return f"{neuron} alone predicts {object_}: {_scores(row)}; {known_p_value(row)}."


def _scores(row: Row) -> str:
    if row["kind"] == "continuous":
        return f"R² {row['score']:.3f} on unseen text (0 is chance)"
    return (
        f"AUC {row['auc']:.3f} on unseen text (0.5 is chance), accuracy {row['score']:.3f} compared with "
        f"{row['baseline']:.3f} without any neuron"
    )


def known_p_value(row: Row) -> str:
    """Return the p-value of the best neuron, and what it is corrected for."""
    p, strict = _strictest_p(row)
    return f"{_p(p)}, corrected for the number of neurons {'and features' if strict else 'but not of features'}"


def _strictest_p(row: Row) -> tuple[float, bool]:
    """Return the p-value corrected for neurons and features if it is significant, else the one for neurons only."""
    strict = has(row, "p_global") and row["p_global"] <= LEVEL
    return row["p_global" if strict else "p_family"], strict


def echo_sentence(row: Row) -> str:
    """Say whether the neuron predicts more than the current character does; empty unless it predicts the feature."""
    if knowledge(row) not in PREDICTED:
        return ""
    if "auc_within_symbol" not in row:
        return "Whether it merely echoes the current character was not tested."
    if not has(row, "auc_within_symbol"):
        return "The current character alone determines this feature, so the neuron may merely echo it."
    within = row["auc_within_symbol"]
    score = f"it explains {within:.3f} of the variance" if row["kind"] == "continuous" else f"its AUC is {within:.3f}"
    verdict = "not shown to be more than" if is_echo(row) else "more than"
    return f"Among positions with the same character, {score}: {verdict} an echo of the current character."


def untrained_sentence(row: Row) -> str:
    """Say that a neuron of an untrained network is as good; empty if none is, or if that was not measured."""
    if knowledge(row) not in PREDICTED or not has(row, "untrained_strength"):
        return ""
    if row["untrained_strength"] < row["strength"] - 0.01:
        return ""
    auc = row["kind"] != "continuous"
    score = f"AUC {(1 + row['untrained_strength']) / 2:.3f}" if auc else f"R² {row['untrained_strength']:.3f}"
    return f"A neuron of an untrained network is as good ({score}), so training may not be the cause."


def use_sentence(row: Row, k: int, random_sets: int) -> str:
    """Say what setting the k best neurons to 0 does, compared with random sets of k; empty if it was not measured."""
    state = use(row)
    if not state:
        return ""
    best = "best neuron" if k == 1 else f"{k} best neurons"
    effect = (
        f"with its {best} set to 0, the loss where it holds changes by {signed(row['effect'])} nats per character "
        f"({random_sets} random sets of {k}: {signed(row['random'])} on average)"
    )
    leads = {
        "used": f"The network uses {'it' if k == 1 else 'them'}",
        "harm": "Setting neurons to 0 does harm, although no neuron is shown to know the feature",
        "not shown": "Encoded, but not shown to be used" if knowledge(row) in PREDICTED else "Not shown to be used",
    }
    return f"{leads[state]}: {effect}; {_p(row['p_effect'])}, not corrected for the number of features."


def plausible_sentence(row: Row) -> str:
    """Say how typical the states are that setting neurons to 0 leads to; empty if that was not measured."""
    if not has(row, "percentile"):
        return ""
    typical = (
        f"The median state is then less typical than {100 - row['percentile']:.1f} % of the states that the network "
        f"visits by itself (by a Gaussian density; without the intervention, {100 - row['percentile_intact']:.0f} %)"
    )
    atypical = row["percentile"] < ATYPICAL and use(row) in ("used", "harm")
    return f"{typical}: such atypical states may cause part of the harm." if atypical else f"{typical}."


def feature_sentences(row: Row, k: int, random_sets: int) -> list[str]:
    """Return all that was found about one feature, a sentence or two for each question."""
    sentences = [known_sentence(row), echo_sentence(row), untrained_sentence(row)]
    sentences += [use_sentence(row, k, random_sets), plausible_sentence(row)]
    return [sentence for sentence in sentences if sentence]


def headline(row: Row, k: int, meaning: str = "") -> str:
    """Summarize a known feature in a sentence or two; `meaning` says in words what the feature is."""
    continuous = row["kind"] == "continuous"
    score = f"R² {row['score']:.3f}" if continuous else f"AUC {row['auc']:.3f}"
    object_ = f"whether {meaning}" if meaning and not continuous else meaning or "it"
    p = f", {_p(_strictest_p(row)[0])}" if has(row, "p_family") else ""
    summary = f"Neuron {row['neurons'][0]} alone predicts {object_} ({score}{p})."
    if use(row):
        best = "that neuron" if k == 1 else f"the {k} best neurons"
        change = f"{'raises' if row['effect'] >= 0 else 'lowers'} the loss by {abs(row['effect']):.3f}"
        summary += (
            f" Setting {best} to 0 {change} nats per character where it holds; random sets on average: "
            f"{signed(row['random'])} ({_p(row['p_effect'])})."
        )
    return f"{summary} A neuron of an untrained network is as good." if untrained_sentence(row) else summary


class Group(NamedTuple):
    """Findings that support the same claim: a heading, a note on the claim and its p-values, the best known rows."""

    state: str
    heading: str
    note: str
    rows: list[Row]
    more: int


def main_findings(rows: Sequence[Row], most: int = 3) -> list[Group]:
    """Group known features by use, then those that may be echoes or were not tested; show the `most` best of each."""
    known = [row for row in rows if knowledge(row) == "known"]
    groups = {
        "used": ("Known and used", [row for row in known if use(row) == "used"]),
        "not shown": ("Known, but not shown to be used", [row for row in known if use(row) == "not shown"]),
        "": ("Known, use not tested", [row for row in known if use(row) == ""]),
        "echo": ("Possibly only an echo of the current character", [r for r in rows if knowledge(r) == "echo"]),
        "untested": ("High scores, not tested against chance", [r for r in rows if knowledge(r) == "untested"]),
    }
    notes = {
        "used": "A neuron predicts more than the character just read explains, and setting the best neurons to 0 "
        "raises the loss where the feature holds by more than setting random neurons to 0.",
        "not shown": "A neuron predicts more than the character just read explains, but setting the best neurons to 0 "
        "is not shown to raise the loss by more than setting random neurons to 0. What is encoded need not be used.",
        "": "A neuron predicts more than the character just read explains.",
        "echo": "Either the current character alone determines the feature, or the neuron is not shown to be better "
        "than chance among positions with the same character.",
        "untested": "These scores have no p-value.",
    }
    return [
        Group(state, heading, f"{notes[state]} {p_note(found, bool(state))}".strip(), found[:most], len(found[most:]))
        for state, (heading, found) in groups.items()
        if found
    ]


def p_note(rows: Sequence[Row], with_use: bool = True) -> str:
    """Say what the p-values of some rows are corrected for."""
    tested = [row for row in rows if has(row, "p_family")]
    note = ""
    if tested:
        strict = all(_strictest_p(row)[1] for row in tested)
        note = (
            f"The first p is corrected for the number of neurons {'and features' if strict else 'but not of features'}"
        )
    if with_use and any(use(row) for row in rows):
        note += ("; the second" if note else "The p") + " is not corrected for the number of features"
    return f"{note}." if note else ""


def loss_sentence(summary: Mapping[str, Any], language: str) -> str:
    """Compare the network's loss with that of the best possible predictor, or of one that knows only frequencies."""
    loss = summary["loss"]
    sentence = f"On unseen text in {language}, the network's loss is {loss:.4f} nats per symbol"
    if has(summary, "ideal"):
        ideal = summary["ideal"]
        best = f"The best possible predictor of this grammar has {ideal:.4f}"
        return f"{sentence}. {best}; the gap is {loss / ideal - 1:.1%}."
    if has(summary, "unigram"):
        unigram = summary["unigram"]
        frequencies = "A predictor that knows only the frequency of each symbol"
        if loss < unigram:
            return f"{sentence}. {frequencies} has {unigram:.4f}; the network's loss is {1 - loss / unigram:.0%} lower."
        return f"{sentence}. {frequencies} is as good: {unigram:.4f}."
    return f"{sentence}."


def counting_sentence(rows: Sequence[Row], k: int) -> str:
    """Say how many features are known, echoed and used, and how many chance alone would make look used."""
    own = [row for row in rows if knowledge(row) not in ("constant", "same")]
    states = [knowledge(row) for row in own]
    known, echo = states.count("known"), states.count("echo")
    thresholds = "AUC above 0.6 or R² above 0.2"
    if "untested" in states and not known and not echo:
        high = f"{states.count('untested')} have a neuron with a high score ({thresholds})"
        return f"Of {len(own)} features with labels of their own, {high}; whether this is chance was not tested."
    sentence = (
        f"Of {len(own)} features with labels of their own, single neurons know {known} beyond an echo of the current "
        f"character, and {echo} possibly only as such an echo ({thresholds} on unseen text, p at most {LEVEL})."
    )
    tested = [row for row in own if use(row) and knowledge(row) in PREDICTED]
    if not tested:
        return f"{sentence} Whether the network uses them was not tested."
    used = sum(use(row) == "used" for row in tested)
    best = "the best neuron" if k == 1 else f"the {k} best neurons"
    return (
        f"{sentence} The network is shown to use {used} of these {len(tested)}: setting {best} to 0 raises the loss "
        f"where the feature holds by more than setting random neurons to 0 (p at most {LEVEL} each, not corrected for "
        f"the number of features: chance alone would give about {len(tested) * LEVEL:.0f})."
    )


def left_out_sentences(rows: Sequence[Row]) -> list[str]:
    """Name the features about which no claim is made, and why."""
    reasons = {
        "weak": "No single neuron predicts it well",
        "chance": "No better than chance",
        "rare": "Too rare to judge",
        "constant": "The same label at every character of this text",
    }
    sentences = []
    for state, reason in reasons.items():
        names = [str(row["feature"]) for row in rows if knowledge(row) == state]
        if names:
            sentences.append(f"{reason}: {', '.join(names)}.")
    same = [f"{row['feature']} as {row['same_as']}" for row in rows if knowledge(row) == "same"]
    if same:
        sentences.append(f"The same labels as another feature, or the opposite: {', '.join(same)}.")
    return sentences


def sample_sentence(sample: Mapping[str, Any], intact: Mapping[str, Any], random: Row | None) -> str:
    """Say for which class of characters an intervention changes the share in the generated text most."""
    classes = sorted({*sample["shares"], *intact["shares"]})
    if not classes:
        return ""

    def share(of: Mapping[str, Any], one: str) -> float:
        return float(of["shares"].get(one, 0.0))

    most = max(classes, key=lambda one: abs(share(sample, one) - share(intact, one)))
    compared = "" if random is None else f", {share(random, most):.1%} with one random set of neurons set to 1"
    return f"{share(sample, most):.1%} of class {most}; {share(intact, most):.1%} without intervention{compared}."


def signed(value: float) -> str:
    """Format a number with its sign and three decimals."""
    return f"{value:+.3f}".replace("-", "\u2212")


def format_p(p: float) -> str:
    """Format a p-value with three decimals, or with two significant digits if it is below 0.001.

    Examples
    --------
    >>> format_p(0.005), format_p(0.00042)
    ('0.005', '0.00042')
    """
    return f"{p:.3f}" if p >= 0.001 else f"{p:.2g}"


def _p(p: float) -> str:
    return f"p\u00a0=\u00a0{format_p(p)}"
