import numpy as np
import pytest
from hypothesis import HealthCheck
from scipy import stats

from dni_jax.languages import AmbiguityWarning, Language, get
from tests.support.drawn import few_of_many
from tests.support.grammar_texts import JSON, ll1_grammars
from tests.support.tree_checks import assert_same_trees, check_shape, nodes_of

LENGTH = Language.from_lark('start: "a" start | "b"', weights={"start": [2, 1]})
BRANCHING = Language.from_lark('start: start start | "x"', weights={"start": [1, 2]})


def chi_square(observed, expected):
    """The probability of a difference at least so large."""
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    assert expected.min() > 4
    return stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


def rebuilt(nodes, row, text, rights):
    """The text of a node, written out from its production's name and its children alone."""
    node = nodes[row]
    children = iter(node["children"])
    parts = []
    for part in rights[node["kind"].name]:
        if part is None:
            parts.append(rebuilt(nodes, next(children), text, rights))
        elif part == "[0-9]":
            parts.append(text[node["start"]])
        else:
            parts.append(part)
    assert next(children, None) is None
    return "".join(parts)


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_text_is_what_the_tree_says(name):
    language = get(name)
    corpus = language.sample(300, seed=3)
    rules = {kind.symbol for kind in language.engine.kinds}
    rights = {}
    for kind in language.engine.kinds[:-1]:
        right = kind.name.split(" -> ")[1]
        rights[kind.name] = [None if p in rules else p for p in right.split() if p != "epsilon"]
    for number, string in enumerate(corpus.strings):
        check_shape(corpus.trees, number, len(string))
        nodes = nodes_of(corpus.trees, number)
        roots = [row for row, n in enumerate(nodes) if n["parent"] < 0 and n["kind"].symbol != "brackets"]
        assert ", ".join(rebuilt(nodes, row, string, rights) for row in roots) == string
        for row, node in enumerate(nodes):
            if node["kind"].symbol != "brackets":
                assert rebuilt(nodes, row, string, rights) == string[node["start"] : node["end"]]


def brackets_by_stack(string):
    opened, pairs = [], []
    for place, character in enumerate(string):
        if character == "(":
            opened.append(place)
        elif character == ")":
            pairs.append((opened.pop(), place + 1))
    return sorted(pairs)


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_brackets_are_matched_as_a_stack_does(name):
    corpus = get(name).sample(300, seed=4)
    for number, string in enumerate(corpus.strings):
        found = [(n["start"], n["end"]) for n in nodes_of(corpus.trees, number) if n["kind"].symbol == "brackets"]
        assert found == brackets_by_stack(string)


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
def test_rules_are_drawn_as_often_as_their_weights_say(name):
    language = get(name)
    grammar = language.productions
    trees = language.sample(6_000, seed=5).trees
    counts = np.bincount(trees.rule, minlength=len(trees.kinds))
    for symbol in {kind.symbol for kind in grammar.kinds} - {"d", "brackets"}:
        rows = [row for row, left in enumerate(grammar.left) if grammar.symbols[left] == symbol]
        seen = counts[grammar.kind[rows]]
        assert chi_square(seen, grammar.weight[rows] * seen.sum()) > 1e-3, symbol


@pytest.mark.parametrize("longest", [1, 5, 8])
def test_length_bound_gives_the_conditional_distribution(longest):
    corpus = LENGTH.sample(4_000, seed=6, max_length=longest)
    lengths = np.diff(corpus.offsets)
    share = (2 / 3) ** np.arange(longest)
    seen = np.bincount(lengths, minlength=longest + 1)[1:]
    assert lengths.max() == longest
    assert corpus.coverage["accepted"] == pytest.approx(1 - (2 / 3) ** longest, abs=0.03)
    if longest > 1:
        assert chi_square(seen, 4_000 * share / share.sum()) > 1e-3


def test_length_bound_on_a_branching_grammar():
    lengths = np.diff(BRANCHING.sample(4_000, seed=7, max_length=6).offsets)
    catalan = np.array([1, 1, 2, 5, 14, 42])
    share = catalan * (1 / 3) ** np.arange(6) * (2 / 3) ** np.arange(1, 7)
    assert chi_square(np.bincount(lengths, minlength=7)[1:], 4_000 * share / share.sum()) > 1e-3


def test_depth_bound_gives_the_conditional_distribution():
    corpus = BRANCHING.sample(4_000, seed=8, max_depth=3)
    assert max(node["depth"] for s in range(200) for node in nodes_of(corpus.trees, s)) == 2
    # Trees of at most three levels by their number of leaves; two of them have three.
    share = np.array([2 / 3, (1 / 3) * (2 / 3) ** 2, 2 * (1 / 3) ** 2 * (2 / 3) ** 3, (1 / 3) ** 3 * (2 / 3) ** 4])
    lengths = np.diff(corpus.offsets)
    assert chi_square(np.bincount(lengths, minlength=5)[1:], 4_000 * share / share.sum()) > 1e-3


def test_many_nodes_without_characters_do_not_count_as_length():
    chain = "\n".join(f"r{i}: r{i + 1} e e e" for i in range(20)) + '\nr20: "x"\ne:'
    language = Language.from_lark(chain, start="r0")
    corpus = language.sample(5, seed=0, max_length=1)
    assert corpus.strings == ("x",) * 5
    assert len(corpus.trees.rule) == 5 * (21 + 60)
    assert_same_trees(corpus.trees, language.corpus(corpus.strings).trees)


def test_bounds_that_are_rarely_met_are_met():
    corpus = LENGTH.sample(500, seed=9, max_length=500)
    rare = Language.from_lark('start: "a" start | "b"', weights={"start": [30, 1]})
    few = rare.sample(500, seed=9, max_length=1)
    assert few.strings == ("b",) * 500
    assert few.coverage["accepted"] == pytest.approx(1 / 31, rel=0.3)
    assert corpus.coverage["accepted"] == 1.0


def test_same_seed_same_corpus():
    language = get("arithmetic")
    a, b, c = (language.sample(200, seed=seed, max_length=30) for seed in (1, 1, 2))
    assert a.strings == b.strings
    assert_same_trees(a.trees, b.trees)
    np.testing.assert_array_equal(a.split, b.split)
    assert a.strings != c.strings
    assert a.vocabulary == c.vocabulary == language.sample(1, seed=0).vocabulary


@pytest.mark.parametrize("bounds", [{"max_length": 7}, {"max_depth": 4}])
def test_bound_out_of_reach(bounds):
    # The shortest string, (((()))), has eight characters and five levels.
    with pytest.raises(ValueError, match=r"max_length=.*max_depth=.*got only 0 .*raise the bounds"):
        get("parentheses").sample(10, seed=0, **bounds)
    assert set(get("parentheses").sample(10, seed=0, max_length=8).strings) == {"(((())))"}


def test_weights_under_which_strings_are_infinite():
    language = Language.from_lark('start: start start | "x"', weights={"start": [3, 1]})
    with pytest.raises(ValueError, match=r"finite mean length.*1\.5"):
        language.sample(10)
    lengths = np.diff(language.sample(2_000, seed=0, max_length=3).offsets)
    share = np.array([1 / 4, (1 / 4) ** 2 * 3 / 4, 2 * (1 / 4) ** 3 * (3 / 4) ** 2])
    assert chi_square(np.bincount(lengths, minlength=4)[1:], 2_000 * share / share.sum()) > 1e-3


def test_no_string_is_empty():
    language = Language.from_lark('start: "a" start |', weights={"start": [1, 3]})
    corpus = language.sample(400, seed=0)
    assert len(corpus) == 400
    assert set("".join(corpus.strings)) == {"a"}
    assert min(map(len, corpus.strings)) == 1
    with pytest.raises(ValueError, match="n_strings of at least 1, got 0"):
        language.sample(0)


@few_of_many(12, 60, ll1_grammars(), derandomize=True, suppress_health_check=list(HealthCheck))
def test_sampled_trees_are_the_parsed_trees(text):
    language = Language.from_lark(text, start="r0")
    sampled = language.sample(6, seed=0, max_length=400)
    for number, string in enumerate(sampled.strings):
        check_shape(sampled.trees, number, len(string))
    assert sampled.trees.kinds == language.engine.kinds
    assert_same_trees(sampled.trees, language.corpus(sampled.strings).trees)
    earley = Language.from_lark(text, start="r0", parser="earley")
    few = sampled.take(np.argsort(np.diff(sampled.offsets))[:3])
    assert_same_trees(few.trees, earley.corpus(few.strings).trees)


@pytest.mark.parametrize("parser", ["lalr", "earley"])
def test_json_trees(parser):
    language = Language.from_lark(JSON, start="value", parser=parser)
    sampled = language.sample(150 if parser == "lalr" else 40, seed=1, max_length=60)
    parsed = language.corpus(sampled.strings)
    assert_same_trees(sampled.trees, parsed.trees)
    assert any("[" in s and '"' in s for s in sampled.strings)
    seen = {sampled.trees.kinds[rule].symbol for rule in sampled.trees.rule}
    assert seen == {"object", "array", "pair", "string", "number", "true", "null", "STRING", "NUMBER", "brackets"}


MISREAD = {
    "a name that is a keyword": 'start: s+\ns: "if" ID ";" | ID "=" NUM ";"\nID: /[a-z]+/\nNUM: /[0-9]+/\n%ignore " "',
    "a name that is a keyword, without spaces": 'start: stmt+\nstmt: "if" ID ";" | ID ";"\nID: /[a-z]+/',
    "an operator that is the beginning of another": 'start: item+\nitem: "<" eq? "x"? -> lt | "<=" -> le\neq: "="',
    "tokens that run together": "start: (ID | NUM)+\nID: /[a-z]+/\nNUM: /[0-9]+/",
    "tokens that make a comment": 'start: (OP /[a-z]/)+\nOP: "/" | "*"\n%ignore /\\/\\*.*?\\*\\//\n%ignore /\\n/',
}


@pytest.mark.parametrize("about", MISREAD)
@pytest.mark.filterwarnings("ignore:.* of the texts drawn")
def test_the_parser_reads_every_sampled_text_as_it_was_drawn(about):
    language = Language.from_lark(MISREAD[about])
    assert language.engine.is_lalr
    corpus = language.sample(40, seed=0, max_length=60)
    for row, string in enumerate(corpus.strings):
        assert_same_trees(corpus.trees.take(np.asarray([row])), language.parse(string))
    assert 0 < corpus.coverage["read_back"] <= 1
    assert not language.violations().label(corpus).columns[0].any()
    assert set("".join(corpus.strings)) <= set(corpus.vocabulary.characters)


def test_conflicts_that_shifting_resolves_are_read_back_too():
    grammar = 'start: e\ne: e "+" e | "a"'
    language = Language.from_lark(grammar, parser="lalr")
    with pytest.warns(AmbiguityWarning, match="of the texts drawn from the grammar grammar were rejected"):
        corpus = language.sample(200, seed=0)
    for row, string in enumerate(corpus.strings[:50]):
        assert_same_trees(corpus.trees.take(np.asarray([row])), language.parse(string))


@pytest.mark.filterwarnings("ignore:.* of the texts drawn")
def test_probabilities_are_those_of_the_texts_read_back():
    grammar = 'start: stmt+\nstmt: "if" ID ";" | ID "=" NUM ";"\nID: /[ifx]+/\nNUM: /[01]+/\n%ignore " "'
    language = Language.from_lark(grammar)
    corpus = language.sample(350, seed=0)
    strings, counts = np.unique(corpus.strings, return_counts=True)
    often = counts > 12
    share = np.exp(language.log_probability(strings[often].tolist())) / corpus.coverage["read_back"]
    expected = np.append(share, 1 - share.sum()) * len(corpus)
    assert chi_square(np.append(counts[often], len(corpus) - counts[often].sum()), expected) > 1e-4
    assert any(" " in string for string in strings[often])
    assert np.isneginf(language.log_probability(["if=1;", "x = 1;", "ifx ;", "if  x;"])).all()
    nats = -language.log_probability(corpus.strings).sum() + len(corpus) * np.log(corpus.coverage["read_back"])
    assert language.ideal_cross_entropy(corpus) == pytest.approx(nats / (corpus.n_positions + len(corpus)), rel=1e-12)
