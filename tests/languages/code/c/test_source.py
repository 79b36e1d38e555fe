"""A real file of C, and texts that no one meant to be C."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dni_jax.languages import get
from dni_jax.languages._nesting import tree_from_spans
from dni_jax.languages.code.c._declarations import collect_typedefs, guess_typedefs, read_typedefs, split_declarations
from dni_jax.languages.code.c._features import KINDS
from dni_jax.languages.code.c._lexer import tokenize, words
from dni_jax.languages.code.c._rewriting import rewrite

C = get("c")
OUTSIDE = {"brackets", "comment", "preprocessor"}


@pytest.fixture(scope="module")
def source():
    import numpy.f2py

    return (Path(numpy.f2py.__file__).parent / "src" / "fortranobject.c").read_text(encoding="utf-8")


def check_nesting(trees, length):
    """Nodes contain one another or are disjoint, parents are the smallest around, in pre-order."""
    opened = []
    for row in range(len(trees.rule)):
        start, end = int(trees.start[row]), int(trees.end[row])
        assert 0 <= start < end <= length
        if KINDS[trees.rule[row]].symbol in OUTSIDE:
            assert trees.parent[row] == -1
            assert trees.depth[row] == 0
            continue
        while opened and opened[-1][1] <= start:
            opened.pop()
        assert not opened or end <= opened[-1][1], (KINDS[trees.rule[row]], opened[-1])
        assert trees.parent[row] == (opened[-1][0] if opened else -1)
        assert trees.depth[row] == len(opened)
        opened.append((row, end))


def test_fortranobject_parses_to_the_last_character(source):
    result = C.try_parse(source)
    counts = result.counts
    assert result.error == ""
    assert counts["functions"] == counts["functions_parsed"] >= 36
    assert counts["declarations"] == counts["declarations_parsed"]
    assert counts["all_characters"] - counts["all_characters_parsed"] == counts["dead_characters"]
    assert counts["dead_characters"] > 0
    assert counts["characters"] == counts["characters_parsed"] > 0.8 * (len(source) - counts["dead_characters"])
    check_nesting(result.trees, len(source))
    leaves = {"identifier": str.isidentifier, "number": lambda s: s[0].isdigit(), "terminator": lambda s: s == ";"}
    for row in range(len(result.trees.rule)):
        test = leaves.get(KINDS[result.trees.rule[row]].name)
        assert test is None or test(source[result.trees.start[row] : result.trees.end[row]])


def test_features_of_fortranobject(source):
    corpus = C.corpus([source])
    labels = C.features().label(corpus)
    assert labels.mask.mean() > 0.95
    on = {name: int((labels[name] != 0).sum()) for name in labels.names}
    rare = {"range:typedef", "range:enumeration", "range:structure", "range:conditional", "range:character"}
    rare |= {"range:switch", "range:case"}
    assert not [name for name, count in on.items() if count == 0 and name.replace("impulse", "range") not in rare]
    assert on["range:terminator"] == on["impulse:terminator"] > 500
    assert on["range:comment"] == sum(b - a for a, b in comments(source))


def comments(text):
    """Where comments stand, by a walk over the characters."""
    place, found = 0, []
    while place < len(text):
        if text[place] in "\"'":
            quote, place = text[place], place + 1
            while text[place] != quote:
                place += 1 + (text[place] == "\\")
            place += 1
        elif text.startswith("/*", place):
            end = text.index("*/", place) + 2
            found.append((place, end))
            place = end
        elif text.startswith("//", place):
            end = text.index("\n", place)
            found.append((place, end))
            place = end
        else:
            place += 1
    return found


WORDS = [
    *words(
        "int f ( ) { } ; , * = x y u32 if else for while do switch case default : return goto struct enum typedef "
        "static const \"s\" 'c' 1 [ ] -> . ? + == ++ sizeof list_for_each __init __attribute__ asm ... && # "
        "DEFINE_X @ \\"
    ),
    "\n",
    "\n#if\n",
    "\n#else\n",
    "\n#endif\n",
]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_any_text_is_read_and_every_character_accounted_for(text):
    result = C.try_parse(text)
    counts = result.counts
    check_nesting(result.trees, max(len(text), 1))
    masked = np.zeros(len(text), bool)
    for first, last in result.unparsed:
        assert 0 <= first < last <= len(text)
        masked[first:last] = True
    assert counts["all_characters_parsed"] == (~masked).sum()
    assert bool(result.error) == (counts["declarations_parsed"] < counts["declarations"])
    assert counts["functions_parsed"] <= counts["functions"] <= counts["declarations"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_rewriting_keeps_places_and_order(text):
    tokens = rewrite(tokenize(text), text)
    assert all(token.value in (text[token.start : token.end], "") for token in tokens)
    starts = [token.start for token in tokens]
    assert starts == sorted(starts)
    found = split_declarations(tokens, text)
    assert [one.first for one in found] == [0, *(one.last for one in found)][: len(found)]
    assert not tokens or found[-1].last == len(tokens)


@st.composite
def nested_spans(draw):
    """Spans of random bracket strings."""
    string = draw(st.lists(st.sampled_from("()."), max_size=40).map("".join))
    opened, spans = [], []
    for place, character in enumerate(string):
        if character == "(":
            opened.append(place)
        elif character == ")" and opened:
            spans.append((opened.pop(), place + 1))
        elif character == ".":
            spans.append((place, place + 1))
    return draw(st.permutations(spans))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(nested_spans())
def test_tree_from_spans_against_a_walk(spans):
    table = np.asarray([(0, a, b) for a, b in spans], np.int64).reshape(-1, 3)
    nothing = np.zeros(0, np.int64)
    tree = tree_from_spans(KINDS, (table[:, 0], table[:, 1], table[:, 2]), (nothing, nothing, nothing))
    check_nesting(tree, 100)
    for row in range(len(spans)):
        around = [(b - a) for a, b in spans if a <= tree.start[row] and tree.end[row] <= b]
        assert tree.depth[row] == len(around) - 1


def test_types_are_guess_typedefs_from_where_they_stand():
    code = "static a_t f(b_t *x, const c_t y) { d_t z; e_t *w = (g_t *)x; (h_t)z; for (i_t *p = 0;;) x * y; k(l * m); }"
    tokens = tokenize(code)
    assert guess_typedefs(tokens, 0, len(tokens)) == {"a_t", "b_t", "c_t", "d_t", "e_t", "g_t", "h_t", "i_t"}


def test_typedefs_are_collected_and_read(tmp_path):
    texts = ["typedef unsigned int a, *b; typedef struct s { int x[3]; struct { int y; } z; } c;", "int d;"]
    assert collect_typedefs([*texts, "typedef e (*f)(int (*g)(void), h); typedef enum { I } j[4];"]) == set("abcfj")
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    assert read_typedefs(tmp_path / "names.txt") == {"one", "two"} == read_typedefs(["one", "two"])
    with pytest.raises(ValueError, match=r"names of types, got '1x'"):
        read_typedefs(["1x"])
    with pytest.raises(ValueError, match=r"one name of a type per line.*nowhere"):
        read_typedefs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "source", ["int old(a, b)\n int a;\n char *b;\n{ return a + *b; }\n", "int h(a, b)\nint a, b;\n{ return a; }\n"]
)
def test_old_style_definitions_keep_to_themselves(source):
    whole = source + "int g(void) { return 1; }"
    result = C.try_parse(whole)
    assert (result.counts["functions"], result.counts["functions_parsed"], result.error) == (2, 2, "")
    corpus = C.corpus([whole])
    assert corpus.parsed is None
    inside = C.features().label(corpus)["range:function definition"]
    assert inside.tolist() == [place != len(source) - 1 for place in range(len(whole))]


def test_a_body_that_belongs_to_nothing_ends_where_it_ends():
    source = "{ x; }\nint g(void) { return 1; }\n{ y; }  { z; }"
    result = C.try_parse(source)
    assert (result.counts["functions"], result.counts["functions_parsed"]) == (4, 1)
    assert result.unparsed.tolist() == [[0, 6], [33, len(source)]]  # with the white space between two unknown parts


COMPILED = {
    "attribute macros with arguments": "extern void *copy(const void *s) __THROW __nonnull ((1)) __wur;",
    "attributes of C23": "[[nodiscard]] int f(int x [[maybe_unused]]) { switch (x) { case 1: [[fallthrough]]; } }",
    "the type of an enumeration": "enum E : unsigned char { A, B };",
    "digit separators": "int x = 1'000'000, y = 0xFF'FF;",
    "digraphs": "int a<:3:> = <% 1, 2, 3 %>;",
    "a calling convention": "typedef int (__stdcall *CALLBACK)(int);\ntypedef void (WINAPI *F)(int a, int b);",
    "a nested function": "int f(int a) { int g(int b) { return a + b; } return g(2); }",
    "an implicit int": "static counter = 0;",
    "parameters declared after the head": "main(argc, argv) int argc; char **argv; { return 0; }",
    "spliced identifiers": "int lo\\\nng_name = 3; int f(void) { ret\\\nurn 1; }",
    "many parentheses": "int x = " + "(" * 100 + "1" + ")" * 100 + ";",
    "many branches": "int f(int x) {" + " else ".join(["if (x == 1) return 2;"] * 250) + " return 0; }",
}


@pytest.mark.parametrize("about", COMPILED)
def test_what_compilers_take(about):
    result = C.try_parse(COMPILED[about])
    assert result.error == ""
    assert result.is_complete
    check_nesting(result.trees, len(COMPILED[about]))


def test_a_function_with_old_parameters_has_its_head_in_it():
    text = COMPILED["parameters declared after the head"]
    tree = C.try_parse(text).trees
    (row,) = [row for row, rule in enumerate(tree.rule) if KINDS[rule].symbol == "FuncDef"]
    assert (tree.start[row], tree.end[row]) == (0, len(text))


def test_bit_fields_of_enumerations_stay():
    assert C.try_parse("struct s { enum e : 3; enum e x : 3; };").error == ""
    assert C.try_parse("int f(void) { return a[b[1]] + (A * b) * (c); }").error == ""
