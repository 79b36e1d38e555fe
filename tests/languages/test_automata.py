"""Tables of states: each accepts what it should, and no two accept the same words."""

from itertools import product

import numpy as np
import pytest

from dni_jax.languages._automata import Automata

WORDS = [word for n in range(10) for word in product((1, 2), repeat=n)]


def accepted(first, steps, also, accepts):
    """The words that are accepted, by walking sets of states."""

    def spread(states):
        found = list(states)
        for state in found:
            found += [other for other in also(state) if other not in found]
        return frozenset(found)

    behind = {(): spread(first)}
    for word in WORDS[1:]:
        before = behind[word[:-1]]
        behind[word] = spread({to for state in before for symbol, to in steps(state) if symbol == word[-1]})
    return tuple(any(accepts(state) for state in behind[word]) for word in WORDS)


def random_moves(rng, n_old):
    """Some states that lead to one another and to states of the table; the last one accepts."""
    names = [f"q{number}" for number in range(rng.integers(1, 4))]
    pool = names + list(range(n_old))

    def some(most):
        return [pool[rng.integers(len(pool))] for _ in range(rng.integers(0, most))]

    moves = {}
    for place, name in enumerate(names):
        chain = [(1, names[place + 1])] if place + 1 < len(names) else []
        steps = [(int(rng.integers(1, 3)), to) for to in some(3)] + chain
        moves[name] = (not chain or bool(rng.random() < 0.3), steps, some(2))
    return moves


@pytest.mark.parametrize("seed", range(5))
def test_random_automata(seed):
    rng, table = np.random.default_rng(seed), Automata()
    for _ in range(10):
        moves = random_moves(rng, len(table.rows))
        rows = list(table.rows)

        def look(state, moves=moves, rows=rows):
            return (*rows[state], ()) if isinstance(state, int) else moves[state]

        expected = accepted({"q0"}, lambda s: look(s)[1], lambda s: look(s)[2], lambda s: look(s)[0])
        state = table.add(["q0"], moves.__getitem__)
        assert table.rows[: len(rows)] == rows
        assert accepted({state}, lambda s: table.rows[s][1], lambda s: (), lambda s: table.rows[s][0]) == expected
        assert table.add(["q0"], moves.__getitem__) == state
    of_all = [
        accepted({state}, lambda s: table.rows[s][1], lambda s: (), lambda s: table.rows[s][0])
        for state in range(len(table.rows))
    ]
    assert len(set(of_all)) == len(of_all)
