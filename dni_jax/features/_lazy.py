"""Labels that are computed in parts, on request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dni_jax.features._feature import FeatureLibrary
from dni_jax.features._labels import Labels
from dni_jax.text import Corpus, concatenate_ranges, exclusive_sum, join_segments

_SAMPLE = 65_536  # characters whose labels determine the kind of features that do not declare it


@dataclass(frozen=True, eq=False)
class LazyLabels:
    """Labels of a corpus that are computed for some strings at a time.

    They are equal to those that `FeatureLibrary.label` computes at once. The labels of the last request stay in memory:
    one byte for a binary label, four for a continuous one. If the corpus was cut into segments, all segments of a text
    are labeled together, whichever of them are requested.

    Attributes
    ----------
    library
        The features, each with its kind; those that depend on the whole corpus are fitted to it.
    corpus
        The corpus that is labeled.
    kinds
        For each feature ``"binary"`` or ``"continuous"``. If a feature does not declare its kind, its labels on the
        first 65,536 characters determine it; later labels that do not fit raise an error.
    source
        The library as passed, before fitting.

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
    def from_library(cls, library: FeatureLibrary, corpus: Corpus) -> LazyLabels:
        """Return lazy labels of a corpus; see `FeatureLibrary.label_lazily`."""
        texts = np.searchsorted(corpus.offsets, join_segments(corpus).offsets)
        undeclared = FeatureLibrary(tuple(feature for feature in library if feature.kind is None))
        known: dict[str, str] = {}
        if len(undeclared):
            count = max(int(np.searchsorted(corpus.offsets[texts], _SAMPLE, side="right")) - 1, 1)
            first = undeclared.label(corpus.take(np.arange(texts[count])))
            known = dict(zip(first.names, first.kinds, strict=True))
        features = tuple(feature.fit_to(corpus) for feature in library)
        features = tuple(replace(one, kind=one.kind or known[one.name]) for one in features)
        return cls(FeatureLibrary(features), corpus, tuple(str(one.kind) for one in features), library, texts)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features."""
        return self.library.names

    def __len__(self) -> int:
        return len(self.library)

    def __repr__(self) -> str:
        binary = self.kinds.count("binary")
        return f"LazyLabels({self.corpus.n_positions:,} positions x {len(self)} features, {binary} binary)"

    def select(self, *patterns: Any, kind: str | None = None) -> LazyLabels:
        """Return some of the features; see `FeatureLibrary.select`."""
        rows = [self.names.index(name) for name in self.library.select(*patterns, kind=kind).names]
        kept, source = (FeatureLibrary(tuple(one.features[row] for row in rows)) for one in (self.library, self.source))
        return LazyLabels(kept, self.corpus, tuple(self.kinds[row] for row in rows), source, self._texts)

    def label(self, strings: Iterable[tuple[int, int]]) -> Labels:
        """Label some strings.

        Parameters
        ----------
        strings
            Ranges of strings in ascending order: the first and the last (exclusive) of each.

        Raises
        ------
        ValueError
            As for `FeatureLibrary.label`; also if a feature that seemed binary is not, or there is no such string.
        """
        ranges = [(int(first), int(last)) for first, last in strings]
        whole = self._whole_texts(ranges)
        if self._last.get("strings") != whole:
            taken = np.concatenate([np.arange(first, last) for first, last in whole])
            self._last.update(strings=whole, labels=self.library.label(self.corpus.take(taken)))
        labels: Labels = self._last["labels"]
        labels = replace(labels, library=self.source)
        return labels if whole == ranges else labels.take(self._positions(ranges, whole))

    def label_all(self) -> Labels:
        """Label the whole corpus."""
        return self.label([(0, len(self.corpus))])

    def _whole_texts(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Extend ranges of strings to all segments of the same texts, and join those that overlap."""
        bounds = [bound for one in ranges for bound in one]
        ascending = all(first < last for first, last in ranges) and bounds == sorted(bounds)
        if not ranges or not ascending or bounds[0] < 0 or bounds[-1] > len(self.corpus):
            raise ValueError(
                f"expected ranges of strings (first, last) in ascending order within 0 to {len(self.corpus)}, got "
                f"{ranges[:5]}"
            )
        found: list[tuple[int, int]] = []
        for first, last in ranges:
            low = int(self._texts[np.searchsorted(self._texts, first, side="right") - 1])
            high = int(self._texts[np.searchsorted(self._texts, last, side="left")])
            if found and low < found[-1][1]:
                low, _ = found.pop()
            found.append((low, high))
        return found

    def _positions(self, ranges: Sequence[tuple[int, int]], whole: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the positions of the characters of the ranges among those of the whole texts."""
        offsets = self.corpus.offsets
        sizes = np.array([offsets[last] - offsets[first] for first, last in whole])
        begins = exclusive_sum(sizes)
        place, starts = 0, []
        for first, last in ranges:
            while not (whole[place][0] <= first and last <= whole[place][1]):
                place += 1
            starts.append(begins[place] + offsets[first] - offsets[whole[place][0]])
        lengths = np.array([offsets[last] - offsets[first] for first, last in ranges])
        return concatenate_ranges(np.array(starts), lengths)
