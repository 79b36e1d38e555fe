"""The fast gradient sign method: against gradients by hand, at the ends of the range, in batches."""

import jax.numpy as jnp
import numpy as np
import pytest

from dni_jax.lab.repair import fgsm, gradient_sign

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
