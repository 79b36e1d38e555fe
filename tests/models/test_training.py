"""Training learns, stops, resumes to the bit, and says what is wrong."""

import collections
import dataclasses
import hashlib
import itertools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import dni_jax as dni
from dni_jax.models import TrainConfig, cross_entropy
from dni_jax.models import _training as module
from dni_jax.models._checkpoints import fingerprint
from dni_jax.models._steps import rate_schedule
from dni_jax.text import Corpus, segment_corpus
from tests.support.slow import slow_after

# As in the other tests of this folder: most training runs go through one compiled program.
SMALL = {"hidden": 8, "batch": 4, "window": 16, "evaluate_every": 4, "steps": 20, "progress": False}


def weights_of(model):
    return [np.asarray(array) for array in jax.tree.leaves(model.weights)]


def assert_same(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def whole(corpus):
    """A training run that nothing has interrupted."""
    return dni.train(corpus, **SMALL)


def test_comes_near_the_ideal(parentheses, corpus, model):
    ideal = parentheses.ideal_cross_entropy(corpus.validation)
    untrained = cross_entropy(
        dni.models.TrainedModel.init(corpus.vocabulary, TrainConfig(hidden=24)).weights, corpus.validation
    )
    loss = cross_entropy(model.weights, corpus.validation)
    assert ideal < loss < ideal + 0.3 * (untrained - ideal)


def test_same_seed_same_network_other_seed_another(corpus, whole):
    assert_same(whole, dni.train(corpus, seed=0, **SMALL))
    other = dni.train(corpus, seed=2, **SMALL)
    assert not np.array_equal(whole.weights.layers[0].wh, other.weights.layers[0].wh)


class Killed(BaseException):
    """Stands for a killed process."""


def kill_at_step_8(evaluation):
    if evaluation.step == 8:
        raise Killed


def test_resumes_to_the_bit_after_a_kill(corpus, whole, tmp_path):
    with pytest.raises(Killed):
        dni.train(corpus, checkpoints=tmp_path / "states", on_evaluation=kill_at_step_8, **SMALL)
    resumed = dni.train(corpus, checkpoints=tmp_path / "states", **SMALL)
    assert_same(whole, resumed)
    for a, b in zip(whole.history, resumed.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_a_finished_training_is_taken_as_it_is(corpus, tmp_path):
    first = dni.train(corpus, checkpoints=tmp_path, **SMALL)
    assert_same(first, dni.train(corpus, checkpoints=tmp_path, **SMALL))


def test_a_checkpoint_with_earlier_names_is_taken_as_it_is(corpus, tmp_path):
    """Earlier versions called evaluations looks."""
    first = dni.train(corpus, checkpoints=tmp_path, **SMALL)
    for file in tmp_path.glob("*/about/metadata"):
        about = json.loads(file.read_text())
        about["looks"] = about.pop("evaluations")
        file.write_text(json.dumps(about))
    again = dni.train(corpus, checkpoints=tmp_path, **SMALL)
    assert_same(first, again)
    assert again.history == first.history


def test_refuses_another_trainings_checkpoint(corpus, tmp_path):
    dni.train(corpus, checkpoints=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="another corpus or of other settings"):
        dni.train(corpus, seed=5, checkpoints=tmp_path, **SMALL)


def test_early_stopping_keeps_the_best_look(corpus, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5, 9.0])
    seen = []

    def look(weights, text):
        seen.append(np.asarray(weights.head[0]))
        return np.asarray([next(losses)])

    monkeypatch.setattr(module, "cross_entropies", look)
    model = dni.train(corpus, patience=2, **SMALL)
    assert [row["validation_loss"] for row in model.history] == [3.0, 1.0, 2.0, 2.5]
    np.testing.assert_array_equal(model.weights.head, seen[1])


def test_an_early_stopped_training_stays_stopped(corpus, monkeypatch, tmp_path):
    losses = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(module, "cross_entropies", lambda weights, text: np.asarray([next(losses)]))
    settings = {**SMALL, "patience": 2, "checkpoints": tmp_path}
    first = dni.train(corpus, **settings)
    assert_same(first, dni.train(corpus, **settings))


def test_a_diverging_loss_stops_with_the_step_and_advice(corpus):
    with pytest.raises(ValueError, match=r"at step 2; no finite state was reached: lower the learning rate"):
        dni.train(corpus, learning_rate=3e38, **SMALL)


def test_a_diverging_loss_names_the_last_finite_checkpoint(corpus, tmp_path, monkeypatch):
    """The loss breaks off at step 11, between two evaluations."""
    take = module.take_steps

    def broken(state, rates, batch, *rest):
        state, (losses, norms) = take(state, rates, batch, *rest)
        taken.append(losses.shape[1])
        return state, (losses.at[0, 0].set(np.nan) if sum(taken) == 12 else losses, norms)

    taken = []
    monkeypatch.setattr(module, "take_steps", broken)
    with pytest.raises(ValueError, match=r"at step 11; the last finite state, of step 8, is kept in .*/8: lower"):
        dni.train(corpus, checkpoints=tmp_path, **SMALL)
    assert (tmp_path / "8").is_dir()
    assert not (tmp_path / "12").exists()


def test_result_does_not_depend_on_the_number_of_devices(corpus, whole, monkeypatch):
    two = whole
    one_device = jax.local_devices()[:1]
    monkeypatch.setattr("dni_jax.devices.jax.local_devices", lambda: one_device)
    one = dni.train(corpus, **SMALL)
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_bad_settings_are_named(corpus):
    for bad in ({"hidden": 0}, {"steps": 0}, {"learning_rate": 0.0}, {"clip": -1.0}, {"patience": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            dni.train(corpus, **{**SMALL, **bad})


def test_trains_without_validation_strings(parentheses):
    pair = parentheses.sample(2, seed=0)
    assert dni.train(pair, **SMALL).history[-1]["step"] == 20


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


@pytest.mark.parametrize(
    "settings",
    slow_after(
        1,
        [
            {"cell": "rnn", "layers": 2},
            {"cell": "rglru", "matmul_dtype": "bfloat16"},
            {"cell": "gru"},
            {"matmul_dtype": "bfloat16"},
            {"cell": "mingru", "layers": 2},
            {"cell": "slstm"},
        ],
    ),
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_kind_of_network_learns_and_is_saved(corpus, tmp_path, settings):
    model = dni.train(corpus, **{**SMALL, "steps": 30, "evaluate_every": 15}, **settings)
    first, last = (row["validation_loss"] for row in model.history)
    assert last < first
    model.save(tmp_path / "net")
    again = dni.load(tmp_path / "net")
    assert_same(model, again)
    assert (again.weights.cell, again.weights.matmul_dtype) == (model.weights.cell, model.weights.matmul_dtype)
    assert again.n_neurons == 8 * settings.get("layers", 1)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_schedules(schedule):
    plan = TrainConfig(hidden=4, steps=40, warmup=4, schedule=schedule).plan(5)
    with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
        rates = np.asarray(jax.jit(jax.vmap(rate_schedule(plan)))(np.arange(40)))
    np.testing.assert_allclose(rates[:5], [0.1, 0.325, 0.55, 0.775, 1.0], rtol=1e-5)
    # The last of the 36 steps behind the warmup is the 36th: a hair above the schedule's end.
    share = {"cosine": 0.01 + 0.99 * (1 + np.cos(np.pi * 35 / 36)) / 2, "linear": 1 - 0.99 * 35 / 36, "constant": 1.0}
    assert rates[-1] == pytest.approx(share[schedule], rel=1e-4)
    assert (np.diff(rates[4:]) <= 0).all()


def test_rates_and_gradients_are_noted(whole):
    rates = [row["learning_rate"] for row in whole.history]
    share = 0.01 + 0.99 * (1 + np.cos(np.pi * 17 / 18)) / 2  # of 20 steps, 2 warm up
    assert rates[-1] == pytest.approx(0.01 * share, rel=1e-4)
    assert rates == sorted(rates, reverse=True)
    assert all(row["gradient_norm"] > 0 for row in whole.history)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_trainings_follow_their_schedule(corpus, schedule):
    model = dni.train(
        corpus, **(SMALL | {"steps": 40, "evaluate_every": 10}), warmup=4, learning_rate=0.01, schedule=schedule
    )
    rates = [row["learning_rate"] for row in model.history]
    # The last of the 36 steps behind the warmup is the 36th: a hair above the schedule's end.
    share = {"cosine": 0.01 + 0.99 * (1 + np.cos(np.pi * 35 / 36)) / 2, "linear": 1 - 0.99 * 35 / 36, "constant": 1.0}
    assert rates[-1] == pytest.approx(0.01 * share[schedule], rel=1e-4)
    assert rates == sorted(rates, reverse=True)
    assert all(row["gradient_norm"] > 0 for row in model.history)


def test_other_text_can_stop_a_training(parentheses, corpus):
    other = parentheses.sample(100, seed=9)
    model = dni.train(corpus, validation=other, **SMALL)
    assert model.history[-1]["validation_loss"] == pytest.approx(cross_entropy(model.weights, other), rel=1e-5)
    with pytest.raises(ValueError, match=r"'x' at position 2 of string 1"):
        dni.train(corpus, validation=Corpus.from_strings(["(1)", "((x"]), **SMALL)


def test_networks_can_be_asked_while_they_learn(corpus):
    asked = []
    model = dni.train(
        corpus, inspect_every=4, on_inspect=lambda step, net: asked.append((step, net.weights.head)), **SMALL
    )
    assert [step for step, _ in asked] == [4, 8, 12, 16, 20]
    assert not np.array_equal(asked[0][1], asked[1][1])
    np.testing.assert_array_equal(asked[-1][1], model.weights.head)
    with pytest.raises(ValueError, match="inspect_every of at least 1"):
        dni.train(corpus, inspect_every=0, **SMALL)


def test_broken_checkpoints_are_passed_over(corpus, whole, tmp_path):
    def truncate(step):
        for file in sorted((tmp_path / str(step)).rglob("*")):
            if file.is_file():
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    with pytest.raises(Killed):
        dni.train(corpus, checkpoints=tmp_path, on_evaluation=kill_at_step_8, **SMALL)
    truncate(8)
    with pytest.warns(UserWarning, match="training resumes at step 4"):
        assert_same(whole, dni.train(corpus, checkpoints=tmp_path, **SMALL))
    for step in (16, 20):
        truncate(step)
    with pytest.raises(ValueError, match="expected a whole checkpoint"):
        dni.train(corpus, checkpoints=tmp_path, **SMALL)


def test_weights_that_are_not_finite_are_refused(model, held_out, tmp_path):
    broken = dni.models.TrainedModel.init(model.vocabulary, model.config)
    broken.module.set_weights(jax.tree.map(lambda array: array.at[..., 0].set(np.nan), model.weights))
    with pytest.raises(ValueError, match=r"NaN or infinite in 'layers\.0\.wx'"):
        broken.save(tmp_path / "net")
    with pytest.raises(ValueError, match="expected finite states"):
        dni.record(broken, held_out)


def test_a_model_of_the_first_format_is_read(model, tmp_path):
    """One LSTM layer, its arrays by their bare names, and a config without what came later."""
    model.save(tmp_path / "net")
    about = json.loads((tmp_path / "net/model.json").read_text())
    later = ("layers", "cell", "matmul_dtype", "schedule", "warmup")
    about = {"format": 1, "characters": about["characters"], "history": about["history"]} | {
        "config": {name: value for name, value in about["config"].items() if name not in later}
    }
    (tmp_path / "net/model.json").write_text(json.dumps(about))
    shutil.rmtree(tmp_path / "net/weights")
    (layer,), head, head_b = model.weights.layers, model.weights.head, model.weights.head_b
    arrays = {"wx": layer.wx, "wh": layer.wh, "b": layer.b, "head": head, "head_b": head_b}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "net/weights", {name: np.asarray(array) for name, array in arrays.items()})
    assert_same(model, dni.load(tmp_path / "net"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "install a newer dni_jax"),
        ({"network": {"sizes": [12], "cell": "lstm", "matmul_dtype": "float32"}}, r"shape \(8, 96\) of 'layers.0.wx'"),
        ({"network": {"sizes": [24], "cell": "gru", "matmul_dtype": "float32"}}, r"layers\.0\.bh"),
        ({"characters": ["a"]}, "shape"),
    ],
)
def test_models_of_another_version_or_shape_are_refused(model, tmp_path, change, message):
    model.save(tmp_path / "net")
    file = tmp_path / "net/model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        dni.load(tmp_path / "net")


@pytest.mark.parametrize("text", ["1", "", "(1)"])
def test_texts_of_one_symbol_or_none(text, corpus, model):
    """A string of length 1 is predicted from the boundary; an empty one is refused when the corpus is made."""
    if not text:
        with pytest.raises(ValueError, match="expected"):
            Corpus.from_strings([text])
        return
    tiny = Corpus.from_strings([text], vocabulary=corpus.vocabulary)
    assert dni.record(model, tiny).hidden.shape == (len(text), 24)
    assert np.isfinite(cross_entropy(model.weights, tiny))
    assert dni.train(tiny, **SMALL).history[-1]["step"] == 20


def test_earlier_names_of_settings_are_read(model, tmp_path):
    model.save(tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    about = json.loads(file.read_text())
    for part in ("network", "config"):
        about[part]["products"] = about[part].pop("matmul_dtype")
    file.write_text(json.dumps(about))
    again = dni.load(tmp_path / "model")
    assert again.config == model.config
    np.testing.assert_array_equal(again.weights.head, model.weights.head)


def test_checkpoints_keep_their_fingerprint(corpus):
    """A checkpoint of an earlier version is still this training's.

    It called the matmul_dtype products, and knew Adam on windows in carried states only.
    """
    plan = TrainConfig(hidden=4).plan(5)
    settings = {"products" if name == "matmul_dtype" else name: value for name, value in vars(plan).items()}
    for added in ("window_start", "loss_on", "optimizer"):
        del settings[added]
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for array in (corpus.text, corpus.offsets, corpus.split):
        digest.update(np.ascontiguousarray(array).tobytes())
    assert fingerprint([plan], corpus) == digest.hexdigest()[:16]
    for other in ({"window_start": "zero"}, {"loss_on": "last"}, {"optimizer": "rmsprop"}):
        assert fingerprint([dataclasses.replace(plan, **other)], corpus) != digest.hexdigest()[:16]


def test_a_loss_far_above_guessing_is_a_divergence(corpus):
    with pytest.raises(ValueError, match=r"near 2\.\d+ nats .* that of guessing, or below, got .*diverged"):
        dni.train(corpus, learning_rate=1e30, **SMALL)


LAST = {"window_start": "zero", "loss_on": "last", "optimizer": "rmsprop", "schedule": "constant", "warmup": 0}


def running_text(corpus):
    """Codes of a corpus' strings end to end, each after a boundary."""
    return np.concatenate([[0, *corpus.flat_codes[a:b]] for a, b in itertools.pairwise(corpus.offsets)] + [[0]])


def test_windows_from_zero_are_all_of_the_running_text_once_an_epoch(corpus):
    text, window, batch = corpus.take(np.arange(12)), 5, 3
    plan = TrainConfig(window=window, batch=batch, **LAST).plan(8)
    codes = running_text(text)
    n_windows = len(codes) - window
    steps = list(itertools.islice(module._windows(text, plan), n_windows // batch))
    seen = [(*read[:, lane], *target[:, lane]) for read, target, *_ in steps for lane in range(batch)]
    whole = [(*codes[n : n + window], *codes[n + 1 : n + 1 + window]) for n in range(n_windows)]
    assert len(set(map(tuple, np.asarray(seen).tolist())) - set(map(tuple, np.asarray(whole).tolist()))) == 0
    left = collections.Counter(whole) - collections.Counter(map(tuple, np.asarray(seen).tolist()))
    assert left.total() == n_windows % batch  # the last windows of an epoch come in the next one's first step
    for _, _, weights, resets in steps:
        assert weights.tolist() == [[0.0] * batch] * (window - 1) + [[1.0] * batch]
        assert resets.tolist() == [[True] * batch] + [[False] * batch] * (window - 1)


def test_windows_do_not_run_from_one_piece_of_text_into_another():
    whole = Corpus.from_strings(["abcdefgh", "ABCDEFGH"])
    pieces = segment_corpus(whole, 4).take(np.asarray([0, 3, 1, 2]))  # abcd EFGH efgh ABCD
    plan = TrainConfig(window=3, batch=1, **LAST).plan(len(whole.vocabulary))
    made = itertools.islice(module._windows(pieces, plan), 50)
    texts = {"".join(whole.vocabulary.symbols[code] if code else "|" for code in read[:, 0]) for read, *_ in made}
    assert texts == {"|ab", "abc", "EFG", "FGH", "efg", "fgh", "gh|", "h|A", "|AB", "ABC"}
    with pytest.raises(ValueError, match="at least 9 symbols in a row"):
        next(module._windows(pieces, TrainConfig(window=9, batch=1, **LAST).plan(20)))


def test_last_loss_and_rmsprop_against_a_hand_written_training(corpus):
    """The equations of the LSTM, of the loss and of Keras' RMSprop are written out; JAX differentiates them."""
    text = corpus.take(np.arange(200))
    settings = {**SMALL, **LAST, "window": 6, "learning_rate": 0.01, "clip": 1e9, "seed": 3}
    plan = TrainConfig(**{name: value for name, value in settings.items() if name != "progress"}).plan(8)
    start = dni.models.TrainedModel.init(corpus.vocabulary, plan).weights
    (layer,) = start.layers
    values = [np.asarray(each, np.float64) for each in (layer.wx, layer.wh, layer.b, start.head, start.head_b)]
    memory = [np.zeros_like(each) for each in values]

    def loss(values, codes, targets):
        wx, wh, b, head, head_b = values
        h = c = jnp.zeros((codes.shape[1], wh.shape[0]))
        for row in codes:
            i, f, g, o = jnp.split(wx[row] + h @ wh + b, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        logits = h @ head + head_b
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(targets)), targets])

    gradient_of = jax.jit(jax.grad(loss))
    for codes, targets, *_ in itertools.islice(module._windows(text, plan), 3):
        gradient = gradient_of([jnp.asarray(each, jnp.float32) for each in values], codes, targets[-1])
        for place, part in enumerate(np.asarray(each, np.float64) for each in gradient):
            memory[place] = 0.9 * memory[place] + 0.1 * part**2
            values[place] = values[place] - 0.01 * part / (np.sqrt(memory[place]) + 1e-7)
    alone = text.take(np.arange(len(text)))
    alone = dataclasses.replace(alone, split=np.zeros(len(text), alone.split.dtype))
    made = dni.train(alone, **(settings | {"steps": 3})).weights
    found = (made.layers[0].wx, made.layers[0].wh, made.layers[0].b, made.head, made.head_b)
    for one, expected in zip(found, values, strict=True):
        np.testing.assert_allclose(one, expected, atol=2e-5)
