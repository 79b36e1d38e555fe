"""A program in the place of neurons: exact where a neuron is the program, on text that is read and that is written."""

import numpy as np
import pytest
from scipy.special import entr, softmax
from sklearn.metrics import roc_auc_score

import dni_jax as dni
from dni_jax.interventions import follow
from dni_jax.models import cross_entropy, fine_tune, record
from dni_jax.programs import Program, depth
from dni_jax.text import segment_corpus
from dni_jax.verification import monitor, replace, written_corpus
from dni_jax.verification._monitor import next_violations
from tests.support.counting import STEP, N, counting_network, open_brackets


@pytest.fixture(scope="module")
def text(held_out):
    return held_out.head(1_500)


@pytest.fixture(scope="module")
def counting(corpus):
    return counting_network(corpus.vocabulary)


@pytest.fixture(scope="module")
def stand_in(counting, text):
    return replace(counting, [0], open_brackets(), text)


def test_the_network_counts(counting, text):
    counts = np.concatenate([[text.strings[0][: n + 1].count("(") - text.strings[0][: n + 1].count(")")]
                             for n in range(len(text.strings[0]))])  # fmt: skip
    np.testing.assert_allclose(record(counting, text).hidden[: len(counts), 0] / STEP, counts, atol=1e-4)


def test_a_neuron_that_is_the_program_is_replaced_at_no_cost(counting, stand_in, text):
    assert stand_in.r2[0] == pytest.approx(1)
    intact = record(counting, text, ("hidden", "logits"))
    with_it = record(counting, text, ("hidden", "logits"), intervention=stand_in)
    np.testing.assert_allclose(with_it.logits, intact.logits, atol=2e-4)
    found = stand_in.evaluate(text, 2, n_texts=0)
    loss = found["loss"].sel(condition=["intact", "program"]).values
    assert abs(loss[1] - loss[0]) < 1e-6
    assert loss[0] == pytest.approx(cross_entropy(counting.weights, text), abs=1e-6)
    assert float(found["recovered"]) == pytest.approx(1, abs=1e-5)


def test_it_writes_the_same_text_and_the_smaller_network_does_too(counting, stand_in, text):
    wanted = dni.generate(counting, 4, 60, seed=3)
    assert dni.generate(counting, 4, 60, seed=3, intervention=stand_in) == wanted
    smaller = stand_in.remove_weights()
    weights = smaller.model.weights.layers[0]
    columns = np.arange(4) * N
    assert not np.asarray(weights.wx)[:, columns].any()
    assert not np.asarray(weights.b)[columns].any()
    assert smaller.n_weights_removed == 4 * (len(counting.vocabulary) + N + 1)
    assert dni.generate(smaller.model, 4, 60, seed=3, intervention=smaller) == wanted
    assert dni.generate(smaller.model, 4, 60, seed=3) != wanted
    before, after = stand_in.evaluate(text, 2, n_texts=0), smaller.evaluate(text, 2, n_texts=0)
    assert float(after["loss"].sel(condition="program") - before["loss"].sel(condition="program")) == 0
    assert float(after["loss"].sel(condition="intact") - before["loss"].sel(condition="intact")) != 0


def test_programs_go_on_with_what_was_written(counting):
    """A neuron held on the depth of what is written, not of any other text: it can be read off the text."""
    forced = follow([2], depth(), [[0.125, 0.5]], [-1.0])
    texts = dni.generate(counting, 3, 40, seed=1, intervention=forced)
    written = written_corpus(counting, texts)
    states = record(counting, written, intervention=forced)
    expected = dni.programs.run(depth(), written).values[:, 0] * 0.125 + 0.5
    np.testing.assert_allclose(states.hidden[:, 2], expected, rtol=1e-6)
    both = forced.then(dni.ablate([1]))
    assert dni.models.generate_each(counting, [None, both, forced], 3, 40, seed=1)[2] == texts


@pytest.mark.slow
@pytest.mark.parametrize("program", [None, "state"])
def test_any_program_drives_a_trained_network(model, text, parentheses, program):
    stand_in = replace(model, [3, 5], depth() if program is None else parentheses.program(program), text)
    found = stand_in.evaluate(text, 4, language=parentheses, n_texts=4, length=50)
    assert 0 < float(found["p"]) <= 1
    assert found["loss"].sel(condition="program") != found["loss"].sel(condition="mean")
    assert found["random_loss"].shape == (4, 3)
    assert found["parses"].shape == (3,)
    by_hand = record(model, text, intervention=stand_in).hidden
    known = np.asarray(record(model, text).hidden)
    left = ((known - by_hand)[:, [3, 5]] ** 2).sum(axis=0) / ((known - known.mean(axis=0)) ** 2).sum(axis=0)[[3, 5]]
    if program == "state":  # a constant in each state is the least that a program leaves
        assert (stand_in.r2 > 0.2).all()
    np.testing.assert_allclose(1 - left, stand_in.r2, atol=1e-3)


def test_fine_tuning_leaves_the_cluster_alone_and_lowers_the_loss(model, corpus, text):
    stand_in = replace(model, [0, 1, 2], depth(), text)
    tuned = stand_in.fine_tune(corpus, 20, batch=8, window=16, progress=False)
    assert not np.asarray(tuned.model.weights.layers[0].wx).reshape(-1, 4, 24)[:, :, :3].any()
    before, after = (one.evaluate(text, 1, n_texts=0)["loss"].sel(condition="program") for one in (stand_in, tuned))
    assert after < before


def test_fine_tuning_without_an_intervention_trains_on(model, corpus, text):
    tuned = fine_tune(model, corpus, steps=10, batch=8, window=16, progress=False)
    assert cross_entropy(tuned.weights, text) < cross_entropy(model.weights, text)


def test_a_monitor_of_a_neuron_that_is_the_program_never_flags(counting, text):
    watch = monitor(counting, [0], open_brackets(), text)
    assert not watch.read(text).flagged.any()
    assert not watch.write(4, 50).flagged.any()
    assert watch.read(text).disagreement.max() < 1e-3
    assert watch.r2 == pytest.approx(1)


def test_a_counter_is_flagged_where_it_was_corrupted(counting, text):
    watch = monitor(counting, [0], open_brackets(), text)
    at = int(text.offsets[3]) + 2
    when = np.arange(text.n_positions) == at
    seen = watch.read(text, dni.clamp([0], 9 * STEP, when=when))
    assert seen.flags() == [(3, 2)]
    np.testing.assert_allclose(seen.decoded[at], 9, atol=1e-2)
    lasting = watch.read(text, dni.clamp([0], 0.5, part="c", when=when))  # the memory: wrong to the string's end
    assert lasting.flags() == [(3, place) for place in range(2, len(text.strings[3]))]


@pytest.mark.slow
def test_what_goes_wrong_next_is_measured_against_entropy(model, text, parentheses):
    watch = monitor(model, range(24), depth(), text, alarm_rate=0.05)
    found = watch.evaluate(text, parentheses.violations(), n_texts=16, length=60)
    assert found["auc"].shape == (2, 3)
    assert (found["auc_low"] <= found["auc"]).sel(signal=["disagreement", "entropy"]).all()
    wrong = found.sel(outcome="wrong")
    logits = np.asarray(record(model, text, ("hidden", "logits")).logits)
    follows = np.diff(text.string_ids, append=-1) == 0
    assert int(wrong["events"]) == int((logits.argmax(1)[follows] != text.flat_codes[1:][follows[:-1]]).sum())
    entropy = entr(softmax(logits.astype(float), axis=1)).sum(axis=1)[follows]
    happened = logits.argmax(1)[follows] != text.flat_codes[1:][follows[:-1]]
    assert float(wrong["auc"].sel(signal="entropy")) == pytest.approx(roc_auc_score(happened, entropy), abs=1e-6)
    assert 0 < int(found["events"].sel(outcome="ungrammatical")) < int(found["positions"].sel(outcome="ungrammatical"))


def test_violations_are_counted_once_at_the_symbol_before(counting, parentheses):
    written = written_corpus(counting, ["(1((3(4))2))\n0)0)\n((1\n(1(", "(3"])
    assert written.strings == ("(1((3(4))2))", "0)0)", "((1", "(1(", "(3")
    event, counted = next_violations(parentheses.violations(), written)
    assert event.tolist() == [0] * 12 + [1, 0, 0, 0] + [0, 1, 0] + [0, 0, 0] + [1, 0]
    # After the first violation nothing counts, nor does the end of a text that was cut off.
    assert counted.tolist() == [1] * 12 + [1, 0, 0, 0] + [1, 1, 0] + [1, 1, 0] + [1, 0]


def test_bad_input_is_named(counting, stand_in, text):
    flat = Program("flat", lambda: 0, lambda state, symbol: (0, 7))
    for call in (replace, monitor):
        for neurons, program, corpus, message in [
            ([9], depth(), text, "neurons 0 to 5, got 9"),
            ([0, 0], depth(), text, "distinct neurons"),
            ([0], flat, text, r"different things on this text, got \[7.0\]"),
        ]:
            with pytest.raises(ValueError, match=message):
                call(counting, neurons, program, corpus)
    with pytest.raises(ValueError, match=r"programs that drive different neurons, got \[0\] in two clusters"):
        stand_in.then(replace(counting, [1, 0], depth(), text))
    with pytest.raises(ValueError, match="at least two strings"):
        monitor(counting, [0], depth(), text.head(1))
    with pytest.raises(ValueError, match="alarm_rate between 0 and 1"):
        monitor(counting, [0], depth(), text, alarm_rate=1.0)
    with pytest.raises(ValueError, match="segments: the program's state there is unknown"):
        record(counting, segment_corpus(text, 4).take(np.asarray([0, 2])), intervention=stand_in)
    tired = Program("tired", lambda: 0, lambda n, symbol: (n + 1, 1 / (n < 7)))
    with pytest.raises(ValueError, match=r"program 'tired': .*ZeroDivisionError.*, at symbol 7 of text 0 \('.{8}'\)"):
        dni.generate(counting, 2, 30, intervention=follow([2], tired, [[0.0, 0.5]], [-1.0]), prime="0(1(2((")
    with pytest.raises(ValueError, match=r"slopes of shape \(1, 2\)"):
        follow([0], depth(), [[1.0]])
    with pytest.raises(ValueError, match=r"a text that the program .* runs on"):
        stand_in.bind(N, 10)
    with pytest.raises(ValueError, match="n_random of at least 1"):
        stand_in.evaluate(text, 0)
