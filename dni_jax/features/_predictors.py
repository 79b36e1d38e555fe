"""Features from predictors: what a fitted scikit-learn model, or a function of arrays, says about each character."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from dni_jax.features._feature import Feature
from dni_jax.features._joining import Runs, runs
from dni_jax.features._reading import codes_in
from dni_jax.features._spans import edge
from dni_jax.text import Corpus, Vocabulary

METHODS = ("predict", "predict_proba", "decision_function")
_BYTES = 2**26  # of inputs that a predictor sees in one go


@dataclass(frozen=True)
class CharacterWindow:
    """The last `length` characters, one-hot: inputs for a predictor.

    Calling it with a corpus gives float32 ``(T, length * V)``, V symbols: first the character itself, then the one
    before it, and so on. In front of a string stands the boundary (code 0). Train the predictor on the same window.

    Attributes
    ----------
    vocabulary
        The symbols. A corpus must hold no others.
    length
        How many characters, the current one included.

    Examples
    --------
    >>> corpus = Corpus.from_strings(["ab"])
    >>> CharacterWindow(corpus.vocabulary, 2)(corpus).astype(int).tolist()
    [[0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0]]
    """

    vocabulary: Vocabulary
    length: int = 1

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"expected a window of at least 1 character, got {self.length}")

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.length * len(self.vocabulary)

    def __call__(self, corpus: Corpus) -> Float32[np.ndarray, "T D"]:
        """Give the inputs of all positions, float32 ``(T, D)``; for a long text, mind the memory."""
        return self.rows(codes_in(self.vocabulary, corpus), runs(corpus), 0, corpus.n_positions)

    def rows(self, codes: np.ndarray, within: Runs, first: int, last: int) -> Float32[np.ndarray, "B D"]:
        """Give the inputs of the positions ``first .. last`` only."""
        positions = np.arange(first, last)
        start = within.offsets[np.searchsorted(within.offsets, positions, side="right") - 1]
        hot = np.zeros((last - first, self.length, len(self.vocabulary)), np.float32)
        for back in range(self.length):
            before = positions - back
            code = np.where(before >= start, codes[np.maximum(before, 0)], 0)
            hot[np.arange(last - first), back, code] = 1
        return hot.reshape(last - first, self.width)


def predictor_feature(
    name: str,
    predictor: Any,
    inputs: Callable[[Corpus], np.ndarray] | str = "one_hot",
    *,
    window: int = 1,
    method: str = "predict",
    column: int | None = None,
    kind: str | None = None,
) -> Feature:
    """Make a feature of what a fitted predictor says.

    Parameters
    ----------
    name
        How the feature is called.
    predictor
        A fitted scikit-learn estimator or pipeline, or a function that takes ``(B, D)`` inputs and returns B labels.
        It sees the one-hot inputs in batches of at most 64 MiB, so it must judge each row by itself.
    inputs
        ``"one_hot"``: the last `window` characters by the labelled corpus' vocabulary (`CharacterWindow`; pass one to
        fix the vocabulary, as for a predictor that should label other corpora); or a function that takes a corpus and
        returns ``(T, D)``, which the predictor gets as a whole.
    window
        For ``"one_hot"``: how many characters, the current one included.
    method
        ``"predict"``, ``"predict_proba"`` or ``"decision_function"``.
    column
        Which column of a result with several, such as one class' probability.
    kind
        ``"binary"`` or ``"continuous"``; None: probabilities and decisions are continuous, other labels decide.

    Raises
    ------
    ValueError
        For an unknown method or a predictor without it; when labels are computed, where the predictor fails, or gives
        something else than one number a position. Each names the feature.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> corpus = dni.Corpus.from_strings(["0(1)", "(2)"])
    >>> inputs = dni.features.CharacterWindow(corpus.vocabulary, 2)
    >>> tree = DecisionTreeClassifier().fit(inputs(corpus), [0, 0, 1, 0, 0, 1, 0])
    >>> predictor_feature("digit after (", tree, inputs).label(corpus).columns[0].tolist()
    [0, 0, 1, 0, 0, 1, 0]
    """
    call = _callable(name, predictor, method)
    if isinstance(inputs, str) and inputs != "one_hot":
        raise ValueError(f"feature {name!r}: expected inputs 'one_hot' or a function of a corpus, got {inputs!r}")
    if window < 1:
        raise ValueError(f"feature {name!r}: expected a window of at least 1 character, got {window}")
    judge = _Judge(name, predictor, call, column)

    def windows(corpus: Corpus) -> CharacterWindow | None:
        if isinstance(inputs, CharacterWindow):
            return inputs
        return CharacterWindow(corpus.vocabulary, window) if isinstance(inputs, str) else None

    def compute(corpus: Corpus) -> np.ndarray:
        characters = windows(corpus)
        return judge.whole(corpus, inputs) if characters is None else judge.batches(corpus, characters)

    def visible(corpus: Corpus) -> np.ndarray:
        characters = windows(corpus)
        seen = np.ones(corpus.n_positions, bool)
        if characters is not None:
            within = runs(corpus)
            seen[edge(within.offsets, ~within.begins, characters.length - 1)] = False
        return seen

    sure = kind or (None if method == "predict" or call is predictor else "continuous")
    return Feature(name, compute, sure, f"{method} of {_called(predictor)}", visible)


def _called(predictor: Any) -> str:
    return getattr(predictor, "__name__", type(predictor).__name__)


def _callable(name: str, predictor: Any, method: str) -> Callable[[np.ndarray], Any]:
    if method not in METHODS:
        raise ValueError(f"feature {name!r}: expected method= one of {list(METHODS)}, got {method!r}")
    if hasattr(predictor, method):
        return getattr(predictor, method)
    if any(hasattr(predictor, other) for other in METHODS) or not callable(predictor):
        raise ValueError(
            f"feature {name!r}: expected a predictor with {method}(), or a function of (B, D) inputs, "
            f"got {_called(predictor)}"
        )
    return predictor


@dataclass(frozen=True)
class _Judge:
    """A predictor that is asked for one number a position, and its answers checked."""

    name: str
    predictor: Any
    call: Callable[[np.ndarray], Any]
    column: int | None

    def batches(self, corpus: Corpus, window: CharacterWindow) -> np.ndarray:
        self.expect(window.width, f"{window.length} characters of {len(window.vocabulary)} symbols")
        size = max(1, _BYTES // (4 * window.width))
        codes, within, total = codes_in(window.vocabulary, corpus), runs(corpus), corpus.n_positions
        return np.concatenate(
            [self.ask(window.rows(codes, within, i, min(i + size, total))) for i in range(0, total, size)]
        )

    def whole(self, corpus: Corpus, inputs: Any) -> np.ndarray:
        array = np.asarray(inputs(corpus))
        if array.ndim != 2 or len(array) != corpus.n_positions:
            raise ValueError(
                f"feature {self.name!r}: expected inputs of shape ({corpus.n_positions}, D) from its inputs function, "
                f"got shape {array.shape}"
            )
        self.expect(array.shape[1], "its inputs function")
        return self.ask(array)

    def expect(self, width: int, source: str) -> None:
        wanted = getattr(self.predictor, "n_features_in_", width)
        if wanted != width:
            raise ValueError(
                f"feature {self.name!r}: expected {wanted} input columns, as the predictor was fitted on, got {width} "
                f"({source}): give the CharacterWindow that it was fitted with as inputs="
            )

    def ask(self, rows: np.ndarray) -> np.ndarray:
        try:
            answer = np.asarray(self.call(rows))
        except Exception as error:
            raise ValueError(
                f"feature {self.name!r}: its predictor fails on inputs of shape {rows.shape} with "
                f"{type(error).__name__}: {error}"
            ) from error
        if self.column is not None and answer.ndim == 2 and -answer.shape[1] <= self.column < answer.shape[1]:
            answer = answer[:, self.column]
        elif self.column is not None or answer.shape != (len(rows),):
            classes = getattr(self.predictor, "classes_", None)
            hint = "" if classes is None else f"; its columns are the classes {np.asarray(classes).tolist()}"
            raise ValueError(
                f"feature {self.name!r}: expected one label for each of {len(rows)} rows (column={self.column}), got "
                f"an array of shape {answer.shape}: choose column= where there are several{hint}"
            )
        if answer.dtype.kind not in "biuf":
            raise ValueError(
                f"feature {self.name!r}: expected numbers from the predictor, got {answer.dtype} such as "
                f"{answer[0]!r}: ask for method='predict_proba' with the class' column="
            )
        return answer
