"""Training learns, stops, resumes to the bit, and says what is wrong."""

import numpy as np
import pytest

import dni_jax as dni
from dni_jax.config import TrainConfig
from dni_jax.models import cross_entropy
from dni_jax.models import training as module

SMALL = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 10, "progress": False}


def weights_of(model):
    return [np.asarray(array) for array in model.weights]


def assert_same(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_comes_near_the_ideal(parentheses, corpus, model):
    ideal = parentheses.ideal_cross_entropy(corpus.validation)
    untrained = cross_entropy(
        dni.models.untrained(corpus.vocabulary, TrainConfig(hidden=24)).weights, corpus.validation
    )
    loss = cross_entropy(model.weights, corpus.validation)
    assert ideal < loss < ideal + 0.3 * (untrained - ideal)


def test_same_seed_same_network_other_seed_another(corpus):
    first = dni.train(corpus, steps=20, seed=1, **SMALL)
    assert_same(first, dni.train(corpus, steps=20, seed=1, **SMALL))
    other = dni.train(corpus, steps=20, seed=2, **SMALL)
    assert not np.array_equal(first.weights.wh, other.weights.wh)


class Killed(BaseException):
    """Stands for a killed process."""


def test_resumes_to_the_bit_after_a_kill(corpus, tmp_path):
    whole = dni.train(corpus, steps=40, **SMALL)

    def kill(look):
        if look.step == 20:
            raise Killed

    with pytest.raises(Killed):
        dni.train(corpus, steps=40, checkpoints=tmp_path / "states", on_look=kill, **SMALL)
    resumed = dni.train(corpus, steps=40, checkpoints=tmp_path / "states", **SMALL)
    assert_same(whole, resumed)
    for a, b in zip(whole.history, resumed.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_a_finished_training_is_taken_as_it_is(corpus, tmp_path):
    first = dni.train(corpus, steps=20, checkpoints=tmp_path, **SMALL)
    assert_same(first, dni.train(corpus, steps=20, checkpoints=tmp_path, **SMALL))


def test_refuses_another_trainings_checkpoint(corpus, tmp_path):
    dni.train(corpus, steps=10, checkpoints=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="another corpus or of other settings"):
        dni.train(corpus, steps=10, seed=5, checkpoints=tmp_path, **SMALL)


def test_early_stopping_keeps_the_best_look(corpus, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5, 9.0])
    seen = []
    monkeypatch.setattr(
        module, "cross_entropy", lambda weights, text: (seen.append(np.asarray(weights.wh)), next(losses))[1]
    )
    model = dni.train(corpus, steps=100, patience=2, **SMALL)
    assert [row["validation_loss"] for row in model.history] == [3.0, 1.0, 2.0, 2.5]
    np.testing.assert_array_equal(model.weights.wh, seen[1])


def test_an_early_stopped_training_stays_stopped(corpus, monkeypatch, tmp_path):
    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(module, "cross_entropy", lambda weights, text: next(losses))
    settings = {**SMALL, "steps": 100, "patience": 2, "checkpoints": tmp_path}
    first = dni.train(corpus, **settings)
    assert_same(first, dni.train(corpus, **settings))


def test_a_diverging_loss_stops_with_advice(corpus):
    with pytest.raises(ValueError, match="lower the learning rate"):
        dni.train(corpus, steps=60, learning_rate=3e38, clip=1e30, **SMALL)


def test_result_does_not_depend_on_the_number_of_devices(corpus, monkeypatch):
    import jax

    two = dni.train(corpus, steps=10, **SMALL)
    one_device = jax.local_devices()[:1]
    monkeypatch.setattr("dni_jax.devices.jax.local_devices", lambda: one_device)
    one = dni.train(corpus, steps=10, **SMALL)
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_bad_settings_are_named(corpus):
    for bad in ({"hidden": 0}, {"steps": 0}, {"learning_rate": 0.0}, {"clip": -1.0}, {"patience": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            dni.train(corpus, **{**SMALL, **bad})


def test_trains_without_validation_strings(parentheses):
    pair = parentheses.sample(2, seed=0)
    assert dni.train(pair, steps=2, **SMALL).history[-1]["step"] == 2


def test_save_and_load(model, held_out, tmp_path):
    model.save(tmp_path / "net")
    again = dni.load(tmp_path / "net")
    assert_same(model, again)
    assert (again.vocabulary, again.config) == (model.vocabulary, model.config)
    assert list(map(dict, again.history)) == list(map(dict, model.history))
    model.save(tmp_path / "net")  # replaces the one that is there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net"]


def test_load_names_what_is_wrong(model, tmp_path):
    with pytest.raises(ValueError, match="expected a saved model"):
        dni.load(tmp_path / "nothing")
    model.save(tmp_path / "net")
    for file in sorted((tmp_path / "net" / "weights").rglob("*")):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match="expected a saved model"):
        dni.load(tmp_path / "net")
