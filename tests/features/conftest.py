import pytest

from dni_jax.languages import Language, get
from dni_jax.text import segment_corpus

EMPTIES = 'start: none "(" start? none ")" | item none+ | none\nitem: "x" none "y"\nnone: inner\ninner: "z" |'
CORPORA = {
    "parentheses": lambda: get("parentheses").sample(40, seed=0),
    "arithmetic": lambda: get("arithmetic").sample(40, seed=1, max_length=40),
    "arithmetic, parsed": lambda: get("arithmetic").corpus(["1+2*3", "(4)", "1, (2-(3)), 4/5"]),
    "empty nodes": lambda: Language.from_lark(EMPTIES).sample(60, seed=2, max_length=40),
    "pieces": lambda: segment_corpus(get("arithmetic").sample(40, seed=3, max_length=40), 4),
    "python": lambda: get("python").corpus(["def f(x):\n  return [x, '(', (1)] # (\n", "a = (b\n  [1])", "pass\n"]),
    "python pieces": lambda: segment_corpus(
        get("python").corpus(["def f(x):\n  return [x, '(', (1)] # (\n", "a = (b\n  [1])"]), 7
    ),
}


@pytest.fixture(params=CORPORA, scope="module")
def corpus(request):
    """Corpora with trees: sampled and parsed, with empty nodes, with nodes that stick out of pieces."""
    return CORPORA[request.param]()
