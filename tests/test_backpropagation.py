"""The gradients that docs/backpropagation.md derives, run from the page itself, against autodiff and scikit-learn."""

import math
import re
from functools import cache
from graphlib import CycleError
from itertools import combinations
from pathlib import Path
from types import FunctionType

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


def in_jax(f):
    """A function of the page whose steps are JAX's."""
    return FunctionType(f.__code__, {"sin": jnp.sin, "log": jnp.log, "maximum": jnp.maximum, "sigmoid": jax.nn.sigmoid})


def of_every_step(a, b):
    return maximum(a - b * b, sin(a)) * sigmoid(b - a) + log(a * a + b * b) - sin(b) * b


def test_sines_logarithms_and_differences_are_jax_grad(page):
    """The lecture's functions, at its point and at others, against both modes of JAX and the derivatives by hand."""
    every_step = FunctionType(of_every_step.__code__, page)
    functions = (page["wave"], page["survey"], every_step)

    @jax.jit
    def modes(a, b):
        found = []
        for f in map(in_jax, functions):
            forward = [jax.jvp(f, (a, b), direction)[1] for direction in ((1.0, 0.0), (0.0, 1.0))]
            found.append((*jax.value_and_grad(f, (0, 1))(a, b), forward))
        return found

    for a, b in ((2.0, 5.0), (0.3, -1.2), (4.0, 0.5)):
        by_hand = ((b, a + math.cos(b)), (1 / a + b, a - math.cos(b)), None)
        for f, (expected, reverse, forward), known in zip(functions, modes(a, b), by_hand, strict=True):
            value, slopes = page["slopes"](f, a, b)
            assert value == pytest.approx(float(expected), abs=1e-13)
            np.testing.assert_allclose(slopes, reverse, atol=1e-13)
            np.testing.assert_allclose(slopes, forward, atol=1e-13)
            if known:
                np.testing.assert_allclose(slopes, known, atol=1e-14)
    assert page["slopes"](page["survey"], 2, 5)[0] == pytest.approx(11.652, abs=5e-4)
    np.testing.assert_allclose(page["slopes"](page["survey"], 2, 5)[1], (5.5, 1.716), atol=5e-4)


def test_both_modes_multiply_the_same_derivatives(page):
    steps = {name: page[name] for name in ("maximum", "sigmoid")}
    cases = [(make(steps), values) for make, values in FUNCTIONS.values()]
    cases += [(page[name], (2.0, 5.0)) for name in ("wave", "survey", "winding")]
    for f, values in cases:
        _, slopes = page["slopes"](f, *values)
        for direction in (*np.eye(len(values)), np.arange(1.0, len(values) + 1)):
            assert page["along"](f, values, direction.tolist()) == pytest.approx(slopes @ direction, abs=1e-13)


def test_a_loop_and_a_branch_are_the_steps_that_were_taken(page):
    ways = set()
    for a, b in ((1.5, 2.0), (2.0, 3.0), (12.0, 7.0), (1.1, 1.01), (0.5, 31.0)):
        rounds = next(n for n in range(1_000) if a * b**n >= 10)
        product = a * b**rounds
        outer = 1 / product if product < 15 else math.cos(product)
        value, slopes = page["slopes"](page["winding"], a, b)
        assert value == pytest.approx(math.log(product) if product < 15 else math.sin(product), rel=1e-12)
        expected = (outer * b**rounds, outer * rounds * a * b ** max(rounds - 1, 0))
        np.testing.assert_allclose(slopes, expected, rtol=1e-11)
        ways.add((rounds, product < 15))
    assert len(ways) == 5


def test_jax_follows_a_python_loop(page):
    np.testing.assert_allclose(jax.grad(in_jax(page["winding"]), (0, 1))(1.5, 2.0), (1 / 1.5, 1.5), rtol=1e-14)


def test_jax_cannot_walk_a_while_loop_back(page):
    with pytest.raises(ValueError, match=r"Reverse-mode differentiation does not work for lax\.while_loop"):
        jax.grad(page["compiled"])(1.5, 2.0)


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
    # A median over neighbors: single errors of rounding can be 0 by luck.
    typical = {
        name: [np.median(values[max(0, at - 2) : at + 3]) for at in range(40)] for name, values in errors.items()
    }
    assert 1e-9 < steps[np.argmin(typical["forward"])] < 1e-7
    assert 1e-7 < steps[np.argmin(typical["central"])] < 1e-4
    assert min(typical["central"]) < 1e-10 < 1e-9 < min(typical["forward"]) < 1e-7


def rows_and_classes(n_rows=7, n_columns=4, n_classes=3, seed=11):
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=(n_rows, n_columns)), np.eye(n_classes)[rng.integers(n_classes, size=n_rows)]


def differences(f, value, step=1e-5):
    """Central differences of a number with respect to each entry of an array."""
    nudges = step * np.eye(value.size).reshape(value.size, *value.shape)
    return np.reshape([(f(value + nudge) - f(value - nudge)) / (2 * step) for nudge in nudges], value.shape)


@pytest.mark.parametrize("name", ["Linear", "Sigmoid", "CrossEntropy"])
def test_a_module_passes_back_the_derivatives_of_its_result(page, name):
    rng, x, y = rows_and_classes()
    given = {
        "Linear": (x, rng.normal(size=(4, 3)), rng.normal(size=3)),
        "Sigmoid": (3 * x,),
        "CrossEntropy": (3 * rng.normal(size=(7, 3)), y),
    }[name]
    module = page[name]()
    arrived = rng.normal(size=np.shape(module.forward(*given)))
    found = module.backward(arrived)
    assert len(found) == len(given)
    for place, value in enumerate(given):

        def result(value, place=place):
            return (arrived * page[name]().forward(*given[:place], value, *given[place + 1 :])).sum()

        np.testing.assert_allclose(found[place], differences(result, value), atol=2e-9)


def test_two_layers_by_hand_and_by_differences(page):
    rng, x, y = rows_and_classes()
    weights = {name: rng.normal(size=shape) for name, shape in page["shapes"].items()}
    network = page["network"]
    assert network.order == ["sums", "hidden", "scores", "loss"]
    network.forward(x=x, y=y, **weights)
    found = network.backward()

    hidden = expit(x @ weights["w1"] + weights["b1"])
    scores = np.exp(hidden @ weights["w2"] + weights["b2"])
    error = (scores / scores.sum(axis=1, keepdims=True) - y) / len(x)
    below = error @ weights["w2"].T * hidden * (1 - hidden)
    by_hand = {"w2": hidden.T @ error, "b2": error.sum(axis=0), "w1": x.T @ below, "b1": below.sum(axis=0)}
    for name, value in weights.items():
        np.testing.assert_allclose(found[name], by_hand[name], atol=1e-15)

        def loss(value, name=name):
            return network.forward(x=x, y=y, **{**weights, name: value})

        np.testing.assert_allclose(found[name], differences(loss, value), atol=1e-9)
    np.testing.assert_allclose(found["x"], below @ weights["w1"].T, atol=1e-15)


def test_a_weight_that_two_layers_share_adds_what_comes_back(page):
    rng, x, y = rows_and_classes(n_columns=3)
    w, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    shared = page["Graph"](
        loss=(page["CrossEntropy"](), "second", "y"),
        second=(page["Linear"](), "first", "w", "b"),
        first=(page["Linear"](), "x", "w", "b"),
    )
    shared.forward(x=x, y=y, w=w, b=b)
    found = shared.backward()
    np.testing.assert_allclose(found["w"], differences(lambda w: shared.forward(x=x, y=y, w=w, b=b), w), atol=1e-9)
    np.testing.assert_allclose(found["b"], differences(lambda b: shared.forward(x=x, y=y, w=w, b=b), b), atol=1e-9)


def test_a_graph_without_an_order_is_refused(page):
    with pytest.raises(CycleError):
        page["Graph"](a=(page["Sigmoid"](), "b"), b=(page["Sigmoid"](), "a"))


def test_softmax_of_two_classes_is_the_logistic_probe(page):
    """One class always scores 0; the other's gradient is the logistic one."""
    rng, x, y = rows_and_classes(n_classes=2)
    w, b = rng.normal(size=(4, 1)), rng.normal(size=1)
    found = page["softmax_gradient"](np.hstack([0 * w, w]), np.append(0.0, b), x, y)
    expected = page["logistic_gradient"](w, b, x, y[:, 1:])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[..., 1:], theirs, atol=1e-15)
        np.testing.assert_allclose(ours[..., :1], -theirs, atol=1e-15)


def test_the_lectures_four_pixels(page):
    given = {"x": page["picture"], "w": page["templates"].T, "b": page["bias"]}
    scores = page["Linear"]().forward(**given)
    np.testing.assert_allclose(scores, [[-96.8, 437.9, 60.75]], atol=1e-12)
    assert page["classifier"].forward(**given, y=page["cat"]) == pytest.approx(437.9 + 96.8, abs=1e-12)
    found = page["classifier"].backward()
    error, picture = np.asarray([-1.0, 1.0, 0.0]), np.asarray([56.0, 231.0, 24.0, 2.0])
    np.testing.assert_allclose(found["w"], np.outer(picture, error), atol=1e-12)
    np.testing.assert_allclose(found["b"], error, atol=1e-14)
    np.testing.assert_allclose(found["x"], [[1.3, 1.8, 2.0, -2.0]], atol=1e-14)
    moved = page["Linear"]().forward(given["x"], given["w"] - 1e-3 * found["w"], given["b"] - 1e-3 * found["b"])
    np.testing.assert_allclose(moved, scores - 1e-3 * 57_078 * error, atol=1e-10)


def test_the_noise_of_a_batch_is_that_of_all_batches_of_its_size(page):
    """All batches of 1 to 7 of 7 rows: their mean is the gradient of all rows, their distance from it the formula's."""
    rng, x, y = rows_and_classes()
    w, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    every = page["softmax_gradient"](w, b, x, y)[0]
    for size in range(1, 8):
        drawn = [list(rows) for rows in combinations(range(7), size)]
        found = np.stack([page["softmax_gradient"](w, b, x[rows], y[rows])[0] for rows in drawn])
        np.testing.assert_allclose(found.mean(axis=0), every, atol=1e-15)
        distance = np.sqrt(np.square(found - every).sum(axis=(1, 2)).mean())
        assert page["batch_noise"](page["softmax_gradient"], w, b, x, y, size) == pytest.approx(distance, abs=1e-14)


def test_an_epoch_reads_every_row_once(page):
    seen = []

    def gradient(w, b, x, y):
        seen.append(x[:, 0].astype(int).tolist())
        return np.zeros_like(w), np.zeros_like(b)

    x, y = np.arange(10.0)[:, None], np.zeros((10, 1))
    assert len(list(page["descend_in_batches"](gradient, x, y, 0.1, 4, 2, np.random.default_rng(0)))) == 2
    assert [len(rows) for rows in seen] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert (first != second).any()


def test_one_batch_of_all_rows_is_the_delta_rule(page):
    _, x, y = rows_and_classes()
    expected = page["descend"](page["linear_gradient"], x, y, 0.3, 5)
    found = page["descend_in_batches"](page["linear_gradient"], x, y, 0.3, len(x), 5, np.random.default_rng(0))
    np.testing.assert_allclose(flat(list(found)[-1]), flat(expected), atol=1e-15)


def test_the_softmax_bends_at_most_half_as_much_as_the_square():
    p = np.vstack([np.random.default_rng(0).dirichlet([0.5] * 4, size=1_000), [0.5, 0.5, 0, 0]])
    curvatures = np.linalg.eigvalsh(p[:, :, None] * np.eye(4) - p[:, :, None] * p[:, None])[:, -1]
    assert curvatures.max() == pytest.approx(0.5)
