"""The fast gradient sign method: against gradients by hand, at the ends of the range, in batches."""

import jax.numpy as jnp
import numpy as np
import pytest

from dni_jax.lab.repair import fgsm, gradient_sign, minimal_fgsm, relative_changes

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(3, 2, 2)).astype(np.float32)
INPUTS = RNG.uniform(size=(11, 2, 2)).astype(np.float32)
LABELS = RNG.integers(0, 3, 11)


def linear(x):
    return jnp.einsum("tij,cij->tc", x, WEIGHTS)


def sign_by_hand():
    """d(-log softmax)/dx = sum_c (p_c - [c is the label]) w_c."""
    scores = np.einsum("tij,cij->tc", INPUTS.astype(float), WEIGHTS.astype(float))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.sign(np.einsum("tc,cij->tij", odds / odds.sum(axis=1, keepdims=True) - np.eye(3)[LABELS], WEIGHTS))


@pytest.mark.parametrize("batch", [1, 4, 256])
def test_steps_along_the_gradient_s_sign(batch):
    found = fgsm(linear, INPUTS, LABELS, 0.3, batch=batch)
    np.testing.assert_array_equal(found, np.clip(INPUTS + np.float32(0.3) * sign_by_hand().astype(np.float32), 0, 1))
    assert found.dtype == np.float32
    assert (found == 0).any()
    assert (found == 1).any()
    far = fgsm(linear, INPUTS, LABELS, 0.3, -np.inf, np.inf, batch=batch)
    np.testing.assert_allclose(np.abs(far - INPUTS), 0.3, rtol=1e-6)
    np.testing.assert_array_equal(gradient_sign(linear, INPUTS, LABELS, batch=batch), sign_by_hand())


def test_a_logistic_loss_of_ones_own():
    """log(1 + exp(-y w x)) grows against y w."""

    def logistic(scores, labels):
        return jnp.log1p(jnp.exp(-(2.0 * labels.astype(jnp.float32) - 1.0) * scores[:, 1]))

    rows, right = INPUTS.reshape(11, 4), LABELS % 2
    weight = WEIGHTS[0].reshape(4)
    found = fgsm(lambda x: jnp.stack([0 * x[:, 0], x @ weight], axis=1), rows, right, 0.01, loss=logistic)
    expected = rows - np.float32(0.01) * (2 * right - 1)[:, None] * np.sign(weight)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-7)


def test_without_a_step_or_a_gradient_nothing_moves():
    np.testing.assert_array_equal(fgsm(linear, INPUTS, LABELS, 0.0), INPUTS)
    np.testing.assert_array_equal(fgsm(lambda x: 0 * linear(x), INPUTS, LABELS, 0.5), INPUTS)
    assert fgsm(linear, INPUTS[:0], LABELS[:0], 0.5).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": -0.1}, "epsilon of 0 or more"),
        ({"epsilon": float("nan")}, "epsilon of 0 or more"),
        ({"inputs": INPUTS + 1}, r"inputs from 0.0 to 1.0, got 1\.\d+ to 1\.\d+: scale them"),
        ({"inputs": np.full((11, 2, 2), np.nan)}, "finite inputs"),
        ({"inputs": np.zeros(11)}, r"shape \(T, ...\)"),
        ({"labels": LABELS[:3]}, r"labels of shape \(11,\)"),
        ({"labels": LABELS + 1}, "labels from 0 to 2, got 1 to 3"),
        ({"low": 1.0, "high": 0.0}, "low below high"),
        ({"batch": 0}, "batch of at least 1"),
        ({"scores": lambda x: linear(x)[:, 0]}, r"scores of shape \(B, C\), a row per input, got \(1,\)"),
    ],
)
def test_invalid_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        fgsm(**({"scores": linear, "inputs": INPUTS, "labels": LABELS, "epsilon": 0.1} | change))


def waves(x):
    """Scores whose decision along one direction flips at .2, back at .25, and again at .5."""
    along = x[:, 0]
    return jnp.stack([jnp.zeros_like(along), -(along - 0.2) * (along - 0.25) * (along - 0.5) * 1e3], axis=1)


def test_the_smallest_step_of_a_linear_network_is_its_distance():
    """Two classes with weights w and 0: w x changes its sign after |w x| / |w|_1, where nothing clips."""
    weight = WEIGHTS[0].reshape(4)
    rows = RNG.normal(size=(200, 4)).astype(np.float32)
    labels = RNG.integers(0, 2, 200)
    attack = minimal_fgsm(
        lambda x: jnp.stack([0 * x[:, 0], x @ weight], axis=1), rows, labels, (0.3, 1.0), -np.inf, np.inf, halvings=10
    )
    lead = (rows @ weight) * (2 * labels - 1)
    distance = np.maximum(lead, 0) / np.abs(weight).sum()
    near = np.abs(distance - 1) < 1e-3
    np.testing.assert_array_equal(np.isinf(attack.sizes)[~near], (distance > 1)[~near])
    reached = np.isfinite(attack.sizes)
    assert reached.any()
    assert (~reached).any()
    over = attack.sizes[reached] - distance[reached]
    assert over.min() > -1e-5
    assert over.max() < 0.7 / 10 / 2**10 + 1e-4  # a hundred thousandth of the score must be led by
    assert attack.success_rate(0.3) == np.mean(distance[lead > 0] < 0.3)


def test_a_search_finds_the_first_success_of_its_grid():
    """Class 1 leads up to .2 and from .25 to .5: success is not monotone."""
    start = np.full((1, 1), 0.1, np.float32)
    fine = minimal_fgsm(waves, start, [1], (0.6,), -np.inf, np.inf, grid=24, halvings=12)
    np.testing.assert_allclose(fine.sizes, 0.1, atol=1e-3)
    coarse = minimal_fgsm(waves, start, [1], (0.6,), -np.inf, np.inf, grid=2, halvings=12)
    assert coarse.sizes[0] > 0.3  # the window from .1 to .15 lies between two lengths of the grid
    for found in (fine, coarse):
        moved = np.asarray(waves(found.inputs_at(0.6)))
        assert moved[0, 0] > moved[0, 1]


def test_a_search_up_to_several_bounds_is_a_search_up_to_each():
    both = minimal_fgsm(linear, INPUTS, LABELS, (0.05, 0.4), grid=20)
    alone = minimal_fgsm(linear, INPUTS, LABELS, (0.05,), grid=10)
    np.testing.assert_array_equal(both.inputs_at(0.05), alone.inputs_at(0.05))
    assert (both.found(0.4) >= both.found(0.05)).all()
    np.testing.assert_array_equal(minimal_fgsm(linear, INPUTS, LABELS, (0.05, 0.4), batch=3).sizes, both.sizes)


def test_minimal_adversarials_in_place_of_inputs():
    attack = minimal_fgsm(linear, INPUTS, LABELS, (0.4,))
    moved = fgsm(linear, INPUTS, LABELS, 0.4, minimal=True)
    np.testing.assert_array_equal(moved, attack.inputs_at(0.4))
    assert moved.dtype == np.float32
    wrong = np.asarray(linear(moved)).argmax(axis=1) != LABELS
    np.testing.assert_array_equal(wrong, attack.found(0.4))
    np.testing.assert_array_equal(attack.sizes == 0, np.asarray(linear(INPUTS)).argmax(axis=1) != LABELS)
    np.testing.assert_array_equal(moved[~(attack.sizes > 0) | ~wrong], INPUTS[~(attack.sizes > 0) | ~wrong])
    assert np.abs(moved - INPUTS).max() <= 0.4 + 1e-6
    with pytest.raises(ValueError, match=r"epsilon among \(0.4,\), got 0.2: search again"):
        attack.inputs_at(0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilons": (0.2, 0.1)}, r"above 0 in ascending order, got \(0.2, 0.1\)"),
        ({"epsilons": (0.1, 0.1)}, "ascending order"),
        ({"epsilons": (0.0, 0.1)}, "above 0"),
        ({"epsilons": ()}, "above 0"),
        ({"epsilons": (0.1, float("nan"))}, "finite epsilons"),
        (
            {"epsilons": (1e-4,), "labels": np.asarray(linear(INPUTS)).argmax(axis=1)},
            r"none up to epsilon 0.0001: raise",
        ),
        (
            {"scores": lambda x: jnp.round(0 * linear(x)) + jnp.eye(3)[0], "labels": 0 * LABELS},
            "the gradient is 0 everywhere: check that the scores depend",
        ),
        ({"scores": lambda x: np.asarray(x).sum(axis=(1, 2))}, "scores that JAX can differentiate"),
        ({"scores": lambda x: linear(x).astype(jnp.int32)}, "scores that have gradients, got int32"),
        ({"scores": lambda x: linear(x) / 0.0 * 0.0}, "expected a network with finite gradients"),
        ({"inputs": INPUTS[:0], "labels": LABELS[:0]}, "at least one input"),
        ({"inputs": INPUTS - 1}, "inputs from 0.0 to 1.0"),
        ({"labels": LABELS + 1}, "labels from 0 to 2, got 1 to 3"),
        ({"grid": 0}, "grid of at least 1"),
        ({"halvings": -1}, "halvings of 0 or more"),
    ],
)
def test_invalid_searches(change, message):
    with pytest.raises(ValueError, match=message):
        minimal_fgsm(**({"scores": linear, "inputs": INPUTS, "labels": LABELS, "epsilons": (0.1, 0.4)} | change))


def test_relative_changes_of_layers():
    def layers(x):
        return {"input": x, "wide": linear(x), "off": 0 * x}

    found = relative_changes(layers, INPUTS, 1.5 * INPUTS, batch=4)
    assert list(found) == ["input", "wide", "off"]  # the network's order, not the alphabet's
    np.testing.assert_allclose(found["input"], 0.5, rtol=1e-5)
    np.testing.assert_allclose(found["wide"], 0.5, rtol=1e-4)
    assert np.isnan(found["off"]).all()
    with pytest.raises(ValueError, match="as many changed ones"):
        relative_changes(layers, INPUTS, INPUTS[:3])
    with pytest.raises(ValueError, match="finite inputs"):
        relative_changes(layers, INPUTS, INPUTS * np.nan)
    with pytest.raises(ValueError, match="batch of at least 1"):
        relative_changes(layers, INPUTS, INPUTS, batch=0)


@pytest.mark.slow
def test_foolbox_finds_as_many_adversarials_of_the_same_size():
    """foolbox steps along the same signs at every length of a grid; the first that succeeds bounds ours."""
    foolbox = pytest.importorskip("foolbox")
    rng = np.random.default_rng(3)
    first, last = rng.normal(size=(12, 20)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)

    def network(x):
        return jnp.tanh(x @ first) @ last

    rows = rng.uniform(size=(200, 12)).astype(np.float32)
    labels = np.where(rng.random(200) < 0.9, np.asarray(network(rows)).argmax(axis=1), 0)
    epsilons = np.linspace(0, 0.15, 61)[1:]
    model = foolbox.models.JAXModel(network, bounds=(0, 1))
    attack = foolbox.attacks.LinfFastGradientAttack()
    _, _, success = attack(model, jnp.asarray(rows), jnp.asarray(labels), epsilons=epsilons.tolist())
    theirs = np.asarray(success)  # (E, T)
    ours = minimal_fgsm(network, rows, labels, (0.05, 0.1, 0.15), grid=60, halvings=8)
    smallest = np.where(theirs.any(axis=0), epsilons[theirs.argmax(axis=0)], np.inf)
    np.testing.assert_array_equal(np.isinf(ours.sizes), np.isinf(smallest))
    for bound in ours.epsilons:
        np.testing.assert_array_equal(ours.found(bound), smallest <= bound + 1e-9)
    found = np.isfinite(smallest) & (ours.sizes > 0)
    assert found.sum() > 50
    assert (ours.sizes[found] <= smallest[found] + 1e-6).all()
    assert (ours.sizes[found] >= smallest[found] - 0.15 / 60 - 1e-6).all()
