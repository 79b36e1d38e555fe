"""States of a network that reads tokens, assigned to characters by the tokens' offsets."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from dni_jax.models._arrays import check_finite_states, check_neurons, strings_of
from dni_jax.states import Activations, as_numpy
from dni_jax.text import Corpus, concatenate_ranges

ASSIGNMENTS = ("containing", "completed")
_ROWS = "one row per token, as many as there are offsets"


def from_tokens(
    states: Any,
    offsets: Any,
    corpus: Corpus,
    assign: str = "containing",
    *,
    unit: str = "character",
) -> Activations:
    """Assign the states that another network had at every token to characters.

    Parameters
    ----------
    states
        One floating array ``(n_s, N)`` per string, a row per token, or all as one padded array ``(S, n, N)``;
        frameworks and types as in `from_arrays`.
    offsets
        One integer array ``(n_s, 2)`` a string, or all as one ``(S, n, 2)``: where each token begins and ends, in
        characters of its string; Hugging Face's ``offset_mapping``. Tokens without characters, as special and padding
        tokens are, ``(0, 0)``, are left out.
    corpus
        The strings.
    assign : {"containing", "completed"}
        Which token's state a character gets:

        - "containing": that of the token it is part of. *This state has seen the token's later characters too.* A
          character that no token covers (a space that the tokenizer drops) has no state.
        - "completed": that of the last token that ended at this character or before it: what a network that reads
          from left to right knows after this character. Characters between tokens keep the state of the token before.
          Characters before the first token's end have no state.
    unit : {"character", "token"}
        What counts in scores. With "token", only a token's last character has a state, so that each token counts once,
        however long it is; `dni_jax.features.Labels.by_token` says how a token gets its label.

    Returns
    -------
    Activations over the T characters. Those without a state are False in ``mask``, which `dni.inspect` leaves out, and
    have 0 in ``hidden``; ``mask`` is None where every character has one. ``symbols`` says which token each state
    belongs to, by its text: what baselines hold fixed.

    Raises
    ------
    ValueError
        For sizes that do not match, offsets that leave the string, go back or overlap (names the string and the
        token), NaN or infinity, or no token at all; with "completed", for text after the last token.

    Notes
    -----
    A byte-level tokenizer may cut inside a character; its tokens then share this one character, which is no overlap.
    With "containing" it gets the state of the last of them.

    Examples
    --------
    >>> import numpy as np
    >>> import dni_jax as dni
    >>> corpus = dni.Corpus.from_strings(["if (x)"])
    >>> states = [np.array([[9.0], [1.0], [2.0], [3.0]])]  # [BOS], "if", "(x", ")"
    >>> offsets = [[(0, 0), (0, 2), (3, 5), (5, 6)]]
    >>> containing = dni.from_tokens(states, offsets, corpus)
    >>> containing.hidden[:, 0].tolist(), np.flatnonzero(~containing.mask).tolist()
    ([1.0, 1.0, 0.0, 2.0, 2.0, 3.0], [2])
    >>> completed = dni.from_tokens(states, offsets, corpus, assign="completed")
    >>> completed.hidden[:, 0].tolist(), np.flatnonzero(~completed.mask).tolist()
    ([0.0, 1.0, 1.0, 1.0, 2.0, 3.0], [0])
    """
    if assign not in ASSIGNMENTS:
        raise ValueError(f"expected assign to be one of {', '.join(ASSIGNMENTS)}, got {assign!r}")
    if unit not in ("character", "token"):
        raise ValueError(f"expected unit to be 'character' or 'token', got {unit!r}")
    offsets = _one_a_string(offsets, "offsets")
    if len(offsets) != len(corpus):
        raise ValueError(f"expected one array of offsets per string, {len(corpus):,} in all, got {len(offsets):,}")
    spans = [_spans(given, corpus, number) for number, given in enumerate(offsets)]
    arrays = strings_of(_one_a_string(states, "states"), corpus, [len(every) for every in spans], _ROWS)
    hidden = np.zeros((corpus.n_positions, arrays[0].shape[1]), arrays[0].dtype)
    check_neurons(hidden)
    mask = np.zeros(corpus.n_positions, bool)
    symbols, known = np.full(corpus.n_positions, -1, np.int64), dict[str, int]()
    for number, (array, every) in enumerate(zip(arrays, spans, strict=True)):
        place = slice(int(corpus.offsets[number]), int(corpus.offsets[number + 1]))
        kept = np.flatnonzero(every[:, 1] > every[:, 0])
        if assign == "containing":
            token = _containing(every[kept], place.stop - place.start)
        else:
            _check_read_to_the_end(every, corpus, number)
            token = _completed(every[kept], place.stop - place.start)
        if unit == "token":
            inside = np.zeros(len(token), bool)
            inside[every[kept, 1] - 1] = True
            token = np.where(inside, token, -1)
        mask[place] = token >= 0
        texts = [corpus.strings[number][start:end] for start, end in every[kept].tolist()]
        codes = np.asarray([known.setdefault(text, len(known)) for text in texts], np.int64)
        symbols[place][token >= 0] = codes[token[token >= 0]]
        hidden[place][token >= 0] = array[kept[token[token >= 0]]]
    if not mask.any():
        raise ValueError("expected tokens with characters, got none: are the offsets all (0, 0)?")
    check_finite_states(hidden, corpus)
    everywhere = None if mask.all() else mask
    return Activations(hidden=hidden, groups=corpus.position_groups, mask=everywhere, symbols=symbols)


def _one_a_string(values: Any, name: str) -> Any:
    if not isinstance(values, (list, tuple)) and getattr(values, "ndim", 0) != 3:
        raise ValueError(
            f"expected {name} as a list of one array per string, or as one array of three dimensions, got "
            f"{type(values).__name__} of shape {getattr(values, 'shape', None)}"
        )
    return values


def _spans(given: Any, corpus: Corpus, number: int) -> Int[np.ndarray, "n 2"]:
    """Check the tokens' places in one string: in it, from left to right, sharing one character at most."""
    spans = np.zeros((0, 2), np.int64) if len(given) == 0 else as_numpy(given, f"offsets of string {number}")
    if spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind not in "iu":
        raise ValueError(
            f"expected offsets of string {number} as integers (n, 2), got {spans.dtype} of shape {spans.shape}"
        )
    spans = spans.astype(np.int64)
    length = int(corpus.offsets[number + 1] - corpus.offsets[number])
    outside = (spans[:, 0] < 0) | (spans[:, 1] > length) | (spans[:, 1] < spans[:, 0])
    if outside.any():
        token = int(outside.argmax())
        raise ValueError(
            f"expected offsets 0 <= start <= end <= {length} in string {number}, got {_pair(spans[token])} of token "
            f"{token}: count in characters of this string, not in bytes or positions of the corpus"
        )
    tokens = np.flatnonzero(spans[:, 1] > spans[:, 0])
    before, after = spans[tokens[:-1]], spans[tokens[1:]]
    bad = (after[:, 0] < before[:, 1] - 1) | (after < before).any(axis=1)
    if bad.any():
        token = int(tokens[1:][bad.argmax()])
        raise ValueError(
            f"expected tokens from left to right without overlaps in string {number}, got {_pair(spans[token])} of "
            f"token {token} after {_pair(before[bad.argmax()])}: assign each character to one token"
        )
    return spans


def _pair(span: np.ndarray) -> tuple[int, int]:
    return int(span[0]), int(span[1])


def _containing(spans: Int[np.ndarray, "n 2"], length: int) -> Int[np.ndarray, " L"]:
    """The token of each character, -1 where there is none; of several that share it, the last."""
    token = np.full(length, -1, np.int64)
    widths = spans[:, 1] - spans[:, 0]
    token[concatenate_ranges(spans[:, 0], widths)] = np.repeat(np.arange(len(spans)), widths)
    return token


def _completed(spans: Int[np.ndarray, "n 2"], length: int) -> Int[np.ndarray, " L"]:
    """The last token that has ended when each character is read, -1 before the first."""
    return np.searchsorted(spans[:, 1], np.arange(1, length + 1), side="right") - 1


def _check_read_to_the_end(spans: Int[np.ndarray, "n 2"], corpus: Corpus, number: int) -> None:
    """Raise a ValueError for a truncated text: its last characters would all keep the last token's state."""
    end = int(spans[:, 1].max(initial=0))
    if corpus.strings[number][end:].strip():
        raise ValueError(
            f"expected tokens up to the end of string {number}, {len(corpus.strings[number]):,} characters, got the "
            f"last one's end at {end:,}: if the tokenizer truncates, cut the corpus into shorter pieces with "
            'dni_jax.text.segment_corpus; or take assign="containing", which leaves such characters out'
        )
