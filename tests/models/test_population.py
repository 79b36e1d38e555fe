"""Networks that train together: each as if alone; and what is asked of all of them at once."""

import jax
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.models import _training as module

SMALL = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 4, "steps": 20, "progress": False}


@pytest.fixture(scope="module")
def population(corpus):
    return dni.train_population(corpus, seeds=(0, 1), learning_rates=(0.01, 0.003), **SMALL)


def weights_of(model):
    return [np.asarray(array) for array in jax.tree.leaves(model.weights)]


def test_each_network_is_the_one_that_trains_alone(corpus, population):
    assert population.seeds == (0, 1, 0, 1)
    assert population.learning_rates == (0.01, 0.01, 0.003, 0.003)
    for number in (1, 2):
        alone = dni.train(
            corpus, seed=population.seeds[number], learning_rate=population.learning_rates[number], **SMALL
        )
        for ours, single in zip(weights_of(population[number]), weights_of(alone), strict=True):
            np.testing.assert_allclose(ours, single, atol=2e-6)
        together, apart = population[number].history[-1], alone.history[-1]
        assert together["validation_loss"] == pytest.approx(apart["validation_loss"], abs=1e-5)
        assert together["learning_rate"] == pytest.approx(apart["learning_rate"])


def test_as_a_sequence(population):
    assert len(population) == 4
    assert [model.config.seed for model in population[1:3]] == [1, 0]
    assert population.best.validation_loss == min(population.validation_losses)
    assert repr(population).startswith("Population(4 of TrainedModel(lstm, 8 neurons")


@pytest.mark.slow
def test_the_odd_number_of_networks_is_spread_over_lanes(corpus, population):
    three = dni.train_population(corpus, seeds=(0, 1, 2), learning_rates=0.01, **SMALL)
    for ours, other in zip(weights_of(three[1]), weights_of(population[1]), strict=True):
        np.testing.assert_allclose(ours, other, atol=2e-6)


def test_states_and_relevance_have_a_model_dimension(population, held_out, labels):
    states = dni.record(population, held_out)
    assert states.hidden.shape == (4, held_out.n_positions, 8)
    np.testing.assert_array_equal(states.hidden[2], dni.record(population[2], held_out).hidden)
    some = labels.select(["depth", "digit"])
    relevance = dni.inspect(states, some, "ols", folds=3, metrics=("auc",))
    assert dict(relevance.sizes) == {"model": 4, "neuron": 8, "feature": 2, "fold": 3}
    assert relevance["seed"].values.tolist() == [0, 1, 0, 1]
    alone = dni.inspect(dni.record(population[3], held_out), some, "ols", folds=3, metrics=("auc",))
    np.testing.assert_array_equal(relevance["auc"].isel(model=3), alone["auc"])
    best = dni.top(relevance.isel(model=3), "digit", k=2)
    assert best["neuron"].tolist() == dni.top(alone, "digit", k=2)["neuron"].tolist()
    with pytest.raises(ValueError, match=r"one model.*isel\(model=0\)"):
        dni.top(relevance, "digit")


@pytest.mark.slow
def test_each_stops_by_itself(corpus, monkeypatch):
    """The first network gets worse after its first look, the second goes on getting better."""
    losses = iter([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0], [0.1, 2.0], [0.1, 1.0]])  # of the first two, and once more
    seen = []

    def look(weights, text):
        seen.append(np.asarray(weights.head))
        return np.asarray(next(losses) * 2)

    monkeypatch.setattr(module, "cross_entropies", look)
    four = dni.train_population(corpus, seeds=(0, 1), learning_rates=(0.01, 0.003), patience=2, **SMALL)
    assert [len(model.history) for model in four] == [3, 5, 3, 5]
    np.testing.assert_array_equal(four[0].weights.head, seen[0][0])
    np.testing.assert_array_equal(four[1].weights.head, seen[4][1])


def test_one_that_diverges_does_not_stop_the_others(corpus):
    with pytest.warns(UserWarning, match=r"seed 0 with learning rate 3e\+38: expected a finite loss.* at step 2"):
        four = dni.train_population(corpus, seeds=(0,), learning_rates=(0.01, 0.003, 0.001, 3e38), **SMALL)
    assert four.diverged == (None, None, None, 2)
    assert [len(model.history) for model in four] == [5, 5, 5, 0]
    assert all(np.isfinite(array).all() for model in four for array in weights_of(model))
    with pytest.raises(ValueError, match="all networks diverged"):
        dni.train_population(corpus, seeds=(0,), learning_rates=(3e38,), **SMALL)


class Killed(BaseException):
    """Stands for a killed process."""


def test_resumes_to_the_bit_and_is_saved(corpus, population, tmp_path):
    def kill(step, looks):
        raise Killed

    ways = {"seeds": (0, 1), "learning_rates": (0.01, 0.003), "checkpoints": tmp_path / "states"}
    with pytest.raises(Killed):
        dni.train_population(corpus, on_evaluation=kill, **ways, **SMALL)
    dni.train_population(corpus, **ways, **SMALL).save(tmp_path / "all")
    for ours, again in zip(population, dni.models.load_population(tmp_path / "all"), strict=True):
        for one, other in zip(weights_of(ours), weights_of(again), strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="expected a saved population"):
        dni.models.load_population(tmp_path / "states")


def test_seeds_and_rates_must_differ(corpus):
    for bad in ({"seeds": ()}, {"seeds": (1, 1)}, {"learning_rates": ()}, {"learning_rates": (0.1, 0.1)}):
        with pytest.raises(ValueError, match="different seeds and learning rates"):
            dni.train_population(corpus, **bad, **SMALL)


@pytest.mark.slow
def test_each_is_asked_while_it_learns_as_if_alone(corpus):
    together, alone = {}, {}

    def note(step, models):
        together[step] = {number: weights_of(model) for number, model in models.items()}

    dni.train_population(corpus, seeds=(0, 1), inspect_every=4, on_inspect=note, **SMALL)
    settings = {"inspect_every": 4, "on_inspect": lambda step, model: alone.update({step: weights_of(model)})}
    dni.train(corpus, seed=1, **settings, **SMALL)
    assert list(together) == list(alone) == [4, 8, 12, 16, 20]
    for step, models in together.items():
        assert list(models) == [0, 1]
        for ours, single in zip(models[1], alone[step], strict=True):
            np.testing.assert_allclose(ours, single, atol=2e-6)
    with pytest.raises(ValueError, match="inspect_every of at least 1"):
        dni.train_population(corpus, seeds=(0, 1), inspect_every=0, **SMALL)
