import numpy as np
import pytest
from hypothesis import HealthCheck, assume
from hypothesis import strategies as st

from dni_jax.features import FeatureLibrary, impulse_feature, nesting_feature, range_feature
from dni_jax.features._nodes import bracket_nesting, depth_features, nesting
from dni_jax.languages import Language, get
from dni_jax.text import Corpus, segment_corpus
from tests.support.drawn import few_of_many
from tests.support.grammar_texts import as_lark, ll1_grammars, reachable, small_weighted_grammars


def walk_over_every_node(corpus):
    """Which kind each node is of, the characters it covers, and its first and last, node by node and place by place."""
    trees, nodes = corpus.trees, []
    for string in range(len(corpus)):
        offset, length = int(corpus.offsets[string]), len(corpus.strings[string])
        for row in range(trees.offsets[string], trees.offsets[string + 1]):
            places = range(trees.start[row], trees.end[row])
            inside = [place for place in places if 0 <= place < length]
            ends = [place for place in inside if place in (places[0], places[-1])]
            shifted = [[offset + place for place in some] for some in (inside, ends)]
            nodes.append((trees.kinds[trees.rule[row]], *shifted))
    return nodes


def walk(nodes, corpus, names):
    """How many nodes of these names cover each character, and whether one begins or ends there."""
    covered, ends = np.zeros(corpus.n_positions, int), np.zeros(corpus.n_positions, int)
    for kind, inside, edges in nodes:
        if kind.name in names or kind.symbol in names:
            covered[inside] += 1
            ends[edges] = 1
    return covered, ends


def node_names(corpus):
    kinds = [corpus.trees.kinds[rule] for rule in np.unique(corpus.trees.rule)]
    return list(dict.fromkeys([k.symbol for k in kinds] + [k.name for k in kinds]))


def check_against_a_walk(corpus):
    names = node_names(corpus)
    choices = [*([name] for name in names), names[:2] + names[-1:], [*names]]
    choices = list({str(sorted(set(wanted))): wanted for wanted in choices}.values())
    features = [
        make(f"{make.__name__} {wanted}", wanted) for wanted in choices for make in (range_feature, impulse_feature)
    ]
    together = FeatureLibrary(tuple(features)).label(corpus)
    nodes = walk_over_every_node(corpus)
    for wanted in choices:
        covered, ends = walk(nodes, corpus, wanted)
        np.testing.assert_array_equal(together[f"range_feature {wanted}"], covered > 0, err_msg=str(wanted))
        np.testing.assert_array_equal(together[f"impulse_feature {wanted}"], ends, err_msg=str(wanted))
        np.testing.assert_array_equal(nesting(corpus, wanted), covered)
    np.testing.assert_array_equal(features[0].compute(corpus), together.columns[0])  # alone as in company


def test_range_impulse_and_nesting_against_a_walk_over_every_node(corpus):
    assert len(node_names(corpus)) >= 4
    check_against_a_walk(corpus)
    wanted = node_names(corpus)[:1]
    covered, _ = walk(walk_over_every_node(corpus), corpus, wanted)
    scaled = nesting_feature("n", wanted).compute(corpus)
    np.testing.assert_allclose(scaled, covered / max(covered.max(), 1), rtol=1e-6)
    assert scaled.dtype == np.float32
    for level in range(3):
        exact = nesting_feature("n", wanted, level).compute(corpus)
        np.testing.assert_array_equal(exact, covered == level)


@few_of_many(
    8,
    40,
    ll1_grammars(),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_random_grammars_whole_cut_and_shuffled(text, size, random):
    sampled = Language.from_lark(text, start="r0").sample(4, seed=0, max_length=120)
    check_against_a_walk(sampled)
    pieces = segment_corpus(sampled, size)
    check_against_a_walk(pieces)
    # A cut takes nothing away: each piece has the labels of its part.
    for name in node_names(sampled):
        for make in (range_feature, impulse_feature):
            np.testing.assert_array_equal(make("x", [name]).compute(pieces), make("x", [name]).compute(sampled))
    order = list(range(len(pieces)))
    random.shuffle(order)
    check_against_a_walk(pieces.take(np.asarray(order[: 1 + len(order) // 2])))


@few_of_many(
    10, 40, small_weighted_grammars(), st.integers(1, 5), derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_ambiguous_grammars_with_empty_nodes(grammar, size):
    text, weights = as_lark(reachable(grammar))
    language = Language.from_lark(text, weights=weights, start="n0")
    try:
        sampled = language.sample(5, seed=0, max_length=12)
    except ValueError as error:
        assume("raise the bounds" not in str(error))
        raise
    check_against_a_walk(sampled)
    check_against_a_walk(segment_corpus(sampled, size))


def test_nodes_of_one_character_have_one_impulse():
    corpus = get("arithmetic").corpus(["1+(2)"])
    assert impulse_feature("d", ["d"]).compute(corpus).tolist() == [1, 0, 0, 1, 0]
    assert impulse_feature("e", ["e -> ( e )"]).compute(corpus).tolist() == [0, 0, 1, 0, 1]
    assert impulse_feature("e", ["e -> e + e"]).compute(corpus).tolist() == [1, 0, 0, 0, 1]
    assert range_feature("e", ["e -> ( e )"]).compute(corpus).tolist() == [0, 0, 1, 1, 1]


def test_nodes_without_characters_give_no_label():
    corpus = get("parentheses").corpus(["(((())))", "(((44)))".replace("44", "(4)")])
    assert not range_feature("r", ["e4 -> epsilon"]).compute(corpus).any()
    assert range_feature("r", ["e4"]).compute(corpus).sum() == 1


def depth_by_hand(string):
    labels, depth = [], 0
    for character in string:
        depth += character in "([{"
        labels.append(depth)
        depth -= character in ")]}"
    return labels


@pytest.mark.parametrize("name", ["parentheses", "arithmetic"])
@pytest.mark.parametrize("with_trees", [True, False])
def test_depth_counts_brackets(name, with_trees):
    corpus = get(name).sample(100, seed=4)
    expected = np.concatenate([depth_by_hand(string) for string in corpus.strings])
    if not with_trees:
        corpus = Corpus.from_strings(corpus.strings)
    np.testing.assert_array_equal(bracket_nesting(corpus), expected)
    scaled, *levels = (feature.compute(corpus) for feature in depth_features(5))
    np.testing.assert_allclose(scaled, expected / expected.max(), rtol=1e-6)
    assert (scaled.min(), scaled.max()) == (0 if name == "arithmetic" else scaled.min(), 1)
    for level, labels in enumerate(levels):
        np.testing.assert_array_equal(labels, expected == level)


def test_brackets_in_strings_and_comments_do_not_count():
    source = "x = ['((', {1: (2)}]  # [[\ny = '''(\n['''\n"
    corpus = get("python").corpus([source])
    expected = depth_by_hand(source.replace("'(('", "'..'").replace("# [[", "# ..").replace("(\n[", ".\n."))
    assert bracket_nesting(corpus).tolist() == expected
    for size in (3, 8, 20):
        assert bracket_nesting(segment_corpus(corpus, size)).tolist() == expected


def test_a_string_starts_anew_even_behind_an_open_bracket():
    corpus = Corpus.from_strings(["((a", "b", "(c)d)"])
    assert bracket_nesting(corpus).tolist() == [1, 2, 2, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("make", [range_feature, impulse_feature, nesting_feature])
def test_bad_input(make):
    with pytest.raises(ValueError, match=r"a corpus with parse trees, got one without: make it with language\.corpus"):
        make("x", ["e0"]).compute(Corpus.from_strings(["a"]))
    with pytest.raises(ValueError, match=r"a node of the language \(e0, e1, .*got \['e9'\]"):
        make("x", ["e9"]).compute(get("parentheses").sample(2))
