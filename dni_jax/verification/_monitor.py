"""Watching a network as it reads or writes: what its neurons say against what a program says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.special import entr, softmax

from dni_jax.features import Violation
from dni_jax.interventions import Intervention, ablate
from dni_jax.models import TrainedModel, generate, record
from dni_jax.probes import bootstrap_auc, direct_scores, make_folds, score_jointly
from dni_jax.programs import Program, run
from dni_jax.text import Corpus

SIGNALS = ("disagreement", "entropy", "both")
OUTCOMES = ("wrong", "ungrammatical")

_LEAST = 1e-3  # standard deviations of what the program says; less is rounding
_DRAWS, _FOLDS = 500, 5
_INTERVAL = (0.025, 0.975)


class Watched(NamedTuple):
    """What a monitor saw on a text.

    Attributes
    ----------
    corpus
        The text.
    said
        float32 ``(T, d)``: what the program says.
    decoded
        float32 ``(T, d)``: what the neurons say.
    disagreement
        float32 ``(T,)``: the distance between the two, in standard deviations of what the program says.
    flagged
        bool ``(T,)``: where the disagreement is above the monitor's threshold.
    """

    corpus: Corpus
    said: Float[np.ndarray, "T d"]
    decoded: Float[np.ndarray, "T d"]
    disagreement: Float[np.ndarray, " T"]
    flagged: Bool[np.ndarray, " T"]

    def flags(self) -> list[tuple[int, int]]:
        """Return the string and the character of every flagged position."""
        at = np.flatnonzero(self.flagged)
        strings, places = self.corpus.string_ids[at], self.corpus.position_in_string[at]
        return list(zip(strings.tolist(), places.tolist(), strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class Monitor:
    """Compares what some neurons of a network say with what a program says; made by `monitor`.

    Attributes
    ----------
    model
        The network.
    neurons
        Those that are read.
    program
        What they are compared with.
    weights
        float64 ``(k + 1, d)``: what the program says, as a linear function of the neurons and 1.
    scale
        float64 ``(d,)``: the standard deviations of what it says; infinite for a column that never varies.
    threshold
        The disagreement that is flagged.
    r2
        How much of what the program says the neurons say, on text the weights were not fitted to: the mean over
        columns that vary.
    """

    model: TrainedModel
    neurons: tuple[int, ...]
    program: Program
    weights: Float[np.ndarray, "k1 d"]
    scale: Float[np.ndarray, " d"]
    threshold: float
    r2: float

    def __repr__(self) -> str:
        return (
            f"Monitor({self.program.name} by {list(self.neurons)}, r2 {self.r2:.2f}, flags above {self.threshold:.3g})"
        )

    def compare(
        self, values: Float[np.ndarray, "T k"], said: Float[np.ndarray, "T d"]
    ) -> tuple[Float[np.ndarray, "T d"], Float[np.ndarray, " T"]]:
        """Return what values of the k neurons say, and how far it is from what the program says."""
        decoded = values @ self.weights[:-1] + self.weights[-1]
        varies = np.isfinite(self.scale)
        apart = ((decoded - said)[:, varies] / self.scale[varies]) ** 2
        return decoded.astype(np.float32), np.sqrt(apart.mean(axis=1)).astype(np.float32)

    def read(self, corpus: Corpus, intervention: Intervention | None = None) -> Watched:
        """Watch the network read a text.

        Raises
        ------
        ValueError
            Where the program fails, a string begins outside the corpus, or the text does not fit the network.
        """
        return self._watch(corpus, record(self.model, corpus, intervention=intervention).hidden)

    def write(
        self,
        n: int = 8,
        length: int = 200,
        seed: int = 0,
        *,
        intervention: Intervention | None = None,
        temperature: float = 1.0,
    ) -> Watched:
        """Watch the network write texts; the strings of the result are those it has written.

        A network goes through the same states when it writes a text as when it reads it.

        Parameters
        ----------
        n, length, seed, intervention, temperature
            As in `dni_jax.generate`.

        Raises
        ------
        ValueError
            Where nothing but boundaries was written, or the program fails.
        """
        texts = generate(self.model, n, length, seed, intervention=intervention, temperature=temperature)
        corpus = written_corpus(self.model, texts)
        return self._watch(corpus, record(self.model, corpus, intervention=intervention).hidden)

    def _watch(self, corpus: Corpus, hidden: Float[np.ndarray, "T N"]) -> Watched:
        said = run(self.program, corpus)
        if not said.known.all():
            raise ValueError(
                f"expected strings from their beginning, got {int((~said.known).sum())} characters of later segments: "
                f"what {self.program.name!r} says there is unknown"
            )
        decoded, disagreement = self.compare(hidden[:, list(self.neurons)], said.values)
        return Watched(corpus, said.values, decoded, disagreement, disagreement > self.threshold)

    def evaluate(
        self,
        corpus: Corpus,
        violation: Violation | None = None,
        *,
        n_texts: int = 64,
        length: int = 200,
        seed: int = 0,
    ) -> xr.Dataset:
        """Measure whether disagreement predicts what goes wrong next, compared with the prediction's entropy.

        Parameters
        ----------
        corpus
            What the network reads; text that the monitor was not made from.
        violation
            Says which written text is ungrammatical: ``language.violations()``. None writes no text.
        n_texts, length, seed
            Of the texts that are written.

        Returns
        -------
        Dataset with the dimensions ``outcome``: ``"wrong"`` (the most probable character is not the one that comes, on
        text that is read) and ``"ungrammatical"`` (the character or the end that the network writes next makes the
        string ungrammatical, at the first such place); and ``signal``: ``"disagreement"``, ``"entropy"`` of the
        prediction, and ``"both"``, a logistic regression on the two, held out by strings. Variables:

        - ``auc``, ``auc_low``, ``auc_high`` ``(outcome, signal)``: the area under the ROC curve, and its 95 % interval
          by a bootstrap over strings (NaN for both, and without an event);
        - ``events`` and ``positions`` ``(outcome,)``: how often it happens, of how many;
        - ``flagged`` and ``precision`` ``(outcome,)``: the share of events whose position is flagged, and of flagged
          positions that are events;
        - ``microseconds_program`` and ``microseconds_network``: CPU time per character.
        """
        record(self.model, corpus, ("hidden", "logits"))  # compiles; the time of that is not the network's
        began = time.process_time()
        states = record(self.model, corpus, ("hidden", "logits"))
        network = time.process_time() - began
        began = time.process_time()
        watched = self._watch(corpus, states.hidden)
        alone = time.process_time() - began
        best = np.asarray(states.logits).argmax(axis=-1)
        follows = np.diff(corpus.string_ids, append=-1) == 0
        came = np.append(self.model.encode(corpus).flat_codes[1:], 0)
        rows = [_score_event(watched, np.asarray(states.logits), (best != came) & follows, follows, seed)]
        if violation is not None:
            texts = generate(self.model, n_texts, length, seed)
            written = written_corpus(self.model, texts)
            states = record(self.model, written, ("hidden", "logits"))
            event, counted = next_violations(violation, written)
            rows.append(
                _score_event(self._watch(written, states.hidden), np.asarray(states.logits), event, counted, seed)
            )
        merged = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        scale = 1e6 / corpus.n_positions
        return xr.Dataset(
            {
                **{name: (("outcome", "signal"), merged[name]) for name in ("auc", "auc_low", "auc_high")},
                **{name: ("outcome", merged[name]) for name in ("events", "positions", "flagged", "precision")},
                "microseconds_program": ((), alone * scale),
                "microseconds_network": ((), network * scale),
            },
            coords={"outcome": list(OUTCOMES[: len(rows)]), "signal": list(SIGNALS)},
            attrs={
                "program": self.program.name,
                "neurons": list(self.neurons),
                "threshold": self.threshold,
                "r2": self.r2,
            },
        )


def monitor(
    model: TrainedModel, neurons: Sequence[int], program: Program, corpus: Corpus, *, alarm_rate: float = 0.001
) -> Monitor:
    """Watch what some neurons of a network say, against what a program says (Lin & Wu 2017, section 5).

    What the program says is decoded from the neurons by least squares, fitted to every second string of a text; the
    threshold is the disagreement that `alarm_rate` of the characters of the other strings exceed.

    Parameters
    ----------
    model
        The network.
    neurons
        Those to read.
    program
        From `dni_jax.programs`, or ``language.program()``.
    corpus
        At least two strings.
    alarm_rate
        The share of characters of ordinary text that are flagged.

    Raises
    ------
    ValueError
        For duplicate or out-of-range neurons, a program that fails or whose output never varies, a
        single string, or an alarm_rate outside (0, 1).

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> watch = dni.verification.monitor(model, range(8), dni.programs.depth(), corpus, alarm_rate=0.05)
    >>> bool(0 < watch.read(corpus).flagged.mean() < 0.2)
    True
    """
    if not isinstance(model, TrainedModel):
        raise ValueError(f"expected a TrainedModel, got {type(model).__name__}: train one with dni.train")
    if not 0 < alarm_rate < 1:
        raise ValueError(f"expected alarm_rate between 0 and 1, got {alarm_rate}")
    chosen = ablate(neurons).edits[0].neurons
    if max(chosen) >= model.n_neurons:
        raise ValueError(f"expected neurons 0 to {model.n_neurons - 1}, got {max(chosen)}")
    said = run(program, corpus)
    hidden = record(model, corpus).hidden[:, list(chosen)].astype(np.float64)
    strings = np.unique(corpus.string_ids[said.known], return_inverse=True)[1]
    if strings.max(initial=0) < 1:
        raise ValueError("expected at least two strings, to fit what neurons say and to set the threshold, got one")
    fitted = strings % 2 == 0
    hidden, values = hidden[said.known], said.values[said.known].astype(np.float64)
    spread = values.std(axis=0)
    if not (spread > 0).any():
        raise ValueError(
            f"expected a program that says different things on this text, got {values[0].tolist()} everywhere from "
            f"{program.name!r}: pass text in which they occur"
        )
    scale = np.where(spread > 1e-9, spread, np.inf)
    ones = np.ones((len(hidden), 1))
    weights, *_ = np.linalg.lstsq(np.concatenate([hidden, ones], axis=1)[fitted], values[fitted], rcond=None)
    found = Monitor(model, chosen, program, weights, scale, 0.0, 0.0)
    _, disagreement = found.compare(hidden[~fitted], values[~fitted])
    threshold = max(float(np.quantile(disagreement, 1 - alarm_rate)), _LEAST)
    r2 = 1 - float((disagreement.astype(np.float64) ** 2).mean())
    return with_changes(found, threshold=threshold, r2=r2)


def written_corpus(model: TrainedModel, texts: Sequence[str]) -> Corpus:
    """Return the strings of texts that a network has written; the last one of each text may be cut off.

    Raises
    ------
    ValueError
        Where there is no character.
    """
    boundary = model.vocabulary.boundary_text
    pieces = [text.split(boundary) if model.boundary else [text] for text in texts]
    strings = [(piece, place < len(each) - 1) for each in pieces for place, piece in enumerate(each) if piece]
    if not strings:
        raise ValueError("expected texts with at least one character, got boundaries only: write longer ones")
    corpus = Corpus.from_strings([string for string, _ in strings], vocabulary=model.vocabulary)
    return with_changes(corpus, ends=np.asarray([ended for _, ended in strings], bool))


def next_violations(violation: Violation, corpus: Corpus) -> tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """Find the positions after which the text becomes ungrammatical, and those at which it still could.

    Returns
    -------
    bool ``(T,)``: the next character, or the end, is the first violation of the string; bool ``(T,)``: the string is
    no violation so far, and what follows is known.
    """
    violates = violation.label(corpus).columns[0] > 0
    last = np.zeros(corpus.n_positions, bool)
    last[corpus.offsets[1:] - 1] = True
    following = np.append(violates[1:], False) & ~last
    if violation.unfinished is not None:
        ends_wrong = np.asarray(violation.unfinished(corpus)) & corpus.ends
        following[corpus.offsets[1:] - 1] = ends_wrong
    before = np.cumsum(violates)
    first = np.concatenate([[0], before])[corpus.offsets[:-1]]
    fine = before == first[corpus.string_ids]
    counted = fine & (~last | corpus.ends[corpus.string_ids])
    return following & counted, counted


def _score_event(
    watched: Watched,
    logits: Float[np.ndarray, "T V"],
    event: Bool[np.ndarray, " T"],
    counted: Bool[np.ndarray, " T"],
    seed: int,
) -> dict[str, Any]:
    """Score how well disagreement and entropy predict an event at the counted positions."""
    entropy = entr(softmax(logits[counted].astype(np.float64), axis=-1)).sum(axis=-1)
    # The logarithm of disagreements, which spread over orders of magnitude, keeps their ranks.
    apart = np.log(np.maximum(watched.disagreement[counted].astype(np.float64), 1e-9))
    happens, flagged = event[counted], watched.flagged[counted]
    strings = watched.corpus.string_ids[counted]
    signals = np.stack([apart, entropy], axis=1)
    auc = np.full((3, len(SIGNALS)), np.nan)
    if happens.any() and not happens.all():
        labels = happens[:, None]
        auc[0, :2] = direct_scores(signals, labels, "auc")[:, 0]
        draws = bootstrap_auc(signals, labels, strings, _DRAWS, seed)[:, :, 0]
        auc[1:, :2] = auc[0, :2] + np.nanquantile(draws - np.nanmean(draws, axis=0), _INTERVAL, axis=0)
        auc[0, 2] = _held_out(signals, labels, strings, seed)
    return {
        "auc": auc[0],
        "auc_low": auc[1],
        "auc_high": auc[2],
        "events": int(happens.sum()),
        "positions": len(happens),
        "flagged": float(flagged[happens].mean()) if happens.any() else np.nan,
        "precision": float(happens[flagged].mean()) if flagged.any() else np.nan,
    }


def _held_out(
    signals: Float[np.ndarray, "T 2"], labels: Bool[np.ndarray, "T 1"], strings: Int[np.ndarray, " T"], seed: int
) -> float:
    """Return the held-out AUC of a logistic regression on both signals; NaN with fewer strings than folds."""
    if len(np.unique(strings)) < _FOLDS:
        return float("nan")
    folds = np.asarray(make_folds(len(strings), _FOLDS, groups=strings, seed=seed))
    scaled = (signals - signals.mean(axis=0)) / np.maximum(signals.std(axis=0), 1e-9)
    return float(np.nanmean(score_jointly(scaled, labels, folds, probe="logistic", metrics=("auc",))["auc"]))
