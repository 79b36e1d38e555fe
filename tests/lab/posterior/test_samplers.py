"""Samplers compared with closed forms, each other, optimizers, and blackjax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import solve_discrete_lyapunov

from dni_jax.lab.posterior._samplers import SAMPLERS, dropconnect, psgld, santa, sghmc, sgld, sgnht
from dni_jax.lab.posterior._schedules import cyclical, polynomial
from tests.support.slow import slow_after

S2 = jnp.asarray([0.16, 1.0])


def of_gaussian(variance):
    return lambda w, key: w / variance


def chains(make, gradient, n_chains=2_000, n_steps=400, burn_in=200, dims=2, seed=0):
    """Return the mean square of each coordinate over chains and over the steps after the burn-in."""

    def one(key):
        own, noise = jax.random.split(key)
        sampler = make(own)

        def body(carry, step_key):
            w, state = carry
            update, state = sampler.update(gradient(w, step_key), state, w)
            w = optax.apply_updates(w, update)
            return (w, state), w * w

        start = jnp.ones(dims)
        _, squares = jax.lax.scan(body, (start, sampler.init(start)), jax.random.split(noise, n_steps))
        return squares[burn_in:].mean(0)

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), n_chains)).mean(0))


@pytest.mark.parametrize("step", slow_after(1, [0.1, 0.02, 0.25]))
def test_sgld_has_the_variance_of_its_autoregression(step):
    # The step is w' = a w + noise of variance q, whose stationary variance is q / (1 - a^2): from two steps, exactly.
    chain = sgld(step, key=jax.random.key(0))
    w = jnp.asarray([0.3, 1.0])
    update, state = chain.update(w / S2, chain.init(w))
    noiseless, _ = sgld(step, key=jax.random.key(0), temperature=0.0).update(w / S2, chain.init(w))
    a = np.asarray((w + noiseless) / w, np.float64)
    z = jax.random.normal(jax.random.split(jax.random.key(0))[1], (2,))
    q = float(np.mean(((update - noiseless) / z) ** 2))
    closed = np.asarray(S2) / (1 - step / (2 * np.asarray(S2)))
    np.testing.assert_allclose(q / (1 - a**2), closed, rtol=2e-5)
    assert int(state.step) == 1
    if step == 0.1:
        np.testing.assert_allclose(chains(lambda key: sgld(step, key=key), of_gaussian(S2)), closed, rtol=0.03)


def test_sgld_diverges_from_twice_the_variance_on():
    grown = chains(lambda key: sgld(0.33, key=key), of_gaussian(S2), n_chains=10, n_steps=1_000, burn_in=999)
    assert grown[0] > 1e6
    assert grown[1] < 10


@pytest.mark.parametrize(("friction", "step"), [(0.1, 0.05), (0.5, 0.2), (1.0, 0.1)])
def test_sghmc_has_the_variance_of_its_linear_recursion(friction, step):
    s2 = np.asarray(S2, np.float64)
    for s in s2:
        k = np.sqrt(step)
        matrix = np.asarray([[1 - step / s, k * (1 - friction)], [-k / s, 1 - friction]])
        push = np.sqrt(2 * friction) * np.asarray([k, 1.0])
        exact = solve_discrete_lyapunov(matrix, np.outer(push, push))[0, 0]
        assert exact == pytest.approx(s / (1 - step / (2 * s * (2 - friction))))
    if friction == 0.5:
        found = chains(lambda key: sghmc(step, key=key, friction=friction), of_gaussian(S2))
        np.testing.assert_allclose(found, s2 / (1 - step / (2 * s2 * (2 - friction))), rtol=0.03)


def test_sghmc_with_full_friction_is_sgld():
    w, g = jnp.asarray([0.3, -1.0]), jnp.asarray([2.0, 0.5])
    heavy, light = sghmc(0.1, key=jax.random.key(1), friction=1.0), sgld(0.1, key=jax.random.key(1))
    start = heavy.init(w)
    ours, _ = heavy.update(g, start)
    np.testing.assert_allclose(ours, light.update(g, light.init(w)._replace(key=start.key))[0], rtol=1e-6)


def test_blackjax_takes_the_same_sgld_steps():
    blackjax = pytest.importorskip("blackjax")
    kernel = blackjax.sgld.build_kernel()
    chain = sgld(0.05, key=jax.random.key(3), temperature=0.7)
    ours = theirs = {"a": jnp.asarray([0.3, 1.0]), "b": jnp.ones((2, 3))}
    state = chain.init(ours)
    for _ in range(5):
        noise_key = jax.random.split(state.key)[1]
        theirs = kernel(noise_key, theirs, lambda w, _: jax.tree.map(jnp.negative, w), None, 0.05, 0.7)
        update, state = chain.update(ours, state)
        ours = optax.apply_updates(ours, update)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), ours, theirs)


@pytest.mark.slow
def test_resampled_momentum_is_biased_and_ours_is_not():
    blackjax = pytest.importorskip("blackjax")
    L, step = 3, 0.1
    kernel = blackjax.sghmc.build_kernel(alpha=0.01)

    def one(key):
        move = lambda w, key: (kernel(key, w, lambda w, _: -w, None, step, L), None)  # noqa: E731
        return jax.lax.scan(move, jnp.zeros(8), jax.random.split(key, 200))[0]

    theirs = float((jax.vmap(one)(jax.random.split(jax.random.key(0), 500)) ** 2).mean())
    assert theirs == pytest.approx(L / (L - 1), rel=0.06)
    make = lambda key: sghmc(step**2, key=key, friction=0.1)  # noqa: E731
    ours = chains(make, of_gaussian(1.0), n_chains=300, n_steps=600, burn_in=200, dims=8).mean()
    assert ours == pytest.approx(1.0, rel=0.02)


def self_consistent(variance, step):
    """pSGLD's variance x^2 with an endless memory: G = s^2 / x, so x^2 - (step / 2) x - s^2 = 0."""
    return (step / 4 + np.sqrt(step**2 / 16 + variance)) ** 2


def test_psgld_is_stable_where_sgld_diverges():
    step, settings = 0.5, {"n_chains": 100, "n_steps": 1_000, "burn_in": 300}
    found = chains(lambda key: psgld(step, key=key, decay=0.9999), of_gaussian(S2), **settings)
    np.testing.assert_allclose(found, self_consistent(np.asarray(S2), step), rtol=0.03)
    lost = chains(lambda key: sgld(step, key=key), of_gaussian(S2), n_chains=4, n_steps=1_000, burn_in=999)
    assert not lost[0] < 1e6


@pytest.mark.slow
def test_a_short_memory_biases_psgld_and_a_long_one_does_not():
    step = 0.05
    wanted = self_consistent(np.ones(2), step)
    off = {}
    for decay in (0.9, 0.9999):
        make = lambda key, decay=decay: psgld(step, key=key, decay=decay)  # noqa: E731
        found = chains(make, of_gaussian(jnp.ones(2)), n_chains=150, n_steps=1_000, burn_in=300)
        off[decay] = np.abs(found / wanted - 1).mean()
    assert off[0.9] > 0.2
    assert off[0.9999] < 0.03


def test_gamma_is_the_derivative_of_the_preconditioner():
    h, key = jnp.asarray([2.0, 0.5]), jax.random.key(0)
    chain = psgld(0.1, key=key, decay=0.9, damping=0.01)
    w = jnp.asarray([0.7, -0.4])
    _, state = chain.update(jnp.asarray([1.5, -0.2]), chain.init(w))

    def preconditioner(w):
        square = 0.9 * state.square + 0.1 * (h * w) ** 2
        return 1 / (0.01 + jnp.sqrt(square / (1 - 0.9**2)))

    gamma = np.diag(jax.jit(jax.jacobian(preconditioner))(w))
    update = jax.jit(lambda state, **more: chain.update(h * w, state, **more)[0])
    plain, corrected = np.asarray(update(state)), np.asarray(update(state, curvature=h))
    np.testing.assert_allclose(corrected - plain, 0.1 * gamma, rtol=1e-4)


def test_gamma_of_a_weight_without_gradient_is_zero():
    chain = psgld(0.1, key=jax.random.key(0), temperature=0.0)
    update, _ = chain.update(jnp.zeros(2), chain.init(jnp.zeros(2)), curvature=jnp.ones(2))
    np.testing.assert_array_equal(update, 0.0)


A, ETA = 0.05, 0.01
B = ETA * 9 / 2  # what the noise below adds to the friction's, as much again
LONG = {"n_chains": 40, "n_steps": 1_000, "burn_in": 300, "dims": 20}


def noisy(w, key):
    return w + 3.0 * jax.random.normal(key, w.shape)


@pytest.mark.slow
def test_a_thermostat_absorbs_the_noise_of_the_gradient():
    kept = chains(lambda key: sgnht(ETA, key=key, friction=A), noisy, **LONG).mean()
    assert kept == pytest.approx(1 - (A + B) / 2, rel=0.03)  # the momenta's variance is 1; see sgnht


@pytest.mark.slow
def test_without_a_thermostat_unknown_gradient_noise_raises_the_temperature():
    heated = chains(lambda key: sghmc(ETA, key=key, friction=A), noisy, **LONG).mean()
    assert heated == pytest.approx((A + B) / A, rel=0.05)
    known = chains(lambda key: sghmc(ETA, key=key, friction=A + B, gradient_noise=B), noisy, **LONG).mean()
    assert known == pytest.approx(1.0, rel=0.03)


@pytest.mark.slow
def test_santa_samples_while_it_explores_and_descends_when_it_refines():
    make = lambda key: santa(0.01, key=key, decay=0.9999, friction=0.05)  # noqa: E731
    found = chains(make, of_gaussian(S2), n_chains=100, n_steps=2_000, burn_in=500)
    np.testing.assert_allclose(found, S2, rtol=0.1)
    cold = lambda key: santa(0.01, key=key, friction=0.1, explore=300)  # noqa: E731
    refined = chains(cold, of_gaussian(S2), n_chains=10, n_steps=2_000, burn_in=1_990)
    assert (refined < 1e-4).all()


@pytest.mark.slow
def test_santa_anneals():
    falling = lambda count: (1.0 + count.astype(jnp.float32)) ** -1.0  # noqa: E731
    make = lambda key: santa(0.01, key=key, temperature=falling, decay=0.9999)  # noqa: E731
    late = chains(make, of_gaussian(S2), n_chains=20, n_steps=2_000, burn_in=1_900)
    assert (late < 0.02 * np.asarray(S2)).all()


def test_cold_samplers_are_optimizers():
    gradients = [jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.1]), jnp.asarray([-1.0, 3.0])]
    rms = optax.scale_by_rms(0.99, 1e-5, eps_in_sqrt=False, bias_correction=True)
    trace = optax.trace(0.9)  # its velocity is the momentum of friction 0.1, over the step
    pairs = (
        (sgld(0.1, key=jax.random.key(0), temperature=0.0), optax.sgd(0.1)),
        (psgld(0.1, key=jax.random.key(0), temperature=0.0), optax.chain(rms, optax.scale(-0.1))),
        (sghmc(0.1, key=jax.random.key(0), temperature=0.0), optax.chain(trace, optax.scale(-0.1))),
    )
    for ours, theirs in pairs:
        mine, other = ours.init(jnp.zeros(2)), theirs.init(jnp.zeros(2))
        step, their_step = jax.jit(ours.update), jax.jit(theirs.update)
        for gradient in gradients:
            update, mine = step(gradient, mine)
            with jax.numpy_dtype_promotion("standard"):
                wanted, other = their_step(gradient, other)
            np.testing.assert_allclose(update, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", slow_after(2, sorted(SAMPLERS, key=lambda name: name not in ("psgld", "sghmc"))))
def test_a_seed_is_a_chain(name):
    params = {"a": jnp.ones(3), "b": (jnp.zeros((2, 2)), None)}

    @jax.jit
    def steps(key):
        chain = SAMPLERS[name](polynomial(0.01), key=key, temperature=lambda count: 1.0)
        w, state = params, chain.init(params)
        for _ in range(3):
            update, state = chain.update(w, state, w)
            w = optax.apply_updates(w, update)
        return w

    def walk(seed):
        return np.concatenate([np.ravel(part) for part in jax.tree.leaves(steps(jax.random.key(seed)))])

    np.testing.assert_array_equal(walk(0), walk(0))
    assert (walk(0) != walk(1)).all()
    assert np.isfinite(walk(0)).all()


def test_bad_settings_are_named():
    key = jax.random.key(0)
    for make in (sghmc, sgnht, santa):
        with pytest.raises(ValueError, match="expected a friction above 0"):
            make(0.1, key=key, friction=0.0)
    with pytest.raises(ValueError, match="gradient_noise from 0"):
        sghmc(0.1, key=key, friction=0.1, gradient_noise=0.2)
    with pytest.raises(ValueError, match=r"power above 0\.5"):
        polynomial(0.1, power=0.5)
    with pytest.raises(ValueError, match="cycle of at least 1"):
        cyclical(0.1, 0)


def test_adagrads_preconditioner_is_optaxs_at_temperature_0():
    ours = psgld(0.1, key=jax.random.key(0), temperature=0.0, preconditioner="adagrad", damping=0.0)
    theirs = optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    w, states = jnp.zeros(3), [ours.init(jnp.zeros(3)), theirs.init(jnp.zeros(3))]
    for gradient in jnp.asarray([[1.0, -2.0, 0.5], [0.1, 3.0, 0.5], [-1.0, 0.2, 0.5]]):
        (mine, states[0]), (its, states[1]) = ours.update(gradient, states[0], w), theirs.update(gradient, states[1], w)
        np.testing.assert_allclose(mine, its, rtol=1e-6)
    noisy = psgld(0.1, key=jax.random.key(0), preconditioner="adagrad", damping=0.0)
    update, _ = noisy.update(jnp.asarray([1.0, -2.0, 0.5]), noisy.init(w), w)
    z = jax.random.normal(jax.random.split(jax.random.key(0))[1], (3,))
    scale = 1 / np.asarray([1.0, 2.0, 0.5])
    np.testing.assert_allclose(update, -0.1 * np.asarray([1, -1, 1]) + np.sqrt(2 * 0.1 * scale) * z, rtol=1e-5)
    with pytest.raises(ValueError, match="rmsprop, adagrad, got 'adam'"):
        psgld(0.1, key=jax.random.key(0), preconditioner="adam")


def draws_of(chain, w, change, n=20_000):
    """Return the updates of one step of many chains that differ in their keys."""
    return np.asarray(jax.jit(jax.vmap(lambda key: chain(key).update(change, chain(key).init(w), w)[0]))(
        jax.random.split(jax.random.key(3), n)
    ))  # fmt: skip


@pytest.mark.parametrize("gaussian", [False, True])
def test_dropconnect_adds_noise_of_the_stated_variance(gaussian):
    """Variance p / (1 - p) w^2, and 2 eta T more after SGLD; the mean is that of the step without noise."""
    rate, eta, w, gradient = 0.3, 0.02, jnp.asarray([0.5, -2.0, 0.0]), jnp.asarray([1.0, 0.0, -3.0])

    def chain(key):
        first, second = jax.random.split(key)
        return optax.chain(sgld(eta, key=first), dropconnect(rate, key=second, gaussian=gaussian))

    found = draws_of(chain, w, gradient)
    np.testing.assert_allclose(found.mean(0), -eta * gradient, atol=0.04)
    np.testing.assert_allclose(found.var(0), rate / (1 - rate) * w**2 + 2 * eta, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(found.T)[0, 1], 0, atol=0.03)


def test_dropout_shares_its_factor_among_the_weights_that_leave_a_unit():
    rate, w = 0.5, {"kernel": jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), "bias": jnp.ones(2)}
    noise = dropconnect(rate, key=jax.random.key(1), by_unit=True)
    seen, state = [], noise.init(w)
    for _ in range(6):
        update, state = noise.update(jax.tree.map(jnp.zeros_like, w), state, w)
        rows = np.asarray(w["kernel"] + update["kernel"]) / np.asarray(w["kernel"])
        assert (rows[:, 0] == rows[:, 1]).all()
        seen += rows[:, 0].tolist()
        assert not update["bias"].any()
    assert set(seen) == {0.0, 2.0}


def test_dropconnect_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="below 1, got 1"):
        dropconnect(1.0, key=jax.random.key(0))
    noise = dropconnect(0.5, key=jax.random.key(0))
    with pytest.raises(ValueError, match="no params"):
        noise.update(jnp.ones(2), noise.init(jnp.ones(2)))
