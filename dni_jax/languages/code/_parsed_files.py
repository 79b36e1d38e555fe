"""Many texts parsed: from the cache, or on all cores where there is enough to parse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import uuid4

import joblib

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._parse_result import ParseResult
from dni_jax.languages.code._cache import ParseCache

_WORTH_SECONDS = 8.0  # of parsing in one process; starting another takes two or three
_BATCHES = 6  # for each process


def read_texts(language: BaseLanguage, texts: Sequence[str], jobs: int | None = None) -> Iterator[ParseResult]:
    """Parse texts, in their order; what the cache holds is not parsed again.

    Parameters
    ----------
    language
        Parses.
    texts
        What to parse.
    jobs
        How many processes; None takes all cores where it pays. The result is the same whatever their number.
    """
    cache = ParseCache(language.fingerprint, language.kinds)
    known = [cache.load(text) for text in texts]
    missing = [place for place, result in enumerate(known) if result is None]
    fresh = _parsed(language, [texts[place] for place in missing], jobs)
    for text, result in zip(texts, known, strict=True):
        if result is None:
            result = next(fresh)
            result = replace(result, trees=replace(result.trees, kinds=language.kinds))  # one object for all texts
            cache.save(text, result)
        yield result
    if missing:
        cache.prune()


def _parsed(language: BaseLanguage, texts: Sequence[str], jobs: int | None) -> Iterator[ParseResult]:
    total = sum(map(len, texts))
    if jobs is None:
        jobs = joblib.cpu_count() if total > _WORTH_SECONDS * language.characters_per_second else 1
    if jobs <= 1 or len(texts) < 2:
        yield from map(language.try_parse, texts)
        return
    sent = _Sent(language.fingerprint or uuid4().hex, language)
    batches = _batches(texts, total // (_BATCHES * jobs) + 1)
    # Fresh processes, not forks: JAX's threads do not survive a fork.
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator")
    for results in parallel(joblib.delayed(_read_batch)(sent, batch) for batch in batches):
        yield from results


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for text in texts:
        batch.append(text)
        held += len(text)
        if held >= size:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class _Sent:
    """A language on its way to another process; copies with the same key are the same."""

    key: str
    language: BaseLanguage = field(compare=False)


@lru_cache(maxsize=2)
def _kept(sent: _Sent) -> BaseLanguage:
    """The first copy that came: its parser is built once in a process."""
    return sent.language


def _read_batch(sent: _Sent, texts: list[str]) -> list[ParseResult]:
    return [_kept(sent).try_parse(text) for text in texts]
