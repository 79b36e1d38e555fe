"""Parse many texts: from the cache, or on all cores if there is enough to parse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import uuid4

import joblib

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._parsing import ParseResult
from dni_jax.languages.code._cache import ParseCache

_WORTH_SECONDS = 8.0  # of parsing in one process; starting another takes two or three seconds
_BATCHES = 6  # per process


def parse_texts(language: BaseLanguage, texts: Sequence[str], jobs: int | None = None) -> Iterator[ParseResult]:
    """Parse texts in their order; texts in the cache are not parsed again.

    Parameters
    ----------
    language
        Parses.
    texts
        What to parse.
    jobs
        How many processes; None uses all cores if that is faster. The results do not depend on it.
    """
    cache = ParseCache(language.fingerprint, language.kinds)
    known = [cache.load(text) for text in texts]
    missing = [place for place, result in enumerate(known) if result is None]
    fresh = _parse(language, [texts[place] for place in missing], jobs)
    for text, result in zip(texts, known, strict=True):
        if result is None:
            result = next(fresh)
            # Results of other processes bring copies of the kinds; all texts share the language's own.
            result = replace(result, trees=replace(result.trees, kinds=language.kinds))
            cache.save(text, result)
        yield result
    if missing:
        cache.prune()


def _parse(language: BaseLanguage, texts: Sequence[str], jobs: int | None) -> Iterator[ParseResult]:
    total = sum(map(len, texts))
    if jobs is None:
        jobs = joblib.cpu_count() if total > _WORTH_SECONDS * language.characters_per_second else 1
    if jobs <= 1 or len(texts) < 2:
        yield from map(language.try_parse, texts)
        return
    shared = _SharedLanguage(language.fingerprint or uuid4().hex, language)
    batches = _batches(texts, total // (_BATCHES * jobs) + 1)
    # Fresh processes, not forks: JAX's threads do not survive a fork.
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator")
    for results in parallel(joblib.delayed(_parse_batch)(shared, batch) for batch in batches):
        yield from results


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    total = 0
    for text in texts:
        batch.append(text)
        total += len(text)
        if total >= size:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _SharedLanguage:
    """A language sent to another process; copies with the same key are equal."""

    key: str
    language: BaseLanguage = field(compare=False)


@lru_cache(maxsize=2)
def _first_copy(shared: _SharedLanguage) -> BaseLanguage:
    """Return the first copy that this process received, so that its parser is built only once."""
    return shared.language


def _parse_batch(shared: _SharedLanguage, texts: list[str]) -> list[ParseResult]:
    return [_first_copy(shared).try_parse(text) for text in texts]
