"""How well others predict a text: an n-gram model and compressors, in bits per character."""

import bz2
import lzma

import numpy as np


def ngram_bits(train: np.ndarray, test: np.ndarray, order: int, n_symbols: int) -> float:
    """Cross entropy of an interpolated n-gram model (Witten & Bell 1991) that knows `order` - 1 earlier symbols.

    A context that was followed by T different symbols in c places gives its own counts the weight c / (c + T); the
    rest goes to the context that is one symbol shorter, and in the end to equal shares.

    Parameters
    ----------
    train, test
        Codes below `n_symbols`; the test text is read on behind the training text.
    order
        1 counts symbols, 2 pairs, and so on.
    n_symbols
        Size of the vocabulary.
    """
    probability = np.full(len(test), 1 / n_symbols)
    context = np.zeros(len(train) + len(test), np.uint64)
    text = np.concatenate([train, test]).astype(np.uint64)
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    for length in range(order):
        if length:  # a hash of the last `length` symbols
            older = np.concatenate([np.zeros(length, np.uint64), text[:-length]])
            with np.errstate(over="ignore"):
                context = (context ^ (older + np.uint64(1))) * multiplier
                context ^= context >> np.uint64(29)
        with np.errstate(over="ignore"):
            pair = (context * multiplier + text) * multiplier
        seen, unseen = slice(length, len(train)), slice(len(train), None)
        contexts, which = np.unique(context[seen], return_inverse=True)
        counts = np.bincount(which)
        pairs, first, pair_counts = np.unique(pair[seen], return_index=True, return_counts=True)
        different = np.bincount(which[first], minlength=len(contexts))
        total = _looked_up(contexts, counts, context[unseen])
        kinds = _looked_up(contexts, different, context[unseen])
        own = _looked_up(pairs, pair_counts, pair[unseen])
        known = total > 0
        probability[known] = (own[known] + kinds[known] * probability[known]) / (total[known] + kinds[known])
    return float(-np.log2(probability).mean())


def _looked_up(keys: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0).astype(float)


def compressor_bits(train: str, test: str) -> dict[str, float]:
    """Bits that each character of the test text adds to the training text's compressed size."""
    ways = {
        "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
        "bzip2 -9": lambda data: bz2.compress(data, 9),
    }
    before, whole = train.encode(), (train + test).encode()
    return {name: 8 * (len(way(whole)) - len(way(before))) / len(test) for name, way in ways.items()}
