"""C expressions as a language of their own: sampled, parsed, and small enough to watch the parser at work."""

from __future__ import annotations

from importlib import resources

from dni_jax.languages._language import Language

# One weight a production, in the grammar's order: most strings are of 5 to 35 characters, one in a hundred of 300.
_WEIGHTS = {
    "expression": [80, 1],
    "assignment": [25, 1, 3, 2],
    "conditional": [400, 9, 1],
    "or": [14, 1],
    "and": [10, 1],
    "bit_or": [30, 1],
    "bit_xor": [60, 1],
    "bit_and": [30, 1],
    "equality": [160, 19, 1],
    "comparison": [8, 1],
    "shift": [30, 1],
    "sum": [4, 2, 1],
    "product": [9, 2, 1, 1],
    "addend": [9, 2, 1, 1],
    "_divisor": [1, 1, 40],
    "unary": [2, 1, 60],
    "sign": [6, 1],
    "plain": [1, 40],
    "dereference": [9, 1],
    "solid": [800, 30, 10, 9, 1, 10],
    "sizeof": [1, 1],
    "postfix": [60, 30, 3, 1],
    "_target": [20, 1],
    "chain": [100, 5, 4, 2, 4, 5, 4],
    "_arguments": [2, 1],
    "type": [6, 4, 2, 1, 1, 2, 4],
    "identifier": [20, 1],
    "constant": [30, 2, 1, 1, 3, 2, 1],
}


def c_expressions() -> Language:
    """C expressions with all operators, by precedence: ``k = f(a, 2)->x[i] + *p++ * 3``."""
    grammar = (resources.files("dni_jax.languages") / "c_expressions.lark").read_text(encoding="utf-8")
    return Language("c_expressions", grammar, start="expression", weights=_WEIGHTS)
