"""Auxiliary targets: what they add to the loss, what they do to the states, and what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models._auxiliary import Readout, auxiliary_loss, make_auxiliary

SMALL = {"hidden": 12, "steps": 40, "batch": 8, "window": 16, "evaluate_every": 20, "progress": False}


@pytest.fixture(scope="module")
def targets(parentheses, corpus):
    return parentheses.features().select("depth", "depth=1").label(corpus)


@pytest.fixture(scope="module")
def depth(targets):
    """One target: what trains with it is compiled once."""
    return targets.select(["depth"])


def _arrays(model):
    return [np.asarray(array) for array in dni.models.named_arrays(model.weights).values()]


def test_targets_are_those_of_the_training_text_scaled(corpus, targets):
    made = make_auxiliary(targets, corpus, 0.5)
    wanted = targets.library.label(corpus.train).values
    for place in range(2):
        assert abs(np.corrcoef(made.targets[:, place], wanted[:, place])[0, 1]) == pytest.approx(1)
    np.testing.assert_allclose(made.targets.mean(0, dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(made.targets.std(0, dtype=float), 1, atol=1e-5)
    assert (made.strength == 0.5).all()
    np.testing.assert_array_equal(make_auxiliary(targets.library, corpus, 0.5).targets, made.targets)
    np.testing.assert_array_equal(make_auxiliary(targets.values, corpus, 0.5).targets, made.targets)


def test_masked_positions_have_no_weight(corpus, targets):
    mask = np.arange(corpus.n_positions) % 3 > 0
    made = make_auxiliary(replace(targets, mask=mask), corpus, 1.0)
    assert 0.6 < made.strength.mean() < 0.7
    assert not made.targets[made.strength == 0].any()


@pytest.fixture(scope="module")
def plain(corpus):
    return dni.train(corpus, **SMALL)


@pytest.mark.slow
def test_a_weight_of_zero_is_no_regularizer(corpus, depth, plain):
    without = dni.train(corpus, auxiliary=depth, weight=0.0, **SMALL)
    for one, other in zip(_arrays(plain), _arrays(without), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert plain.history[-1]["validation_loss"] == pytest.approx(without.history[-1]["validation_loss"], abs=1e-5)


def test_states_come_to_say_the_targets(corpus, held_out, depth, plain):
    some = held_out.head(1_500)
    wanted = depth.library.label(some)["depth"]

    def left(model):
        hidden = dni.record(model, some).hidden
        x = np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
        return np.linalg.lstsq(x, wanted, rcond=None)[1][0]

    told = dni.train(corpus, auxiliary=depth, weight=3.0, **SMALL)
    assert left(told) < 0.7 * left(plain)
    assert told.history[-1]["train_loss"] < 2.2  # the loss that is reported is that of predictions


@pytest.mark.slow
def test_a_population_is_told_the_same(corpus, depth):
    told = dni.train(corpus, auxiliary=depth, weight=1.0, seed=1, **SMALL)
    both = dni.train_population(corpus, seeds=(0, 1), auxiliary=depth, weight=1.0, **SMALL)
    for one, other in zip(_arrays(told), _arrays(both[1]), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.slow
def test_a_training_resumes_to_the_same_bits_and_not_with_other_targets(corpus, targets, tmp_path):
    settings = SMALL | {"auxiliary": targets, "weight": 1.0}
    whole = dni.train(corpus, **settings)

    class StopError(Exception):
        pass

    def stop(evaluation):
        if evaluation.step == 20:
            raise StopError

    with pytest.raises(StopError):
        dni.train(corpus, checkpoints=tmp_path, on_evaluation=stop, **settings)
    with pytest.raises(ValueError, match="checkpoint of this training"):
        dni.train(corpus, checkpoints=tmp_path, **(settings | {"weight": 0.5}))
    resumed = dni.train(corpus, checkpoints=tmp_path, **settings)
    for one, other in zip(_arrays(whole), _arrays(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_of_another_text_of_the_same_length_are_refused(corpus, targets):
    other = corpus.shuffle(1)
    assert (other.n_positions, other.text_digest == corpus.text_digest) == (corpus.n_positions, False)
    for labels in (targets.library.label(other), targets.library.label(other).select("depth")):
        with pytest.raises(ValueError, match="another one of as many characters"):
            make_auxiliary(labels, corpus, 0.1)


def test_bad_targets_are_named(corpus, targets):
    for auxiliary, weight, message in [
        (targets.library.label(corpus.test), 0.1, f"corpus' {corpus.n_positions} positions"),
        (np.zeros((5, 2), np.float32), 0.1, r"got shape \(5, 2\)"),
        (np.zeros((corpus.n_positions, 1)), 0.1, "vary on the training text, got constant ones: .*column 0"),
        (np.full((corpus.n_positions, 1), np.nan), 0.1, "finite auxiliary targets"),
        (targets, -1.0, "weight of at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            dni.train(corpus, auxiliary=auxiliary, weight=weight, **SMALL)


def test_the_loss_is_the_mean_squared_error_of_the_readout():
    rng = np.random.default_rng(0)
    hidden, targets = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2, 5))
    strength = np.asarray([[1, 0], [2, 2], [0, 1]], float)
    w, b = rng.normal(size=(4, 5)), rng.normal(size=5)
    arrays = [np.asarray(each, np.float32) for each in (w, b, hidden, targets, strength)]
    loss = jax.vmap(lambda h, t, s: auxiliary_loss(Readout(*arrays[:2]), h, t, s), 1, axis_name="lanes")
    ours = np.sum(jax.jit(loss)(*(array[:, :, None] for array in arrays[2:])))
    error = ((hidden @ w + b - targets) ** 2).mean(-1)
    assert float(ours) == pytest.approx(0.5 * (strength * error).sum() / (strength > 0).sum(), rel=1e-5)
