"""Labels that are made part by part, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dni_jax.features._feature import FeatureLibrary
from dni_jax.features._joining import runs
from dni_jax.features._labels import Labels
from dni_jax.text import Corpus, concatenate_ranges

Strings = Iterable[tuple[int, int]]  # first and last (exclusive) string of each stretch
_PART = 65_536  # characters that tell the kinds of features that do not say theirs


@dataclass(frozen=True, eq=False)
class LazyLabels:
    """A library and a corpus: labels of any strings, equal to those that `FeatureLibrary.label` makes at once.

    Memory holds the labels of what was asked for last, one byte a binary and four a continuous label. Where a corpus
    was cut into pieces, the pieces of one text are labelled together, whichever of them are asked for.

    Attributes
    ----------
    library
        The features, each with its kind, and fixed to the corpus where they depend on it as a whole.
    corpus
        What is labelled.
    kinds
        ``"binary"`` or ``"continuous"`` a feature. One that does not say its own is what its labels on the first
        65,536 characters are; it is an error if later ones do not fit.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> library = dni.languages.get("parentheses").features()
    >>> some = library.label_lazily(corpus).label([(7, 9), (20, 21)])
    >>> positions = np.r_[corpus.offsets[7] : corpus.offsets[9], corpus.offsets[20] : corpus.offsets[21]]
    >>> bool((some.values == library.label(corpus).values[positions]).all())
    True
    """

    library: FeatureLibrary
    corpus: Corpus
    kinds: tuple[str, ...]
    source: FeatureLibrary
    _texts: np.ndarray = field(repr=False)
    _last: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of_library(cls, library: FeatureLibrary, corpus: Corpus) -> LazyLabels:
        """Take up a library for a corpus; see `FeatureLibrary.label_lazily`."""
        texts = np.searchsorted(corpus.offsets, runs(corpus).offsets)
        unsure = FeatureLibrary(tuple(feature for feature in library if feature.kind is None))
        known: dict[str, str] = {}
        if len(unsure):
            count = max(int(np.searchsorted(corpus.offsets[texts], _PART, side="right")) - 1, 1)
            first = unsure.label(corpus.take(np.arange(texts[count])))
            known = dict(zip(first.names, first.kinds, strict=True))
        features = tuple(feature.fit_to(corpus) for feature in library)
        features = tuple(replace(one, kind=one.kind or known[one.name]) for one in features)
        return cls(FeatureLibrary(features), corpus, tuple(str(one.kind) for one in features), library, texts)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return self.library.names

    def __len__(self) -> int:
        return len(self.library)

    def __repr__(self) -> str:
        binary = self.kinds.count("binary")
        return f"LazyLabels({self.corpus.n_positions:,} positions x {len(self)} features, {binary} binary)"

    def select(self, *wanted: Any, kind: str | None = None) -> LazyLabels:
        """Give some of the features; see `FeatureLibrary.select`."""
        rows = [self.names.index(name) for name in self.library.select(*wanted, kind=kind).names]
        kept, source = (FeatureLibrary(tuple(one.features[row] for row in rows)) for one in (self.library, self.source))
        return LazyLabels(kept, self.corpus, tuple(self.kinds[row] for row in rows), source, self._texts)

    def label(self, strings: Strings) -> Labels:
        """Label some strings.

        Parameters
        ----------
        strings
            Stretches of the corpus' strings in ascending order: first and last (exclusive) of each.

        Raises
        ------
        ValueError
            As `FeatureLibrary.label`; also where a feature that seemed binary is not, or where there is no string.
        """
        stretches = [(int(first), int(last)) for first, last in strings]
        whole = self._whole_texts(stretches)
        if self._last.get("strings") != whole:
            taken = np.concatenate([np.arange(first, last) for first, last in whole])
            self._last.update(strings=whole, labels=self.library.label(self.corpus.take(taken)))
        labels: Labels = self._last["labels"]
        labels = replace(labels, library=self.source)
        return labels if whole == stretches else labels.take(self._positions(stretches, whole))

    def label_all(self) -> Labels:
        """Label the whole corpus."""
        return self.label([(0, len(self.corpus))])

    def _whole_texts(self, stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Extend stretches to the pieces of the same texts, and join those that overlap."""
        bounds = [bound for stretch in stretches for bound in stretch]
        rising = all(first < last for first, last in stretches) and bounds == sorted(bounds)
        if not stretches or not rising or bounds[0] < 0 or bounds[-1] > len(self.corpus):
            raise ValueError(
                f"expected stretches of strings (first, last) in ascending order within 0 to {len(self.corpus)}, got "
                f"{stretches[:5]}"
            )
        found: list[tuple[int, int]] = []
        for first, last in stretches:
            low = int(self._texts[np.searchsorted(self._texts, first, side="right") - 1])
            high = int(self._texts[np.searchsorted(self._texts, last, side="left")])
            if found and low < found[-1][1]:
                low, _ = found.pop()
            found.append((low, high))
        return found

    def _positions(self, stretches: Sequence[tuple[int, int]], whole: Sequence[tuple[int, int]]) -> np.ndarray:
        """Where the characters of the stretches lie among those of the whole texts."""
        offsets = self.corpus.offsets
        sizes = np.array([offsets[last] - offsets[first] for first, last in whole])
        begins = np.cumsum(sizes) - sizes
        place, starts = 0, []
        for first, last in stretches:
            while not (whole[place][0] <= first and last <= whole[place][1]):
                place += 1
            starts.append(begins[place] + offsets[first] - offsets[whole[place][0]])
        lengths = np.array([offsets[last] - offsets[first] for first, last in stretches])
        return concatenate_ranges(np.array(starts), lengths)
