"""Many texts parsed: from the cache, or on all cores where there is enough to parse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import uuid4

import joblib

from dni_jax.languages._base import BaseLanguage
from dni_jax.languages._reading import Reading
from dni_jax.languages.code._cache import ParseCache

_WORTH_SECONDS = 8.0  # of parsing in one process; starting another takes two or three
_BATCHES = 6  # for each process


def read_texts(language: BaseLanguage, texts: Sequence[str], jobs: int | None = None) -> Iterator[Reading]:
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
    missing = [place for place, reading in enumerate(known) if reading is None]
    fresh = _parsed(language, [texts[place] for place in missing], jobs)
    for text, reading in zip(texts, known, strict=True):
        if reading is None:
            reading = next(fresh)
            reading = replace(reading, trees=replace(reading.trees, kinds=language.kinds))  # one object for all texts
            cache.save(text, reading)
        yield reading
    if missing:
        cache.prune()


def _parsed(language: BaseLanguage, texts: Sequence[str], jobs: int | None) -> Iterator[Reading]:
    total = sum(map(len, texts))
    if jobs is None:
        jobs = joblib.cpu_count() if total > _WORTH_SECONDS * language.pace else 1
    if jobs <= 1 or len(texts) < 2:
        yield from map(language.read, texts)
        return
    sent = _Sent(language.fingerprint or uuid4().hex, language)
    batches = _batches(texts, total // (_BATCHES * jobs) + 1)
    # Fresh processes, not forks: JAX's threads do not survive a fork.
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator")
    for readings in parallel(joblib.delayed(_read_batch)(sent, batch) for batch in batches):
        yield from readings


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


def _read_batch(sent: _Sent, texts: list[str]) -> list[Reading]:
    return [_kept(sent).read(text) for text in texts]
