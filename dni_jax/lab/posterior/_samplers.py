"""Stochastic gradient MCMC samplers, as Optax transformations of the gradient of minus the log-posterior.

Each samples weights from exp(-U / temperature), where U is minus the log-posterior of *all* data. `update` takes the
gradient of U, or an unbiased estimate of it from a minibatch, and returns the increment of the weights. The step size
eta has one meaning throughout: at temperature 0, and with friction 1 where there is momentum, the update is -eta times
the (preconditioned) gradient, and the noise at temperature 1 has variance 2 eta (times the preconditioner). Welling &
Teh (2011) write eta / 2 for it.

A state holds its own random key: the same key gives the same chain. Many chains run under one `jax.vmap` over keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from dni_jax.lab.posterior._schedules import Scalar, value_at

PRECONDITIONERS = ("rmsprop", "adagrad")

_map = jax.tree.map


class SamplerState(NamedTuple):
    """What a chain carries from step to step; None where a sampler has no such part.

    Attributes
    ----------
    step
        int32: steps taken.
    key
        The random key of the steps to come.
    square
        A running mean of squared gradients, like the weights.
    momentum
        Like the weights, of unit mass: at equilibrium its variance is the temperature.
    friction
        The thermostat: one number (SGNHT), or one per weight (Santa).
    """

    step: Array
    key: Array
    square: Any = None
    momentum: Any = None
    friction: Any = None


class Step(NamedTuple):
    """What every sampler's rule is given.

    Attributes
    ----------
    eta, temperature
        The step size and the temperature at this step.
    noise
        Standard normal numbers like the gradient.
    curvature
        The diagonal of U's second derivative, where `update` received it.
    """

    eta: Array
    temperature: Array
    noise: Any
    curvature: Any


def posterior_gradient(n_symbols: Any, prior_precision: Any = 1.0) -> optax.GradientTransformation:
    """Turn the gradient of a mean loss into that of minus the log-posterior of the whole text.

    ``n_symbols * g + prior_precision * w``: chain it with a sampler to sample with the gradients of training.

    Parameters
    ----------
    n_symbols
        The number of symbols of the whole text; see `count_symbols`.
    prior_precision
        1 over the variance of a normal prior of every weight.

    Examples
    --------
    >>> chain = optax.chain(posterior_gradient(200), sgld(0.01, key=jax.random.key(0), temperature=0.0))
    >>> weights = jnp.asarray([0.5])
    >>> update, _ = chain.update(jnp.asarray([0.1]), chain.init(weights), weights)
    >>> round(update.item(), 4)  # -0.01 (200 * 0.1 + 0.5)
    -0.205
    """

    def update(gradient: Any, state: optax.EmptyState, params: Any = None) -> tuple[Any, optax.EmptyState]:
        return _map(lambda g, w: n_symbols * g + prior_precision * w, gradient, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def sgld(step_size: Scalar, *, key: Array, temperature: Scalar = 1.0) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient Langevin dynamics (Welling & Teh 2011).

    ``w' = w - eta g + sqrt(2 eta T) z``. On U = w^2 / (2 s^2) this is an autoregression whose stationary variance is
    ``s^2 / (1 - eta / (2 s^2))``; it diverges for eta of 2 s^2 or more.

    Parameters
    ----------
    step_size
        eta: a number, or a function of the step.
    key
        The source of the noise.
    temperature
        T: a number, or a function of the step; 1 is the posterior, 0 plain gradient descent.

    Examples
    --------
    >>> chain = sgld(0.1, key=jax.random.key(0), temperature=0.0)
    >>> update, _ = chain.update(jnp.asarray([1.0, -2.0]), chain.init(jnp.zeros(2)))
    >>> update.round(3).tolist()
    [-0.10000000149011612, 0.20000000298023224]
    """

    def rule(gradient: Any, state: SamplerState, at: Step) -> tuple[Any, dict[str, Any]]:
        scale = jnp.sqrt(2 * at.eta * at.temperature)
        return _map(lambda g, z: -at.eta * g + scale * z, gradient, at.noise), {}

    return _sampler(lambda params: SamplerState(jnp.zeros((), jnp.int32), key), step_size, temperature, rule)


def psgld(
    step_size: Scalar,
    *,
    key: Array,
    temperature: Scalar = 1.0,
    decay: float = 0.99,
    damping: Any = 1e-5,
    preconditioner: str = "rmsprop",
) -> optax.GradientTransformationExtraArgs:
    """SGLD preconditioned by RMSprop (Li et al. 2016, algorithm 1) or by Adagrad.

    ``V = decay V + (1 - decay) g^2``, ``G = 1 / (damping + sqrt(V))`` (with V's bias toward 0 removed, as in Adam),
    and ``w' = w - eta (G g - Gamma) + sqrt(2 eta T G) z``.

    Adagrad's V is the sum of all squares (Duchi, Hazan & Singer 2011). So after t steps its G is about ``1 / sqrt(t)``
    times RMSprop's with an endless memory: the step size falls by itself, and no schedule is needed.

    ``Gamma_i = T dG_ii / dw_i`` corrects for a preconditioner that depends on the weights. At this step it is
    ``-T (1 - decay) g H / (sqrt(V) (damping + sqrt(V))^2)``, where H is the diagonal of U's second derivative, which a
    gradient does not provide. It is added if `update` receives ``curvature=H``, and otherwise left out, as in the
    experiments of Li et al. The correction is not complete: V also remembers where the chain was before, so that at
    0.99 most of the bias remains even with it. A long memory (0.9999) makes the bias small.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`; the step size is that of RMSprop.
    decay
        The share of the running mean of squares that each step keeps; not used by Adagrad.
    damping
        Added to the root of the mean square (of the sum), in units of the gradient of U.
    preconditioner : {"rmsprop", "adagrad"}
        How squared gradients are combined.

    Raises
    ------
    ValueError
        For an unknown preconditioner.

    Examples
    --------
    >>> chain = psgld(0.1, key=jax.random.key(0), temperature=0.0)
    >>> update, _ = chain.update(jnp.asarray([1.0, -2.0]), chain.init(jnp.zeros(2)))
    >>> update.round(3).tolist() == jnp.asarray([-0.1, 0.1]).tolist()
    True
    """
    if preconditioner not in PRECONDITIONERS:
        raise ValueError(f"expected a preconditioner among {', '.join(PRECONDITIONERS)}, got {preconditioner!r}")

    def init(params: Any) -> SamplerState:
        return SamplerState(jnp.zeros((), jnp.int32), key, square=_map(jnp.zeros_like, params))

    def rule(gradient: Any, state: SamplerState, at: Step) -> tuple[Any, dict[str, Any]]:
        if preconditioner == "adagrad":
            square, root, newest = _root_sum_square(gradient, state)
        else:
            square, root, newest = _root_mean_square(gradient, state, decay)
        eta, t = at.eta, at.temperature
        scale = _map(lambda r: 1 / (damping + r), root)
        drift = _map(jnp.multiply, scale, gradient)
        if at.curvature is not None:
            gamma = _map(lambda g, h, r, s: _gamma(g, h, r, s, newest), gradient, at.curvature, root, scale)
            drift = _map(lambda d, c: d - t * c, drift, gamma)
        change = _map(lambda d, s, z: -eta * d + jnp.sqrt(2 * eta * t * s) * z, drift, scale, at.noise)
        return change, {"square": square}

    return _sampler(init, step_size, temperature, rule)


def sghmc(
    step_size: Scalar,
    *,
    key: Array,
    temperature: Scalar = 1.0,
    friction: float = 0.1,
    gradient_noise: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin 2014, equation 15), semi-implicit.

    ``p' = (1 - a) p - sqrt(eta) g + sqrt(2 (a - b) T) z``, ``w' = w + sqrt(eta) p'``: the new momentum moves the
    weights, and it is never resampled. (Resampling every L steps, with the gradient one step late, multiplies the
    variance by L / (L - 1).) With a = 1 and b = 0 it is `sgld`. On U = w^2 / (2 s^2) the stationary variance is
    ``s^2 / (1 - eta / (2 s^2 (2 - a)))``.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the share of the momentum that a step loses, above 0 and up to 1.
    gradient_noise
        b: what the gradient's own noise of variance v per weight adds, ``eta v / (2 T)``, if it is known.

    Raises
    ------
    ValueError
        For a friction outside (0, 1], or a gradient noise outside [0, friction].

    Examples
    --------
    >>> chain = sghmc(0.01, key=jax.random.key(0), friction=0.5)
    >>> update, state = chain.update(jnp.ones(3), chain.init(jnp.zeros(3)))
    >>> jnp.allclose(update, 0.1 * state.momentum).item()
    True
    """
    _check_friction(friction)
    if not 0 <= gradient_noise <= friction:
        raise ValueError(f"expected gradient_noise from 0 to the friction {friction}, got {gradient_noise}")

    def rule(gradient: Any, state: SamplerState, at: Step) -> tuple[Any, dict[str, Any]]:
        step, size = jnp.sqrt(at.eta), jnp.sqrt(2 * (friction - gradient_noise) * at.temperature)
        frictions, push = _map(lambda p: friction, state.momentum), _map(lambda g: step * g, gradient)
        momentum = _kick(state.momentum, frictions, push, size, at.noise)
        return _map(lambda p: step * p, momentum), {"momentum": momentum}

    return _sampler(lambda params: _init_momentum(params, key, temperature), step_size, temperature, rule)


def sgnht(
    step_size: Scalar, *, key: Array, temperature: Scalar = 1.0, friction: float = 0.1
) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient Nose-Hoover thermostat (Ding et al. 2014, algorithm 2): a friction that adapts.

    ``p' = (1 - x) p - sqrt(eta) g + sqrt(2 a T) z``, ``w' = w + sqrt(eta) p'``, ``x' = x + eta (mean(p'^2) - T)``.
    Momenta that are too hot raise the friction x, too cold ones lower it. So x balances the gradient's noise without
    knowing its size, provided it is the same for all weights. What is held at T is the variance of the momenta; on a
    Gaussian the variance of the weights is then ``1 - x / 2`` times the correct one.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the noise injected, and the initial value of the friction x.

    Raises
    ------
    ValueError
        For a friction outside (0, 1].

    Examples
    --------
    >>> chain = sgnht(0.01, key=jax.random.key(0))
    >>> _, state = chain.update(jnp.zeros(3), chain.init(jnp.zeros(3)))
    >>> jnp.allclose(state.friction, 0.1 + 0.01 * (jnp.mean(state.momentum**2) - 1)).item()
    True
    """
    _check_friction(friction)

    def init(params: Any) -> SamplerState:
        return _init_momentum(params, key, temperature)._replace(friction=jnp.asarray(friction, jnp.float32))

    def rule(gradient: Any, state: SamplerState, at: Step) -> tuple[Any, dict[str, Any]]:
        step, size = jnp.sqrt(at.eta), jnp.sqrt(2 * friction * at.temperature)
        frictions, push = _map(lambda p: state.friction, state.momentum), _map(lambda g: step * g, gradient)
        momentum = _kick(state.momentum, frictions, push, size, at.noise)
        n_weights = sum(part.size for part in jax.tree.leaves(momentum))
        kinetic = sum(jnp.sum(p * p) for p in jax.tree.leaves(momentum)) / n_weights
        adapted = state.friction + at.eta * (kinetic - at.temperature)
        return _map(lambda p: step * p, momentum), {"momentum": momentum, "friction": adapted}

    return _sampler(init, step_size, temperature, rule)


def santa(
    step_size: Scalar,
    *,
    key: Array,
    temperature: Scalar = 1.0,
    friction: float = 0.1,
    decay: float = 0.99,
    damping: Any = 1e-5,
    explore: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Stochastic annealing thermostats with adaptive momentum (Chen et al. 2016, algorithm 1, the Euler scheme).

    ``V = decay V + (1 - decay) g^2`` (with its bias removed), ``G = 1 / sqrt(damping + sqrt(V))``. While exploring,
    each weight has its own thermostat, ``x' = x + eta (p^2 - T)``, and
    ``p' = (1 - x') p - sqrt(eta) G g + sqrt(2 a T) z``. After `explore` steps it refines: x stays as it is, but at
    least a, and there is no noise, which is RMSprop with momentum. Throughout ``w' = w + sqrt(eta) G p'``.

    The paper anneals: `temperature` is then a schedule that falls to 0. At temperature 1, without refinement, it
    samples. Two simplifications follow the authors' published program: the noise is the same for all weights (G_2
    constant), and the derivative of the preconditioner is left out, since the paper's estimate of it divides by the
    momentum and has no finite variance. One change is ours: the paper refines with the last x, which may be negative
    and then diverges.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the noise injected, and the initial value of every x.
    decay, damping
        See `psgld`.
    explore
        Steps before the refinement; None never refines.

    Raises
    ------
    ValueError
        For a friction outside (0, 1].

    Examples
    --------
    >>> chain = santa(0.01, key=jax.random.key(0), explore=0)
    >>> update, state = chain.update(jnp.ones(3), chain.init(jnp.zeros(3)))
    >>> state.friction.tolist() == jnp.full(3, 0.1).tolist()
    True
    """
    _check_friction(friction)

    def init(params: Any) -> SamplerState:
        state = _init_momentum(params, key, temperature)
        frictions = _map(lambda w: jnp.full_like(w, friction), params)
        return state._replace(square=_map(jnp.zeros_like, params), friction=frictions)

    def rule(gradient: Any, state: SamplerState, at: Step) -> tuple[Any, dict[str, Any]]:
        exploring = jnp.asarray(True) if explore is None else state.step < explore
        eta, t = at.eta, at.temperature
        square, root, _ = _root_mean_square(gradient, state, decay)
        scale = _map(lambda r: 1 / jnp.sqrt(damping + r), root)
        step, size = jnp.sqrt(eta), jnp.where(exploring, jnp.sqrt(2 * friction * t), 0.0)
        frictions = _map(
            lambda x, p: jnp.where(exploring, x + eta * (p * p - t), jnp.maximum(x, friction)),
            state.friction,
            state.momentum,
        )
        push = _map(lambda s, g: step * s * g, scale, gradient)
        momentum = _kick(state.momentum, frictions, push, size, at.noise)
        change = _map(lambda s, p: step * s * p, scale, momentum)
        return change, {"square": square, "momentum": momentum, "friction": frictions}

    return _sampler(init, step_size, temperature, rule)


def dropconnect(
    rate: float, *, key: Array, gaussian: bool = False, by_unit: bool = False
) -> optax.GradientTransformationExtraArgs:
    """DropConnect and dropout as noise of a sampler (Li et al. 2016, "Learning weight uncertainty with SG-MCMC").

    A step from dropped weights is ``w' = w xi + u``, where u is the change that comes in and xi is 1 / (1 - p) with
    probability 1 - p and 0 otherwise. So it adds noise ``w (xi - 1)`` to u: of mean 0 and variance ``p / (1 - p) w^2``.
    Chained after `sgld`, the noise of a step has the variance ``p / (1 - p) w^2 + 2 eta T``.

    Parameters
    ----------
    rate
        p: the probability that a weight is dropped.
    key
        The source of the masks.
    gaussian
        Whether xi is normal with the same mean and variance (Gaussian dropout), instead of one of two values.
    by_unit
        Dropout in place of DropConnect: all weights that leave a unit (a row of a kernel, or of any array's first axis)
        share their xi. Arrays with fewer than two axes, such as biases, leave no unit and are not dropped.

    Raises
    ------
    ValueError
        For a rate outside [0, 1).

    Examples
    --------
    >>> noise = dropconnect(0.5, key=jax.random.key(0))
    >>> weights = jnp.full(4, 3.0)
    >>> update, _ = noise.update(jnp.zeros(4), noise.init(weights), weights)
    >>> sorted(set((weights + update).tolist()))
    [0.0, 6.0]
    """
    if not 0 <= rate < 1:
        raise ValueError(f"expected a rate of at least 0 and below 1, got {rate}")

    def factor(key: Array, shape: tuple[int, ...]) -> Array:
        if gaussian:
            return 1 + jnp.sqrt(rate / (1 - rate)) * jax.random.normal(key, shape)
        return jax.random.bernoulli(key, 1 - rate, shape).astype(jnp.float32) / (1 - rate)

    def noise(key: Array, w: Array) -> Array:
        if by_unit and w.ndim < 2:
            return jnp.zeros_like(w)
        shape = (len(w), *(1,) * (w.ndim - 1)) if by_unit else w.shape
        return w * (factor(key, shape).astype(w.dtype) - 1)

    def update(change: Any, state: SamplerState, params: Any = None, **_: Any) -> tuple[Any, SamplerState]:
        if params is None:
            raise ValueError("expected update(change, state, params), got no params: their size is the noise's")
        key, now = jax.random.split(state.key)
        leaves, structure = jax.tree.flatten(params)
        noises = [noise(jax.random.fold_in(now, place), leaf) for place, leaf in enumerate(leaves)]
        shaken = _map(jnp.add, change, jax.tree.unflatten(structure, noises))
        return shaken, state._replace(step=state.step + 1, key=key)

    return optax.GradientTransformationExtraArgs(lambda params: SamplerState(jnp.zeros((), jnp.int32), key), update)


SAMPLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"sgld": sgld, "psgld": psgld, "sghmc": sghmc, "sgnht": sgnht, "santa": santa}
)


def _sampler(
    init: Callable[[Any], SamplerState],
    step_size: Scalar,
    temperature: Scalar,
    rule: Callable[[Any, SamplerState, Step], tuple[Any, dict[str, Any]]],
) -> optax.GradientTransformationExtraArgs:
    """Return the transformation of a sampler.

    `rule` takes the gradient, the state before the step and the `Step`; it returns the change of the weights, and the
    parts of the state that change with it.
    """

    def update(
        gradient: Any, state: SamplerState, params: Any = None, *, curvature: Any = None, **_: Any
    ) -> tuple[Any, SamplerState]:
        key, now = jax.random.split(state.key)
        eta, t = value_at(step_size, state.step), value_at(temperature, state.step)
        change, parts = rule(gradient, state, Step(eta, t, _noise_like(now, gradient), curvature))
        return change, state._replace(step=state.step + 1, key=key, **parts)

    return optax.GradientTransformationExtraArgs(init, update)


def _kick(momentum: Any, frictions: Any, push: Any, size: Array, noise: Any) -> Any:
    """Return the momenta after a step: they lose some to friction, are pushed downhill, and are shaken."""
    return _map(lambda x, p, f, z: (1 - x) * p - f + size * z, frictions, momentum, push, noise)


def _noise_like(key: Array, like: Any) -> Any:
    flat, unravel = ravel_pytree(like)
    return unravel(jax.random.normal(key, flat.shape, flat.dtype))


def _init_momentum(params: Any, key: Array, temperature: Scalar) -> SamplerState:
    """Return a state whose momenta are drawn from their stationary distribution."""
    key, now = jax.random.split(key)
    t = value_at(temperature, jnp.zeros((), jnp.int32))
    momentum = _map(lambda z: jnp.sqrt(t) * z, _noise_like(now, params))
    return SamplerState(jnp.zeros((), jnp.int32), key, momentum=momentum)


def _root_mean_square(gradient: Any, state: SamplerState, decay: float) -> tuple[Any, Any, Array]:
    """Return the running mean of squares, the root of its unbiased value, and the newest square's weight in that."""
    square = _map(lambda v, g: decay * v + (1 - decay) * g * g, state.square, gradient)
    total = 1 - decay ** (state.step + 1).astype(jnp.float32)
    return square, _map(lambda v: jnp.sqrt(v / total), square), (1 - decay) / total


def _root_sum_square(gradient: Any, state: SamplerState) -> tuple[Any, Any, Array]:
    """Return the sum of squares, its root, and the newest square's weight in it."""
    square = _map(lambda v, g: v + g * g, state.square, gradient)
    return square, _map(jnp.sqrt, square), jnp.ones(())


def _gamma(gradient: Array, curvature: Array, root: Array, scale: Array, newest: Array) -> Array:
    """Return the derivative of each weight's preconditioner with respect to it; 0 where every gradient was 0."""
    return jnp.where(root > 0, -newest * gradient * curvature * scale**2 / jnp.where(root > 0, root, 1.0), 0.0)


def _check_friction(friction: float) -> None:
    if not 0 < friction <= 1:
        raise ValueError(f"expected a friction above 0 and up to 1, got {friction}")
