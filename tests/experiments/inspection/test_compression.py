"""The n-gram model that a network's loss is compared with, against counting in dictionaries."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from experiments.inspection._compression import compressor_bits, ngram_bits


def by_dictionaries(train, test, order, n_symbols):
    text, tables, bits = [*train, *test], [], 0.0
    for length in range(order):
        followers = defaultdict(Counter)
        for place in range(length, len(train)):
            followers[tuple(text[place - length : place])][text[place]] += 1
        tables.append(followers)
    for place in range(len(train), len(text)):
        probability = 1 / n_symbols
        for length, followers in enumerate(tables):
            seen = followers.get(tuple(text[place - length : place]))
            if seen:
                kinds = len(seen)
                probability = (seen[text[place]] + kinds * probability) / (seen.total() + kinds)
        bits -= math.log2(probability)
    return bits / len(test)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_ngrams(order):
    rng = np.random.default_rng(0)
    train, test = (np.cumsum(rng.integers(0, 2, size)) % 4 for size in (500, 100))
    expected = by_dictionaries(train.tolist(), test.tolist(), order, 4)
    assert ngram_bits(train, test, order, 4) == pytest.approx(expected)


def test_a_repeated_text_is_nearly_free():
    text = "".join(chr(97 + n) for n in np.random.default_rng(0).integers(0, 26, 5_000))
    bits = compressor_bits(text, text)
    assert bits["xz -9e"] < 0.3
    assert compressor_bits(text, text[::-1])["xz -9e"] > 4
