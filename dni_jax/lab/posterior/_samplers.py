"""Samplers by stochastic gradients, as Optax transformations of the gradient of minus the log-posterior.

Each draws weights from exp(-U / temperature), U being minus the log-posterior of *all* data. `update` takes the
gradient of U, or an unbiased estimate of it from some of the data, and gives what to add to the weights. The step size
eta has one meaning throughout: at temperature 0, and with friction 1 where there is momentum, the update is -eta times
the (preconditioned) gradient, and the noise of temperature 1 has the variance 2 eta (times the preconditioner). Welling
& Teh (2011) write eta / 2 for it.

A state holds its own random key: the same key gives the same chain. Many chains go through one `jax.vmap` over keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from dni_jax.lab.posterior._chain_state import (
    SamplerState,
    begin,
    check_friction,
    gamma_of,
    root_mean_square,
    size_of,
    with_momentum,
)
from dni_jax.lab.posterior._schedules import Value

_map = jax.tree.map


def sgld(step_size: Value, *, key: Array, temperature: Value = 1.0) -> optax.GradientTransformation:
    """Stochastic gradient Langevin dynamics (Welling & Teh 2011).

    ``w' = w - eta g + sqrt(2 eta T) z``. On U = w^2 / (2 s^2) this is an autoregression whose stationary variance is
    ``s^2 / (1 - eta / (2 s^2))``; it diverges from eta = 2 s^2 on.

    Parameters
    ----------
    step_size
        eta: a number, or a function of the step.
    key
        Where the noise comes from.
    temperature
        T: a number, or a function of the step; 1 is the posterior, 0 plain gradient descent.

    Examples
    --------
    >>> chain = sgld(0.1, key=jax.random.key(0), temperature=0.0)
    >>> update, _ = chain.update(jnp.asarray([1.0, -2.0]), chain.init(jnp.zeros(2)))
    >>> update.round(3).tolist()
    [-0.10000000149011612, 0.20000000298023224]
    """

    def init(params: Any) -> SamplerState:
        return SamplerState(jnp.zeros((), jnp.int32), key)

    def update(gradient: Any, state: SamplerState, params: Any = None) -> tuple[Any, SamplerState]:
        eta, warmth, rest, noise = begin(state, gradient, step_size, temperature)
        scale = jnp.sqrt(2 * eta * warmth)
        return _map(lambda g, z: -eta * g + scale * z, gradient, noise), state._replace(**rest)

    return optax.GradientTransformation(init, update)


def psgld(
    step_size: Value, *, key: Array, temperature: Value = 1.0, decay: float = 0.99, damping: Any = 1e-5
) -> optax.GradientTransformationExtraArgs:
    """SGLD preconditioned by RMSprop (Li et al. 2016, algorithm 1).

    ``V = decay V + (1 - decay) g^2``, ``G = 1 / (damping + sqrt(V))`` (V less its bias towards 0, as in Adam), and
    ``w' = w - eta (G g - Gamma) + sqrt(2 eta T G) z``.

    ``Gamma_i = T dG_ii / dw_i`` corrects for a preconditioner that depends on the weights. Its value at this step is
    ``-T (1 - decay) g H / (sqrt(V) (damping + sqrt(V))^2)``, H the diagonal of U's second derivative, which no gradient
    tells. It is added where `update` gets ``curvature=H``; else it is left out, as Li et al. do in their experiments.
    It is not the whole correction: V also remembers where the chain was before, so that at 0.99 most of the bias stays
    even with it. A long memory (0.9999) makes the bias small.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`; the step size is that of RMSprop.
    decay
        How much of the mean of squares each step keeps.
    damping
        Added to the root of the mean square, in units of the gradient of U.

    Examples
    --------
    >>> chain = psgld(0.1, key=jax.random.key(0), temperature=0.0)
    >>> update, _ = chain.update(jnp.asarray([1.0, -2.0]), chain.init(jnp.zeros(2)))
    >>> update.round(3).tolist() == jnp.asarray([-0.1, 0.1]).tolist()
    True
    """

    def init(params: Any) -> SamplerState:
        return SamplerState(jnp.zeros((), jnp.int32), key, square=_map(jnp.zeros_like, params))

    def update(
        gradient: Any, state: SamplerState, params: Any = None, *, curvature: Any = None, **_: Any
    ) -> tuple[Any, SamplerState]:
        eta, warmth, rest, noise = begin(state, gradient, step_size, temperature)
        square, root, share = root_mean_square(gradient, state, decay)
        scale = _map(lambda r: 1 / (damping + r), root)
        drift = _map(jnp.multiply, scale, gradient)
        if curvature is not None:
            gamma = _map(lambda g, h, r, s: gamma_of(g, h, r, s, share), gradient, curvature, root, scale)
            drift = _map(lambda d, c: d - warmth * c, drift, gamma)
        change = _map(lambda d, s, z: -eta * d + jnp.sqrt(2 * eta * warmth * s) * z, drift, scale, noise)
        return change, state._replace(square=square, **rest)

    return optax.GradientTransformationExtraArgs(init, update)


def sghmc(
    step_size: Value, *, key: Array, temperature: Value = 1.0, friction: float = 0.1, gradient_noise: float = 0.0
) -> optax.GradientTransformation:
    """Stochastic gradient Hamiltonian Monte Carlo (Chen, Fox & Guestrin 2014, equation 15), semi-implicit.

    ``p' = (1 - a) p - sqrt(eta) g + sqrt(2 (a - b) T) z``, ``w' = w + sqrt(eta) p'``: the new momentum moves the
    weights, and it is never drawn anew. (Drawing it every L steps, the gradient lagging one step behind, multiplies the
    variance by L / (L - 1).) With a = 1 and b = 0 it is `sgld`. On U = w^2 / (2 s^2) the stationary variance is
    ``s^2 / (1 - eta / (2 s^2 (2 - a)))``.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the share of the momentum that a step loses, above 0 and up to 1.
    gradient_noise
        b: what the gradient's own noise, of variance v a weight, adds: ``eta v / (2 T)``, if it is known.

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
    check_friction(friction)
    if not 0 <= gradient_noise <= friction:
        raise ValueError(f"expected gradient_noise from 0 to the friction {friction}, got {gradient_noise}")

    def update(gradient: Any, state: SamplerState, params: Any = None) -> tuple[Any, SamplerState]:
        eta, warmth, rest, noise = begin(state, gradient, step_size, temperature)
        step, scale = jnp.sqrt(eta), jnp.sqrt(2 * (friction - gradient_noise) * warmth)
        momentum = _map(lambda p, g, z: (1 - friction) * p - step * g + scale * z, state.momentum, gradient, noise)
        return _map(lambda p: step * p, momentum), state._replace(momentum=momentum, **rest)

    return optax.GradientTransformation(lambda params: with_momentum(params, key, temperature), update)


def sgnht(
    step_size: Value, *, key: Array, temperature: Value = 1.0, friction: float = 0.1
) -> optax.GradientTransformation:
    """Stochastic gradient Nose-Hoover thermostat (Ding et al. 2014, algorithm 2): friction that finds its own value.

    ``p' = (1 - x) p - sqrt(eta) g + sqrt(2 a T) z``, ``w' = w + sqrt(eta) p'``, ``x' = x + eta (mean(p'^2) - T)``. The
    gradient's noise, whatever its size, is balanced by x, if it is alike for all weights: `friction` need not know it.
    What it holds at T is the momenta's variance; on a Gaussian the weights' is then ``1 - x / 2`` times the right one.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the noise put in, and where the friction x starts.

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
    check_friction(friction)

    def init(params: Any) -> SamplerState:
        return with_momentum(params, key, temperature)._replace(friction=jnp.asarray(friction, jnp.float32))

    def update(gradient: Any, state: SamplerState, params: Any = None) -> tuple[Any, SamplerState]:
        eta, warmth, rest, noise = begin(state, gradient, step_size, temperature)
        step, scale = jnp.sqrt(eta), jnp.sqrt(2 * friction * warmth)
        momentum = _map(
            lambda p, g, z: (1 - state.friction) * p - step * g + scale * z, state.momentum, gradient, noise
        )
        heat = sum(jnp.sum(p * p) for p in jax.tree.leaves(momentum)) / size_of(momentum)
        after = state._replace(momentum=momentum, friction=state.friction + eta * (heat - warmth), **rest)
        return _map(lambda p: step * p, momentum), after

    return optax.GradientTransformation(init, update)


def santa(
    step_size: Value,
    *,
    key: Array,
    temperature: Value = 1.0,
    friction: float = 0.1,
    decay: float = 0.99,
    damping: Any = 1e-5,
    explore: int | None = None,
) -> optax.GradientTransformation:
    """Stochastic annealing thermostats with adaptive momentum (Chen et al. 2016, algorithm 1, the Euler scheme).

    ``V = decay V + (1 - decay) g^2`` (less its bias), ``G = 1 / sqrt(damping + sqrt(V))``. While it explores, each
    weight has a thermostat, ``x' = x + eta (p^2 - T)``, and ``p' = (1 - x') p - sqrt(eta) G g + sqrt(2 a T) z``. After
    `explore` steps it refines: x stays as it is, but not below a, and there is no noise, which is RMSprop with
    momentum. Throughout ``w' = w + sqrt(eta) G p'``.

    The paper anneals: `temperature` is then a schedule that falls to 0. At temperature 1, never refining, it samples.
    Two things follow the authors' published program where the paper has more: the noise is the same for all weights
    (G_2 constant), and the derivative of the preconditioner is left out. The paper's estimate of it divides by the
    momentum, which has no finite variance. One thing is ours: the paper refines with the last x, which may be below 0,
    and then blows up.

    Parameters
    ----------
    step_size, key, temperature
        See `sgld`.
    friction
        a: the noise put in, and where each x starts.
    decay, damping
        See `psgld`.
    explore
        Steps before it refines; None never does.

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
    check_friction(friction)

    def init(params: Any) -> SamplerState:
        state = with_momentum(params, key, temperature)
        start = _map(lambda w: jnp.full_like(w, friction), params)
        return state._replace(square=_map(jnp.zeros_like, params), friction=start)

    def update(gradient: Any, state: SamplerState, params: Any = None) -> tuple[Any, SamplerState]:
        eta, warmth, rest, noise = begin(state, gradient, step_size, temperature)
        exploring = jnp.asarray(True) if explore is None else state.step < explore
        square, root, _ = root_mean_square(gradient, state, decay)
        scale = _map(lambda r: 1 / jnp.sqrt(damping + r), root)
        step, size = jnp.sqrt(eta), jnp.where(exploring, jnp.sqrt(2 * friction * warmth), 0.0)
        heated = _map(
            lambda x, p: jnp.where(exploring, x + eta * (p * p - warmth), jnp.maximum(x, friction)),
            state.friction,
            state.momentum,
        )
        momentum = _map(
            lambda x, p, s, g, z: (1 - x) * p - step * s * g + size * z, heated, state.momentum, scale, gradient, noise
        )
        after = state._replace(square=square, momentum=momentum, friction=heated, **rest)
        return _map(lambda s, p: step * s * p, scale, momentum), after

    return optax.GradientTransformation(init, update)


SAMPLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"sgld": sgld, "psgld": psgld, "sghmc": sghmc, "sgnht": sgnht, "santa": santa}
)
