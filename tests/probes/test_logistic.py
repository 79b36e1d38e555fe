"""Logistic regression where stretches hold many positions: against Newton's method on every position."""

import numpy as np
import pytest

from dni_jax.probes import fit_neurons


def _newton(x, y, cost, w, b):
    """Plain Newton steps on every position, from a good start."""
    for _ in range(20):
        chance = 1 / (1 + np.exp(-(w * x + b)))
        slope, curve = cost * (chance - y), cost * chance * (1 - chance)
        gradient = np.array([w + (slope * x).sum(), slope.sum()])
        hessian = np.array([[1 + (curve * x * x).sum(), (curve * x).sum()], [(curve * x).sum(), curve.sum()]])
        w, b = np.array([w, b]) - np.linalg.solve(hessian, gradient)
    return w, b


@pytest.mark.parametrize("class_weight", [pytest.param(None, marks=pytest.mark.slow), "balanced"])
@pytest.mark.parametrize("C", [1.0, 1e4])
def test_the_optimum_over_every_position(C, class_weight):
    rng = np.random.default_rng(0)
    n = 6_000
    states = {
        "smooth": np.tanh(rng.normal(size=n)),
        "two peaks": np.sign(rng.normal(size=n)) * (1 - 0.01 * rng.random(n)),
        "heavy tails": rng.standard_t(1.5, n),
        "far away": 1_000 + rng.normal(size=n),
        "steps": np.round(rng.normal(size=n), 1),
    }
    hidden = np.stack(list(states.values()), axis=1)
    scaled = (hidden - np.median(hidden, axis=0)) / hidden.std(axis=0)
    noisy = scaled[:, [0, 2, 4]] + rng.normal(size=(n, 3)) > [0, 1, 2]
    sharp = scaled[:, :1] + 0.01 * rng.normal(size=(n, 1)) > 0.3  # large weights: beyond the series with C = 1e4
    labels = np.concatenate([noisy, sharp], axis=1)
    folds = np.arange(n) % 2
    lines = fit_neurons(hidden, labels, folds, probe="logistic", C=C, class_weight=class_weight)
    for neuron, feature in np.ndindex(lines["weight"].shape[:2]):
        x, y = hidden[folds != 0, neuron], labels[folds != 0, feature]
        cost = np.full(len(x), C)
        if class_weight:
            cost *= np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))
        w, b = lines["weight"][neuron, feature, 0], lines["bias"][neuron, feature, 0]
        again = _newton(x - 1_000 * (neuron == 3), y, cost, w, b + 1_000 * w * (neuron == 3))
        np.testing.assert_allclose(w, again[0], rtol=1e-5, atol=1e-7, err_msg=f"{neuron} {feature}")
        np.testing.assert_allclose(b + 1_000 * w * (neuron == 3), again[1], rtol=1e-5, atol=1e-6)
