"""Which strings of a corpus are known to go on from one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dni_jax.corpora import Corpus, ParseTrees
from dni_jax.features.reading import once


class Runs(NamedTuple):
    """Stretches of text that are whole as far as is known: a string, or pieces of one that follow each other.

    ``offsets`` int64 ``(R + 1,)``; ``begins`` and ``ends`` bool ``(R,)``: False where text before or behind the run
    is missing.
    """

    offsets: Int[np.ndarray, " R1"]
    begins: Bool[np.ndarray, " R"]
    ends: Bool[np.ndarray, " R"]


def runs(corpus: Corpus) -> Runs:
    r"""Join the pieces of a string that demonstrably follow each other in the corpus.

    Two neighbours are joined where the first goes on and the second continues, they are of one group, and the nodes
    that stick out of the first behind are exactly those that stick out of the second in front (at least one). Order
    and flags alone prove nothing: ``take`` and ``shuffled`` lay any two pieces side by side. Without trees, or where
    no node spans the cut, pieces stay apart.

    Examples
    --------
    >>> from dni_jax.corpora import cut
    >>> runs(cut(Corpus.from_strings(["one\ntwo", "x"]), 4)).offsets.tolist()
    [0, 4, 7, 8]
    """
    return once(corpus, "runs", _runs)


def _runs(corpus: Corpus) -> Runs:
    goes_on = np.flatnonzero(~corpus.ends[:-1] & ~corpus.begins[1:] & (corpus.groups[:-1] == corpus.groups[1:]))
    if corpus.trees is None or len(goes_on) == 0:
        return Runs(corpus.offsets, corpus.begins, corpus.ends)
    first = np.ones(len(corpus), bool)
    first[goes_on[_same_nodes(corpus, corpus.trees, goes_on)] + 1] = False
    last = np.append(first[1:], True)
    return Runs(np.append(corpus.offsets[:-1][first], corpus.offsets[-1]), corpus.begins[first], corpus.ends[last])


def _same_nodes(corpus: Corpus, trees: ParseTrees, left: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether the nodes that stick out of string `left` behind are those that stick out of the next in front."""
    lengths = np.diff(corpus.offsets)
    some = trees.end > trees.start
    rows_out = np.flatnonzero(some & (trees.end > lengths[trees.string]))
    rows_in = np.flatnonzero(some & (trees.start < 0))
    out_of, into = trees.string[rows_out], trees.string[rows_in] - 1
    n_out = np.bincount(out_of, minlength=len(corpus))
    n_in = np.bincount(into[into >= 0], minlength=len(corpus))
    asked = np.zeros(len(corpus), bool)
    asked[left] = True
    alike = asked & (n_out == n_in) & (n_out > 0)
    # Equally many on either side, in one order: row by row they must be the same nodes.
    rows_out, rows_in = rows_out[alike[out_of]], rows_in[(into >= 0) & alike[into]]
    string = trees.string[rows_out]
    same = (
        (trees.rule[rows_out] == trees.rule[rows_in])
        & (trees.depth[rows_out] == trees.depth[rows_in])
        & (trees.start[rows_out] - lengths[string] == trees.start[rows_in])
        & (trees.end[rows_out] - lengths[string] == trees.end[rows_in])
    )
    alike[string[~same]] = False
    return alike[left]
