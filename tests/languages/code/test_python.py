"""Python's grammar: what Lark's own refuses, and where the amendments come in."""

from importlib import resources

import pytest

from dni_jax.languages import get, load_text
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
        "@a.b[0].c(1)\n@(x := y)\ndef f(): pass",
        "match x:\n    case -0: pass\n    case -1+2j: pass\n    case 'a' 'b': pass\n    case a.B | A(): pass",
        "type = 3\nprint(type(x), type)\nx = type[0]\ntype.x = 1",
        "y = '{' + x + '}' + f'{{' + \"}\"",
        "x = '''a\nb''' + r'\\d' + b'\\x00' + f'{y!r}'",
        "def f():\n    return 1, *z\n\ndef g():\n    yield 1, *z\n    x = yield\n    return",
        "match x,:\n    case 1: pass\nmatch x, y:\n    case 1: pass\nmatch.a, match = match(x), 1",
        "x = lambda a, /, b: a\nx = lambda a, b=1, /: a\nx = lambda a, /, *b, **c: 1",
        "x = lambda: 0\nx = lambda *, k: 0",
        "x = [a for b in c if d for a in b if e if f]\nf(x for x in y if z)",
        "T[*Ts]\nT[a, *b]\nT[1:2, ::3]\ndef f(*args: *Ts): pass\ndef f(*args: int, b: x = 2, **k: y): pass",
        "with (a as b): pass\nwith (\n    a as b, c, d as (e, f),\n): pass",
        "with (a, b): pass\nwith (a): pass\nwith (a, b) as c: pass",
        "match x:\n    case A(1, b=c): pass\n    case A(b=1, c=_): pass",
        "match x:\n    case A(B(d), 'e',): pass\n    case A(): pass",
        "for x in *a, b: pass\nfor x in a, b: pass\nfor x, in y: pass",
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


@pytest.mark.parametrize(
    "source",
    [
        "def f[T](x: T) -> T: return x\nclass A[T: int, *U, **V](B): pass\ntype X[T] = list[T]\ntype Y = int",
        'x = f"{d["a"]} b {e[\'c\']!r:>{w}}"',
    ],
)
def test_later_pythons_parse(source):
    assert get("python").parse(source).end.max() >= len(source)


def test_attributes_in_patterns_are_attributes():
    source = "match x:\n    case a.B: pass\n    case C(): pass\n    case d.E(): pass\n"
    language = get("python")
    labels = language.features().label(language.corpus([source]))["range:attribute"]
    assert "".join(c if on else " " for c, on in zip(source, labels, strict=True)).split() == ["a.B", "d.E"]


@pytest.mark.parametrize(
    ("bad", "lost"),
    [("print 'x'", "print 'x'"), ("if x:\n    a b\n    c = 1", "a b"), ("x = (1,\n  2", "x = (1,\n  2")],
)
def test_a_statement_that_does_not_parse_loses_only_itself(bad, lost):
    before, after = "import a\n\n@b\ndef c():\n    return [1]  # d\n\n", "e = {f: g}\nclass H:\n    pass\n"
    language = get("python")
    text = before + bad + "\n" + (after if "(" not in bad else "")
    result = language.try_parse(text)
    assert "line" in result.error
    assert [text[first:last].strip() for first, last in result.unparsed.tolist()] == [lost]
    whole = language.try_parse(text.replace(bad, "pass" + " " * (len(bad) - 4)) if "\n" not in bad else before)
    names = [result.trees.kinds[rule].symbol for rule in result.trees.rule]
    for symbol in ("funcdef", "classdef", "comment", "brackets"):
        if "\n" not in bad:
            assert names.count(symbol) == [whole.trees.kinds[rule].symbol for rule in whole.trees.rule].count(symbol)
    kept = result.trees.parent >= 0
    assert (result.trees.start[kept] >= result.trees.start[result.trees.parent[kept]]).all()
    assert (result.trees.end[kept] <= result.trees.end[result.trees.parent[kept]]).all()


@pytest.mark.parametrize("bad", ["print 'x', ü", "f = 1 +", "match[0]", "exec 'a' in b; c"])
def test_an_inner_statement_that_does_not_parse_loses_only_itself(bad):
    language = get("python")
    text = f"# ä\nclass A:\n    @b\n    def c(self):\n        if d:\n            {bad}\n        return [1]\n\nx = 1\n"
    result = language.try_parse(text)
    assert [text[first:last] for first, last in result.unparsed.tolist()] == [bad]
    whole = language.try_parse(text.replace(bad, "0".ljust(len(bad))))
    assert not whole.error
    names = [result.trees.kinds[rule].symbol for rule in whole.trees.rule]
    for symbol in ("classdef", "funcdef", "if_stmt", "return_stmt", "assign", "comment"):
        (row,) = [row for row, rule in enumerate(result.trees.rule) if result.trees.kinds[rule].symbol == symbol]
        expected = names.index(symbol)
        assert result.trees.start[row] == whole.trees.start[expected]
        assert result.trees.end[row] == whole.trees.end[expected]


def test_headers_that_do_not_parse_keep_their_blocks():
    bad = "except ValueError, error:"
    text = f"def f():\n    try:\n        a = 1\n    {bad}\n        return 2\n    print 'x'\n    return 3\n"
    result = get("python").try_parse(text)
    assert [text[first:last] for first, last in result.unparsed.tolist()] == [bad, "print 'x'"]
    names = [result.trees.kinds[rule].symbol for rule in result.trees.rule]
    assert names.count("return_stmt") == 2


@pytest.mark.slow
def test_masking_takes_a_bounded_time():
    text = "class A:\n" + "    x = 1\n" * 300 + "    print 'x'\n" * 100
    result = get("python").try_parse(text)  # each line that is masked is a new parse from the beginning
    assert result.unparsed.tolist() == [[0, len(text)]]


def test_files_are_read_in_the_coding_they_declare(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'ä'\n".encode("latin-1"))
    corpus = load_text(get("python"), [tmp_path / f"{number}.py" for number in range(3)])
    assert "ä" in corpus.strings[0]
    (tmp_path / "bad.py").write_bytes(b"# coding: none-such\n")
    with pytest.raises(ValueError, match="none-such"):
        load_text(get("python"), [tmp_path / "bad.py"])
