"""Grammars that the tests share: written by hand, or drawn at random so that they are LL(1) by construction."""

import numpy as np
from hypothesis import strategies as st

JSON = r"""
?value: object | array | string | number | "true" -> true | "null" -> null
object: "{" [_pairs] "}"
_pairs: pair ("," pair)*
pair: string ":" value
array: "[" (value ("," value)*)? "]"
string: STRING
number: NUMBER
STRING: /"([a-c \[\](){}]|\\n){0,6}"/
NUMBER: /-?(0|[1-9][0-9]{0,2})(\.[0-9]+)?/
"""

_POOL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + "".join(map(chr, range(0x3B1, 0x3C9)))


@st.composite
def ll1_grammars(draw):
    """Lark text of an unambiguous grammar.

    Every choice (an alternative, an option, another turn of a repeat) is told by a character that occurs nowhere
    else, and what may be empty is followed by such a character, so one character of look-ahead settles everything.
    """
    fresh = iter(_POOL)
    count = draw(st.integers(1, 4))
    names = [draw(st.sampled_from(["", "", "_", "?"])) + f"r{i}" if i else "r0" for i in range(count)]
    plain = [name.strip("?") for name in names]
    may_be_empty = [False] + [draw(st.integers(0, 3)) == 0 for _ in names[1:]]

    def reference(lowest):
        row = draw(st.integers(lowest, count - 1))
        return f'{plain[row]} "{next(fresh)}"' if may_be_empty[row] else plain[row]

    def part(lowest):
        kinds = ["letter", "token"] + (["rule", "option", "star", "plus", "brackets"] if lowest < count else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "letter":
            return f'"{draw(st.sampled_from("01[]{}"))}"'
        if kind == "token":
            return f'TOKEN "{next(fresh)}"'
        if kind == "rule":
            return reference(lowest)
        if kind == "brackets":
            return f'"(" {reference(lowest)} ")"'
        sign = {"option": "?", "star": "*", "plus": "+"}[kind]
        return f'("{next(fresh)}" {reference(lowest)}){sign} "{next(fresh)}"'

    lines = []
    for row, name in enumerate(names):
        lowest = [row + 1] + [0] * draw(st.integers(0, 2))  # the first alternative cannot recur
        written = []
        for place, low in enumerate(lowest):
            parts = [f'"{next(fresh)}"', *(part(low) for _ in range(draw(st.integers(0, 2))))]
            alias = f" -> x{row}{place}" if not name.startswith("_") and draw(st.integers(0, 4)) == 0 else ""
            written.append(" ".join(parts) + alias)
        lines.append(f"{name}: " + "\n  | ".join(written) + ("\n  |" if may_be_empty[row] else ""))
    return "\n".join([*lines, 'TOKEN: /[5-9]{1,2}(,[5-9])*/ | "&&"'])


@st.composite
def small_weighted_grammars(draw):
    """Productions ``{symbol: [(weight, parts)]}`` of any shape: ambiguous, with empty and unit productions, cycles."""
    count = draw(st.integers(1, 3))
    names = [f"n{row}" for row in range(count)]
    part = st.sampled_from(["x", "y", *names])
    grammar = {}
    for name in names:
        rights = draw(st.lists(st.lists(part, max_size=3).map(tuple), min_size=1, max_size=3, unique=True))
        rights = [right for right in rights if right != (name,)]
        rights.insert(draw(st.integers(0, len(rights))), draw(st.sampled_from([("x", "x"), ("y", "x", "x"), ("z",)])))
        rights = list(dict.fromkeys(rights))
        grammar[name] = [(draw(st.integers(1, 6)), right) for right in rights]
    return grammar


def reachable(grammar, start="n0"):
    """The part of the productions that the start symbol can reach; Lark drops the rest."""
    found, waiting = {}, [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = grammar[name]
            waiting += [part for _, right in grammar[name] for part in right if part in grammar]
    return {name: grammar[name] for name in grammar if name in found}


def as_lark(grammar):
    """Lark text and weights of productions ``{symbol: [(weight, parts)]}``."""
    lines = []
    for name, productions in grammar.items():
        rights = [" ".join(p if p in grammar else f'"{p}"' for p in right) for _, right in productions]
        lines.append(f"{name}: " + " | ".join(rights))
    return "\n".join(lines), {name: [w for w, _ in productions] for name, productions in grammar.items()}


def enumerate_strings(grammar, longest, rounds=400):
    """The mass of every string up to a length, for every symbol, by going round the definition until it stands."""
    total = {name: sum(w for w, _ in productions) for name, productions in grammar.items()}
    mass = {name: {} for name in grammar}
    for _ in range(rounds):
        update = {}
        for name, productions in grammar.items():
            update[name] = {}
            for weight, right in productions:
                partial = {"": weight / total[name]}
                for part in right:
                    options = mass[part] if part in grammar else {part: 1.0}
                    following = {}
                    for a, p in partial.items():
                        for b, q in options.items():
                            if len(a) + len(b) <= longest:
                                following[a + b] = following.get(a + b, 0.0) + p * q
                    partial = following
                for string, p in partial.items():
                    update[name][string] = update[name].get(string, 0.0) + p
        change = max(
            (abs(p - mass[name].get(s, 0.0)) for name in grammar for s, p in update[name].items()), default=0.0
        )
        mass = update
        if change < 1e-15:
            break
    return mass


def growth(grammar):
    """The spectral radius of the mean numbers of children."""
    names = list(grammar)
    mean = np.zeros((len(names), len(names)))
    for row, name in enumerate(names):
        total = sum(w for w, _ in grammar[name])
        for weight, right in grammar[name]:
            for part in right:
                if part in grammar:
                    mean[row, names.index(part)] += weight / total
    return float(np.abs(np.linalg.eigvals(mean)).max())
