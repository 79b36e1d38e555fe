"""Python's grammar: what Lark's own refuses, and where the amendments come in."""

from importlib import resources

import pytest

from dni_jax.languages import get
from dni_jax.languages.code._python import PYTHON_AMENDMENTS


def test_every_amendment_finds_its_place_in_larks_grammar():
    grammar = (resources.files("lark") / "grammars" / "python.lark").read_text(encoding="utf-8")
    for theirs, ours in PYTHON_AMENDMENTS:
        assert grammar.count(theirs) == 1, theirs
        assert ours not in grammar


@pytest.mark.parametrize(
    "source",
    [
        "with f() as (a, b), g() as self.x:\n    pass",
        "with a as b.c[0]:\n    pass",
        "try:\n    x\nexcept* ValueError as e:\n    y",
        "def f(a, *, b=1, c,):\n    pass",
        "def f(*args, b,):\n    pass",
        "f(a, **b, c=1, **d,)",
        "f(*a, b, *c, **d)",
        "f(*a,)",
        "x = 'one \\\n two' + \"it's\" + '' + 'a\\'b'",
        "x = '''a\nb''' + r'\\d' + b'\\x00' + f'{y!r}'",
    ],
)
def test_what_larks_grammar_refuses_parses(source):
    compile(source, "<test>", "exec")
    trees = get("python").parse(source)
    assert trees.end.max() >= len(source)


def test_strings_end_where_they_do():
    language, source = get("python"), "x = 'a\\\nb' + \"c\" + 'd\\\\'\n"
    labels = language.features().label(language.corpus([source]))["range:string"]
    inside = "".join(c if on else "." for c, on in zip(source, labels, strict=True))
    assert inside == "....'a\\\nb'...\"c\"...'d\\\\'."
