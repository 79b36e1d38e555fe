"""Features from predictions: of a fitted scikit-learn model, or of a function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from dni_jax.features._cache import encode
from dni_jax.features._feature import Feature
from dni_jax.features._ranges import edge_positions
from dni_jax.text import Corpus, Texts, Vocabulary, join_segments

METHODS = ("predict", "predict_proba", "decision_function")
_BYTES = 2**26  # of inputs in one batch


@dataclass(frozen=True)
class CharacterWindow:
    """The last `length` characters as one-hot vectors: inputs of a predictor.

    Called with a corpus, it returns float32 ``(T, length * V)`` for V symbols: first the character itself, then the one
    before it, and so on. Before a string there is the boundary (code 0). Train the predictor on the same window.

    Attributes
    ----------
    vocabulary
        The symbols. The corpus must contain no others.
    length
        The number of characters, including the current one.

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
    def n_columns(self) -> int:
        """The number of columns."""
        return self.length * len(self.vocabulary)

    def __call__(self, corpus: Corpus) -> Float32[np.ndarray, "T D"]:
        """Return the inputs of all positions, float32 ``(T, D)``, which need much memory for a long text."""
        return self.rows(encode(corpus, self.vocabulary), join_segments(corpus), 0, corpus.n_positions)

    def rows(self, codes: np.ndarray, texts: Texts, first: int, last: int) -> Float32[np.ndarray, "B D"]:
        """Return the inputs of the positions ``first .. last`` only."""
        positions = np.arange(first, last)
        start = texts.offsets[np.searchsorted(texts.offsets, positions, side="right") - 1]
        hot = np.zeros((last - first, self.length, len(self.vocabulary)), np.float32)
        for back in range(self.length):
            before = positions - back
            code = np.where(before >= start, codes[np.maximum(before, 0)], 0)
            hot[np.arange(last - first), back, code] = 1
        return hot.reshape(last - first, self.n_columns)


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
    """Make a feature of the predictions of a fitted model.

    Parameters
    ----------
    name
        The name of the feature.
    predictor
        A fitted scikit-learn estimator or pipeline, or a function that takes ``(B, D)`` inputs and returns B labels.
        It gets one-hot inputs in batches of at most 64 MiB, so each prediction must depend on its row only.
    inputs
        ``"one_hot"``: the last `window` characters, in the vocabulary of the corpus that is labeled. A
        `CharacterWindow`: the same in a fixed vocabulary, for a predictor that should label other corpora. Or a
        function that takes a corpus and returns ``(T, D)``, which are passed to the predictor in one batch.
    window
        For ``"one_hot"``: the number of characters, including the current one.
    method
        ``"predict"``, ``"predict_proba"`` or ``"decision_function"``.
    column
        Which column of a result with several, such as the probability of one class.
    kind
        ``"binary"`` or ``"continuous"``; None: continuous for probabilities and decision functions, otherwise
        determined by the labels.

    Raises
    ------
    ValueError
        If the method is unknown, or the predictor does not have it; when labels are computed, if the predictor fails or
        does not return one number per position.

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
    call = _method(name, predictor, method)
    if isinstance(inputs, str) and inputs != "one_hot":
        raise ValueError(f"feature {name!r}: expected inputs 'one_hot' or a function of a corpus, got {inputs!r}")
    if window < 1:
        raise ValueError(f"feature {name!r}: expected a window of at least 1 character, got {window}")
    labeler = _Labeler(name, predictor, call, column)

    def windows(corpus: Corpus) -> CharacterWindow | None:
        if isinstance(inputs, CharacterWindow):
            return inputs
        return CharacterWindow(corpus.vocabulary, window) if isinstance(inputs, str) else None

    def compute(corpus: Corpus) -> np.ndarray:
        characters = windows(corpus)
        return labeler.whole(corpus, inputs) if characters is None else labeler.batches(corpus, characters)

    def known(corpus: Corpus) -> np.ndarray:
        characters = windows(corpus)
        complete = np.ones(corpus.n_positions, bool)
        if characters is not None:
            texts = join_segments(corpus)
            complete[edge_positions(texts.offsets, ~texts.begins, characters.length - 1)] = False
        return complete

    kind = kind or (None if method == "predict" or call is predictor else "continuous")
    return Feature(name, compute, kind, f"{method} of {_predictor_name(predictor)}", known)


def _predictor_name(predictor: Any) -> str:
    return getattr(predictor, "__name__", type(predictor).__name__)


def _method(name: str, predictor: Any, method: str) -> Callable[[np.ndarray], Any]:
    if method not in METHODS:
        raise ValueError(f"feature {name!r}: expected method= one of {list(METHODS)}, got {method!r}")
    if hasattr(predictor, method):
        return getattr(predictor, method)
    if any(hasattr(predictor, other) for other in METHODS) or not callable(predictor):
        raise ValueError(
            f"feature {name!r}: expected a predictor with {method}(), or a function of (B, D) inputs, "
            f"got {_predictor_name(predictor)}"
        )
    return predictor


@dataclass(frozen=True)
class _Labeler:
    """A predictor whose results are checked to be one number per position."""

    name: str
    predictor: Any
    call: Callable[[np.ndarray], Any]
    column: int | None

    def batches(self, corpus: Corpus, window: CharacterWindow) -> np.ndarray:
        self.check_width(window.n_columns, f"{window.length} characters of {len(window.vocabulary)} symbols")
        size = max(1, _BYTES // (4 * window.n_columns))
        codes, texts, total = encode(corpus, window.vocabulary), join_segments(corpus), corpus.n_positions
        return np.concatenate(
            [self.predict(window.rows(codes, texts, i, min(i + size, total))) for i in range(0, total, size)]
        )

    def whole(self, corpus: Corpus, inputs: Any) -> np.ndarray:
        array = np.asarray(inputs(corpus))
        if array.ndim != 2 or len(array) != corpus.n_positions:
            raise ValueError(
                f"feature {self.name!r}: expected inputs of shape ({corpus.n_positions}, D) from its inputs function, "
                f"got shape {array.shape}"
            )
        self.check_width(array.shape[1], "its inputs function")
        return self.predict(array)

    def check_width(self, width: int, source: str) -> None:
        expected = getattr(self.predictor, "n_features_in_", width)
        if expected != width:
            raise ValueError(
                f"feature {self.name!r}: expected {expected} input columns, as the predictor was fitted on, got "
                f"{width} ({source}): pass the CharacterWindow that it was fitted with as inputs="
            )

    def predict(self, rows: np.ndarray) -> np.ndarray:
        try:
            result = np.asarray(self.call(rows))
        except Exception as error:
            raise ValueError(
                f"feature {self.name!r}: its predictor fails on inputs of shape {rows.shape} with "
                f"{type(error).__name__}: {error}"
            ) from error
        if self.column is not None and result.ndim == 2 and -result.shape[1] <= self.column < result.shape[1]:
            result = result[:, self.column]
        elif self.column is not None or result.shape != (len(rows),):
            classes = getattr(self.predictor, "classes_", None)
            hint = "" if classes is None else f"; its columns are the classes {np.asarray(classes).tolist()}"
            raise ValueError(
                f"feature {self.name!r}: expected one label for each of {len(rows)} rows (column={self.column}), got "
                f"an array of shape {result.shape}: choose column= if there are several{hint}"
            )
        if result.dtype.kind not in "biuf":
            raise ValueError(
                f"feature {self.name!r}: expected numbers from the predictor, got {result.dtype} such as "
                f"{result[0]!r}: use method='predict_proba' with the column= of a class"
            )
        return result
