"""Which strings of a corpus are known to go on from one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.features._reading import compute_once
from dni_jax.text import PLACE, Corpus


class Runs(NamedTuple):
    """Stretches of text that are whole as far as is known: a string, or pieces of one that follow each other.

    ``offsets`` int64 ``(R + 1,)``; ``begins`` and ``ends`` bool ``(R,)``: False where text before or behind the run
    is missing.
    """

    offsets: Int[np.ndarray, " R1"]
    begins: Bool[np.ndarray, " R"]
    ends: Bool[np.ndarray, " R"]


def runs(corpus: Corpus) -> Runs:
    r"""Join the pieces of a string that follow each other in the corpus.

    Order and flags alone do not tell: ``take`` and ``shuffled`` lay any two pieces side by side. Neighbours are
    joined where the record ``"place"``, which `dni_jax.text.cut` writes, goes on from the one to the other.

    Examples
    --------
    >>> from dni_jax.text import cut
    >>> pieces = cut(Corpus.from_strings(["one\ntwo", "x"]), 4)
    >>> runs(pieces).offsets.tolist(), runs(pieces.take(np.array([2, 0, 1]))).offsets.tolist()
    ([0, 7, 8], [0, 1, 8])
    """
    return compute_once(corpus, "runs", _runs)


def _runs(corpus: Corpus) -> Runs:
    first = np.ones(len(corpus), bool)
    if PLACE in corpus.records:
        place, cuts = corpus.records[PLACE], corpus.offsets[1:-1]
        first[1:] = corpus.ends[:-1] | corpus.begins[1:] | (place[cuts - 1] + 1 != place[cuts])
    last = np.append(first[1:], True)
    return Runs(np.append(corpus.offsets[:-1][first], corpus.offsets[-1]), corpus.begins[first], corpus.ends[last])
