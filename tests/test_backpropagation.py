"""The gradients that docs/backpropagation.md derives, run from the page itself, against autodiff and scikit-learn."""

import re
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

import dni_jax as dni
from tests.support.slow import slow_after

PAGE = Path(__file__).parents[1] / "docs" / "backpropagation.md"
CASES = ("random", "tiny", "constant neuron", "constant labels", "one in a hundred", "far away")


@pytest.fixture(scope="module")
def page():
    """Every name that the page defines."""
    namespace = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def doubles(page):
    with jax.enable_x64(True):
        yield


def drawn(case):
    """Weights, bias, states and labels."""
    rng = np.random.default_rng(0)
    n_positions, n_neurons, n_features = (1, 1, 1) if case == "tiny" else (200, 4, 3)
    x = rng.normal(size=(n_positions, n_neurons))
    y = (rng.random((n_positions, n_features)) < (0.01 if case == "one in a hundred" else 0.4)).astype(float)
    w, b = rng.normal(size=(n_neurons, n_features)), rng.normal(size=n_features)
    if case == "constant neuron":
        x[:, 0] = 0.3
    if case == "constant labels":
        y[:, 0], y[:, 1] = 0, 1
    if case == "far away":
        w *= 300  # every probability is 0 or 1 to the last digit
    return w, b, x, y


def flat(pair):
    return np.concatenate([np.ravel(part) for part in pair])


@cache
def programs(loss):
    """The loss; its gradient in reverse and in forward mode; its slope along a direction; central differences."""

    def along(w, b, x, y, l2, direction):
        return jax.jvp(lambda w, b: loss(w, b, x, y, l2), (w, b), direction)[1]

    def differences(w, b, x, y, l2, step):
        def at(vector):
            return loss(vector[: w.size].reshape(w.shape), vector[w.size :], x, y, l2)

        start, nudges = jnp.concatenate([jnp.ravel(w), b]), step * jnp.eye(w.size + b.size)
        return (jax.vmap(at)(start + nudges) - jax.vmap(at)(start - nudges)) / (2 * step)

    modes = (loss, jax.grad(loss, argnums=(0, 1)), jax.jacfwd(loss, argnums=(0, 1)), along, differences)
    return tuple(jax.jit(mode) for mode in modes)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_hand_reverse_forward_and_differences_agree(page, kind, case, l2):
    value, reverse, forward, along, differences = programs(page[f"{kind}_loss"])
    given = drawn(case)
    found = flat(page[f"{kind}_gradient"](*given, l2))
    size = max(1.0, np.abs(found).max())
    np.testing.assert_allclose(flat(reverse(*given, l2)), found, atol=1e-13 * size)
    np.testing.assert_allclose(flat(forward(*given, l2)), found, atol=1e-13 * size)
    direction = tuple(np.random.default_rng(1).normal(size=part.shape) for part in given[:2])
    np.testing.assert_allclose(along(*given, l2, direction), found @ flat(direction), atol=1e-12 * size)
    rounding = 1e-9 * size + 1e-10 * abs(float(value(*given, l2)))
    np.testing.assert_allclose(differences(*given, l2, 1e-5), found, atol=rounding)


def test_saturated_probabilities_keep_the_gradient_finite(page):
    x = np.asarray([[1e4], [-1e4]])
    for y, expected in (([[1.0], [0.0]], 0.0), ([[0.0], [1.0]], 1e4)):
        found, _ = page["logistic_gradient"](np.ones((1, 1)), np.zeros(1), x, np.asarray(y))
        assert float(found[0, 0]) == expected


def test_the_chain_rule_before_anything_cancels(page):
    """dL/dp times ds/dz times x, term by term, as the page derives it."""
    w, b, x, y = drawn("random")
    p = expit(x @ w + b)
    by_p = -y / p + (1 - y) / (1 - p)
    expected = np.einsum("tf,tf,tj->jf", by_p, p * (1 - p), x) / len(x)
    np.testing.assert_allclose(page["logistic_gradient"](w, b, x, y)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_a_step_below_the_limit_lowers_the_loss_as_promised(page, kind):
    value, gradient = programs(page[f"{kind}_loss"])[0], page[f"{kind}_gradient"]
    most = 1.0 if kind == "linear" else 0.25
    for case in CASES[:-1]:
        w, b, x, y = drawn(case)
        curvature = page["largest_curvature"](x, 0.1, most)
        slope_w, slope_b = gradient(w, b, x, y, 0.1)
        square = np.square(slope_w).sum() + np.square(slope_b).sum()
        for rate in np.asarray([0.01, 0.5, 1.0, 1.9]) / curvature:
            fall = value(w, b, x, y, 0.1) - value(w - rate * slope_w, b - rate * slope_b, x, y, 0.1)
            assert float(fall) >= rate * (1 - rate * curvature / 2) * square - 1e-13


def test_the_limit_of_a_quadratic_is_exact(page):
    """Along the steepest direction what is left is multiplied by 1 - rate L at each step."""
    _, _, x, y = drawn("random")
    x, y = x - x.mean(0), y - y.mean(0)  # the bias is then 0 at the optimum and the directions do not mix
    values, directions = np.linalg.eigh(x.T @ x / len(x))
    best = np.linalg.lstsq(x, y)[0]
    for share in (0.3, 0.999, 1.001):
        rate = share * 2 / values[-1]
        found, _ = page["descend"](page["linear_gradient"], x, y, rate, 50)
        left = directions[:, -1] @ (found - best)
        expected = (1 - rate * values[-1]) ** 50 * (directions[:, -1] @ -best)
        np.testing.assert_allclose(left, expected, rtol=1e-8, atol=1e-14)
    assert page["largest_curvature"](x) == pytest.approx(max(1.0, values[-1]))
    hessian = jax.jit(jax.hessian(lambda w: page["linear_loss"](w, jnp.zeros(1), x, y[:, :1])))(np.zeros((4, 1)))
    np.testing.assert_allclose(np.reshape(hessian, (4, 4)), x.T @ x / len(x), atol=1e-13)


@pytest.mark.parametrize("case", ["random", "constant neuron", "one in a hundred"])
def test_it_ends_where_scikit_learn_does(page, case):
    _, _, x, y = drawn(case)
    rate = 1 / page["largest_curvature"](x)
    w, b = page["descend"](page["linear_gradient"], x, y, rate, 2_000)
    theirs = LinearRegression().fit(x, y)
    np.testing.assert_allclose(x @ w + b, theirs.predict(x), atol=1e-9)
    w, b = page["descend"](page["linear_gradient"], x, y, rate / 1.1, 2_000, l2=0.1)
    theirs = Ridge(alpha=0.1 * len(x)).fit(x, y)
    np.testing.assert_allclose(w, theirs.coef_.T, atol=1e-9)
    np.testing.assert_allclose(b, theirs.intercept_, atol=1e-9)


@pytest.mark.parametrize("case", ["random", "one in a hundred"])
def test_the_logistic_one_ends_where_scikit_learn_does(page, case):
    _, _, x, y = drawn(case)
    y = y[:, y.any(0)]
    l2 = 0.1
    rate = 1.9 / page["largest_curvature"](x, l2, 0.25)
    w, b = page["descend"](page["logistic_gradient"], x, y, rate, 4_000, l2)
    for feature, labels in enumerate(y.T):
        theirs = LogisticRegression(C=1 / (l2 * len(x)), solver="newton-cholesky", tol=1e-12).fit(x, labels)
        np.testing.assert_allclose(w[:, feature], theirs.coef_[0], atol=1e-8)
        np.testing.assert_allclose(b[feature], theirs.intercept_[0], atol=1e-8)


def one_neuron():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(240, 1))
    return x, (x + rng.normal(size=(240, 1)) > 0.4).astype(float), np.arange(240) % 4


def test_it_ends_where_our_least_squares_probe_does(page):
    x, y, folds = one_neuron()
    scores = dni.score_neurons(x, y, folds, probe="ols", metrics=("r2",))["r2"][0, 0]
    for fold in range(4):
        train, test = folds != fold, folds == fold
        rate = 1 / page["largest_curvature"](x[train])
        w, b = page["descend"](page["linear_gradient"], x[train], y[train], rate, 500)
        residual = np.square(x[test] @ w + b - y[test]).sum()
        expected = 1 - residual / np.square(y[test] - y[test].mean()).sum()
        assert float(scores[fold]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_it_ends_where_our_logistic_probe_does(page):
    x, y, folds = one_neuron()
    scores = dni.score_neurons(x, y, folds, probe="logistic", metrics=("accuracy",))["accuracy"][0, 0]
    for fold in range(4):
        train, test = folds != fold, folds == fold
        l2 = 1 / train.sum()  # C = 1
        rate = 1.9 / page["largest_curvature"](x[train], l2, 0.25)
        w, b = page["descend"](page["logistic_gradient"], x[train], y[train], rate, 2_000, l2)
        assert float(scores[fold]) == pytest.approx(((x[test] @ w + b > 0) == y[test]).mean(), abs=1e-6)


FUNCTIONS = {
    "sum times z": (lambda t: lambda x, y, z: (x + y) * z, (-2.0, 5.0, -4.0)),
    "neuron": (lambda t: lambda u, v, b, x, y: t["sigmoid"](u * x + v * y + b), (2.0, -3.0, -3.0, -1.0, -2.0)),
    "max": (lambda t: lambda a, b, c: t["maximum"](a * b, c) * a, (2.0, 3.0, -1.0)),
    "tie": (lambda t: lambda a, b: t["maximum"](a, b) * a, (1.5, 1.5)),
    "branches": (lambda t: lambda a, b: a * a + t["maximum"](a, b) * b, (3.0, 2.0)),
    "diamond": (lambda t: lambda a: (a + a) * (a * a + t["sigmoid"](a)), (0.7,)),
    "not used": (lambda t: lambda a, b: a * a, (2.0, 9.0)),
}  # fmt: skip


# The tie and the diamond are where a tape goes wrong.
TELLING = sorted(FUNCTIONS, key=lambda name: name not in ("neuron", "diamond", "tie", "not used"))


@pytest.mark.parametrize("name", slow_after(4, TELLING))
def test_the_tape_is_jax_grad(page, name):
    make, values = FUNCTIONS[name]
    by_jax = make({"sigmoid": jax.nn.sigmoid, "maximum": jnp.maximum})
    value, slopes = page["slopes"](make(page), *values)
    assert value == pytest.approx(float(by_jax(*values)), abs=1e-14)
    by = tuple(range(len(values)))
    modes = jax.jit(lambda *values: [mode(by_jax, argnums=by)(*values) for mode in (jax.grad, jax.jacfwd)])
    expected, forward = modes(*values)
    np.testing.assert_allclose(slopes, expected, atol=1e-14)
    np.testing.assert_allclose(slopes, forward, atol=1e-14)
    if name != "tie":
        nudges = 1e-5 * np.eye(len(values))
        at = jax.jit(by_jax)
        differences = [float(at(*(values + n)) - at(*(values - n))) / 2e-5 for n in nudges]
        np.testing.assert_allclose(slopes, differences, atol=1e-8)


def test_the_lectures_numbers(page):
    assert page["slopes"](lambda x, y, z: (x + y) * z, -2, 5, -4) == (-12, (-4, -4, 3))
    output, slopes = page["slopes"](page["neuron"], 2, -3, -3, -1, -2)
    p = 1 / (1 + np.exp(-1))
    assert output == pytest.approx(p, abs=1e-15)
    np.testing.assert_allclose(slopes, np.asarray([-1, -2, 1, 2, -3]) * p * (1 - p), atol=1e-15)
    np.testing.assert_allclose(slopes, [-0.20, -0.39, 0.20, 0.39, -0.59], atol=0.005)


def test_a_long_chain_is_walked_once(page):
    """2^30 ways lead back; each node is visited once."""

    def doubled(a):
        for _ in range(30):
            a = a + a
        return a

    assert page["slopes"](doubled, 1) == (2.0**30, (2.0**30,))


@pytest.mark.parametrize("name", ["sum times z", "not used"])
def test_dual_numbers_are_jvp(page, name):
    make, values = FUNCTIONS[name]
    direction = tuple(np.random.default_rng(5).normal(size=len(values)).tolist())
    found = page["along"](make(page), values, direction)
    assert found == pytest.approx(float(jax.jvp(make(page), values, direction)[1]), abs=1e-13)


def test_through_time(page):
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=12)

    def recurrence(a, nudges):
        last, _ = jax.lax.scan(lambda h, pair: (a * h + pair[0] + pair[1], None), jnp.zeros(()), (inputs, nudges))
        return -0.7 * last

    slopes = jax.jit(jax.value_and_grad(recurrence, argnums=(0, 1)))
    for a in (0.9, -1.1, 0.0):
        value, by_a, by_state = page["through_time"](a, -0.7, inputs.tolist())
        expected = slopes(np.float64(a), np.zeros(12))
        np.testing.assert_allclose(value, expected[0], atol=1e-13)
        np.testing.assert_allclose(by_a, expected[1][0], atol=1e-12)
        np.testing.assert_allclose(by_state, expected[1][1][::-1], atol=1e-13)
        np.testing.assert_allclose(by_state, [-0.7 * a**lag for lag in range(12)], atol=1e-13)


def test_central_differences_are_best_near_the_cube_root_of_eps(page):
    slope = (1 - 0.7**2) / (1 + 0.7**2) ** 2
    steps = np.logspace(-14, -1, 40)
    errors = {
        "forward": [abs((page["curve"](0.7 + h) - page["curve"](0.7)) / h - slope) for h in steps],
        "central": [abs((page["curve"](0.7 + h) - page["curve"](0.7 - h)) / (2 * h) - slope) for h in steps],
    }
    # A median over neighbours: single errors of rounding can be 0 by luck.
    typical = {
        name: [np.median(values[max(0, at - 2) : at + 3]) for at in range(40)] for name, values in errors.items()
    }
    assert 1e-9 < steps[np.argmin(typical["forward"])] < 1e-7
    assert 1e-7 < steps[np.argmin(typical["central"])] < 1e-4
    assert min(typical["central"]) < 1e-10 < 1e-9 < min(typical["forward"]) < 1e-7
