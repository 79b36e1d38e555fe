"""Bijections compared with their Jacobians, their inverses, the theorems about them, and flowjax."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dni_jax.lab.densities import (
    PLU,
    QR,
    Autoregressive,
    Chain,
    Coupling,
    Gaussian,
    Inverse,
    Permute,
    Planar,
    Sylvester,
    Whiten,
    log_prob,
    normal_log_prob,
)
from dni_jax.lab.densities._linear import reflect
from dni_jax.lab.densities._planar import tanh_root
from tests.support.slow import slow_after

N = 5


@pytest.fixture
def doubles():
    with jax.enable_x64(True):
        yield


def perturbed(bijection, seed, size=0.5):
    """Return the bijection with noise added to its parameters; float64."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64) + size * rng.normal(size=a.shape)), bijection)


def make(name, seed=0, n=N):
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    square, row = rng.normal(size=(n, n)), rng.normal(size=n)
    if name == "whiten":
        return Whiten.from_gaussian(Gaussian.from_states(rng.normal(size=(50, n)) @ square), "float64")
    if name in ("plu", "qr"):
        return perturbed({"plu": PLU, "qr": QR}[name].from_matrix(square, row, "float64"), seed)
    if name == "planar":
        return perturbed(Planar.init(key, n), seed, 1.0)
    if name == "sylvester":
        return perturbed(Sylvester.init(key, n, min(3, n)), seed, 1.0)
    if name in ("coupling", "swapped"):
        return perturbed(Coupling.init(key, n, 7, 2, name == "swapped"), seed)
    if name == "maf":
        return perturbed(Autoregressive.init(key, n, 7, 2), seed)
    if name == "permute":
        return Permute.random(n, seed)
    if name == "inverse":
        return Inverse(make("planar", seed, n))
    return Chain(tuple(make(part, seed + i, n) for i, part in enumerate(("whiten", "coupling", "planar", "permute"))))


FIRST = ("chain", "maf", "qr", "sylvester")
NAMES = (
    "maf",
    "whiten",
    "plu",
    "qr",
    "planar",
    "sylvester",
    "coupling",
    "swapped",
    "permute",
    "inverse",
    "chain",
)


@jax.jit
def apply_both_ways(bijection, x):
    y, log_det = bijection.forward(x)
    jacobian = jax.jacfwd(lambda state: bijection.forward(state)[0])(x[1, 2])
    return y, log_det, *bijection.inverse(y), jacobian, bijection.forward(x[1, 2])[0]


# The chain goes through most of the others.
SIZES = [("chain", N), ("maf", N), ("qr", N), ("sylvester", N), *((name, N) for name in NAMES if name not in FIRST)]


@pytest.mark.parametrize(
    ("name", "n"), slow_after(4, [*SIZES, ("coupling", 2), ("maf", 2), ("sylvester", 1), ("qr", 1)], 2)
)
def test_inverse_and_log_determinant(doubles, name, n):
    bijection = make(name, 3, n)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, n)))
    y, log_det, back, inverse_log_det, jacobian, alone = apply_both_ways(bijection, x)
    assert y.shape == x.shape
    assert log_det.shape == x.shape[:-1] == inverse_log_det.shape
    np.testing.assert_allclose(back, x, atol=1e-8)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-8)
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det[1, 2], atol=1e-8)
    np.testing.assert_allclose(alone, y[1, 2], atol=1e-12)


@pytest.mark.parametrize("name", ["planar", pytest.param("sylvester", marks=pytest.mark.slow)])
def test_gradients_through_the_root(doubles, name):
    """Implicit derivatives of the inverse are the inverse matrix of the forward map's."""
    bijection = make(name, 5)
    x = jnp.asarray(np.random.default_rng(2).normal(size=N))

    @jax.jit
    def matrices(bijection, x):
        y = bijection.forward(x)[0]
        there = jax.jacfwd(lambda state: bijection.forward(state)[0])(x)
        return y, there, jax.jacfwd(lambda latent: bijection.inverse(latent)[0])(y)

    @jax.jit
    def inverse_log_det(bijection, y):  # depends on all parameters, by way of the root
        return jax.value_and_grad(lambda one: one.inverse(y)[1])(bijection)

    y, there, back = matrices(bijection, x)
    np.testing.assert_allclose(back @ there, np.eye(N), atol=1e-8)
    direction = perturbed(jax.tree.map(jnp.zeros_like, bijection), 6, 1.0)
    pairs = zip(jax.tree.leaves(inverse_log_det(bijection, y)[1]), jax.tree.leaves(direction), strict=True)
    slope = sum(float(np.vdot(ours, along)) for ours, along in pairs)
    moved = [jax.tree.map(lambda a, d, by=by: a + by * d, bijection, direction) for by in (1e-5, -1e-5)]
    ends = [inverse_log_det(one, y)[0] for one in moved]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, atol=1e-6)


def test_matrix_determinant_lemma(doubles):
    """``det(I + u v') = 1 + u . v``, which makes a planar map's determinant O(N)."""
    rng = np.random.default_rng(0)
    forward = jax.jit(Planar.forward)
    for n in (1, 7):
        u, w = jnp.asarray(rng.normal(size=n)) / n, jnp.asarray(rng.normal(size=n)) / n
        planar = Planar.from_direction(w, u, jnp.asarray(0.3))
        x = jnp.asarray(rng.normal(size=n))
        slope = 1 - np.tanh(np.asarray(x) @ np.asarray(w) + 0.3) ** 2
        whole = np.linalg.slogdet(np.eye(n) + slope * np.outer(u, w))[1]
        assert abs(float(forward(planar, x)[1]) - whole) < 5e-15


@pytest.mark.slow
def test_sylvester_of_one_direction_is_planar(doubles):
    sylvester = make("sylvester", 1)
    one = Sylvester(sylvester.vectors[:1], sylvester.r[:1, :1], sylvester.t[:1, :1], sylvester.b[:1])
    (column,), (r, t) = one.columns, one.triangles
    planar = Planar.from_direction(t[0, 0] * column, r[0, 0] * column, one.b[0])
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, N)))
    for ours, its in zip(one.forward(x), planar.forward(x), strict=True):
        np.testing.assert_allclose(ours, its, atol=1e-12)


def test_planar_at_the_boundary(doubles):
    """At w . u = -1 the slope along w is 0 where w . x = -b; below, the map folds; no value of `raw` does."""
    w, b = jnp.asarray([1.0, 2.0]), jnp.asarray(0.5)
    for along, folds in ((-1.2, True), (-0.8, False)):
        a = np.linspace(-3, 3, 2001)
        assert (np.diff(a + along * np.tanh(a + 0.5)) < 0).any() == folds
    for u in (-w / 5, -1.2 * w / 5):
        with pytest.raises(ValueError, match=r"expected w \. u above -0.9999, got -1"):
            Planar.from_direction(w, u, b)
    near = Planar.from_direction(w, -w / 5 * (1 - 1e-3), b)
    x = -b * w / 5  # w . x = -b
    assert float(jnp.exp(near.forward(x)[1])) == pytest.approx(1e-3, rel=1e-9)
    for size in (-50.0, -1.0, 0.0, 3.0):  # every raw parameter is an invertible map
        planar = Planar(w, size * w, b)
        assert float(planar.u @ w) > -1
        np.testing.assert_allclose(planar.inverse(planar.forward(x)[0])[0], x, atol=1e-6)
    still = Planar(jnp.zeros(2), jnp.ones(2), b)
    np.testing.assert_allclose(still.inverse(still.forward(x)[0])[0], x, atol=1e-14)


def test_tanh_root(doubles):
    rng = np.random.default_rng(0)
    a, inner, shift = rng.normal(0, 3, 200), rng.normal(0, 2, 200), rng.normal(0, 2, 200)
    outer = np.where(inner == 0, 1, (rng.exponential(1, 200) - 0.999) / inner)
    target = a + outer * np.tanh(inner * a + shift)
    found = jax.jit(tanh_root)(target, outer, inner, shift)
    np.testing.assert_allclose(found, a, atol=1e-7)


@pytest.mark.parametrize("m", slow_after(1, [3, 1, N]))
def test_reflections(doubles, m):
    vectors = np.random.default_rng(m).normal(size=(m, N))
    q = np.eye(N)
    for v in vectors:
        q = q @ (np.eye(N) - 2 * np.outer(v, v) / (v @ v))
    x = np.random.default_rng(0).normal(size=(4, N))
    there, back = jax.jit(lambda v, x: (reflect(v, x), reflect(v, x, transposed=True)))(vectors, x)
    np.testing.assert_allclose(there, x @ q.T, atol=1e-12)
    np.testing.assert_allclose(back, x @ q, atol=1e-12)


@pytest.mark.parametrize("kind", [PLU, QR])
@pytest.mark.parametrize("n", slow_after(1, [6, 1, 2]))
def test_linear_maps_of_a_matrix(doubles, kind, n):
    matrix, bias = np.random.default_rng(n).normal(size=(n, n)), np.arange(n, dtype=float)
    x = np.random.default_rng(0).normal(size=(3, n))
    y, log_det = jax.jit(kind.forward)(kind.from_matrix(matrix, bias, "float64"), x)
    np.testing.assert_allclose(y, x @ matrix.T + bias, atol=1e-12)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1], atol=1e-12)
    with pytest.raises(ValueError, match="singular"), np.errstate(all="ignore"):
        kind.from_matrix(np.zeros((n, n)), bias)


def test_density_of_a_linear_map(doubles):
    matrix, bias = np.random.default_rng(0).normal(size=(3, 3)), np.arange(3.0)
    x = np.random.default_rng(1).normal(size=(5, 3))
    back = np.linalg.inv(matrix)
    expected = stats.multivariate_normal(-back @ bias, back @ back.T).logpdf(x)
    found = jax.jit(log_prob)(QR.from_matrix(matrix, bias, "float64"), x)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(jax.jit(normal_log_prob)(x), stats.norm.logpdf(x).sum(1), atol=1e-12)


def test_forward_kl_of_data_is_reverse_kl_of_latents(doubles):
    """KL(data || flow) = KL(latents || normal) (Papamakarios et al. 2021, section 2.3.3), here of Gaussians."""
    rng = np.random.default_rng(0)
    matrix, bias, mean, root = (rng.normal(size=shape) for shape in ((4, 4), 4, 4, (4, 4)))
    covariance = root @ root.T

    def kl(m0, c0, m1, c1):
        inverse = np.linalg.inv(c1)
        apart = np.trace(inverse @ c0) + (m1 - m0) @ inverse @ (m1 - m0) - len(m0)
        return 0.5 * (apart + np.linalg.slogdet(c1)[1] - np.linalg.slogdet(c0)[1])

    flow = PLU.from_matrix(matrix, bias, "float64")

    @jax.jit
    def of_flow(flow, mean):
        slopes = jax.jacfwd(lambda state: flow.forward(state)[0])(mean)
        return flow.forward(mean)[0], slopes, flow.inverse(jnp.zeros(4))[0]

    latent_mean, jacobian, flow_mean = map(np.asarray, of_flow(flow, mean))
    latent = kl(latent_mean, jacobian @ covariance @ jacobian.T, np.zeros(4), np.eye(4))
    back = np.linalg.inv(jacobian)
    data = kl(mean, covariance, flow_mean, back @ back.T)
    np.testing.assert_allclose(data, latent, rtol=1e-12)


def test_planar_matches_flowjax(doubles):
    flowjax = pytest.importorskip("flowjax.bijections")
    planar = make("planar", 2)
    its = flowjax.Planar(jax.random.key(0), dim=N)
    parameters = jnp.concatenate([planar.w, jnp.ones(N), planar.b[None]])
    object.__setattr__(its, "params", parameters)
    u = its.get_planar().get_act_scale()  # they keep w . u above -1 in another way: take their u
    ours = Planar.from_direction(planar.w, u, planar.b)
    x = jnp.asarray(np.random.default_rng(0).normal(size=N))
    for a, b in zip(ours.forward(x), its.transform_and_log_det(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.slow
def test_triangular_and_chain_matches_flowjax(doubles):
    flowjax = pytest.importorskip("flowjax.bijections")
    rng = np.random.default_rng(0)
    lower = np.tril(rng.normal(size=(N, N)), -1) + np.diag(np.exp(rng.normal(size=N)))
    bias, order = rng.normal(size=N), rng.permutation(N)
    ours = Chain((PLU.from_matrix(lower, bias, "float64"), Permute(tuple(order.tolist()))))
    its = flowjax.Chain([flowjax.TriangularAffine(jnp.asarray(bias), jnp.asarray(lower)), flowjax.Permute(order)])
    x = jnp.asarray(rng.normal(size=N))
    for way, other in ((ours.forward, its.transform_and_log_det), (ours.inverse, its.inverse_and_log_det)):
        for a, b in zip(way(x), other(x), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.slow
def test_coupling_matches_flowjax(doubles):
    """With the last layers' weights at 0 both networks give constants, and both couplings are one affine map."""
    flowjax = pytest.importorskip("flowjax.bijections")
    equinox = pytest.importorskip("equinox")
    scale, shift = np.asarray([0.3, -0.2]), np.asarray([1.0, 2.0])
    start = perturbed(Coupling.init(jax.random.key(0), 4, 3, 1, swap=False), 0, 0.0)
    ours = replace(start, biases=(start.biases[0], jnp.asarray(np.concatenate([3 * np.arctanh(scale / 3), shift]))))
    shape = {"untransformed_dim": 2, "dim": 4, "nn_width": 3, "nn_depth": 1}
    its = flowjax.Coupling(jax.random.key(0), transformer=flowjax.Affine(), **shape)
    raw = np.log(np.expm1(np.exp(scale))) - np.log(np.expm1(1.0))  # their scale is a softplus, shifted to start at 1
    last = its.conditioner.layers[-1]
    numbers = jnp.zeros_like(last.weight), jnp.asarray(np.stack([shift, raw], 1).ravel())
    its = equinox.tree_at(lambda c: (c.conditioner.layers[-1].weight, c.conditioner.layers[-1].bias), its, numbers)
    x = jnp.asarray(np.random.default_rng(0).normal(size=4))
    for way, other in ((ours.forward, its.transform_and_log_det), (ours.inverse, its.inverse_and_log_det)):
        for a, b in zip(way(x), other(x), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_an_autoregressive_maps_jacobian_is_triangular(doubles):
    """The lecture's argument: y_i depends on no later x, so the determinant is the product of the diagonal, exp(s)."""
    maf, x = make("maf", 2), jnp.asarray(np.random.default_rng(0).normal(size=N))
    jacobian, log_det = jax.jit(lambda x: (jax.jacfwd(lambda state: maf.forward(state)[0])(x), maf.forward(x)[1]))(x)
    assert not np.triu(jacobian, 1).any()
    assert (np.tril(jacobian, -1) != 0).sum() > N  # and on earlier ones it does depend
    np.testing.assert_allclose(np.log(np.diag(jacobian)).sum(), log_det, atol=1e-12)


def test_invalid_arguments():
    with pytest.raises(ValueError, match="at least 2 neurons, one after the other"):
        Autoregressive.init(jax.random.key(0), 1, 4, 1)
    with pytest.raises(ValueError, match="at least 2 neurons"):
        Coupling.init(jax.random.key(0), 1, 4, 1, False)
    with pytest.raises(ValueError, match="1 to 3 directions"):
        Sylvester.init(jax.random.key(0), 3, 4)
    with pytest.raises(ValueError, match="states that vary"):
        Gaussian.from_states(np.ones((5, 2)))
    with pytest.raises(ValueError, match="full rank"):
        Gaussian.from_states(np.outer(np.arange(5.0), [1, 1])).whitening()


def test_coupling_starts_as_the_identity():
    """A coupling starts as the identity, so a flow starts as its Gaussian."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, N)), jnp.float32)
    y, log_det = jax.jit(Coupling.forward)(Coupling.init(jax.random.key(0), N, 6, 2, True), x)
    np.testing.assert_array_equal(y, x)
    assert not log_det.any()
