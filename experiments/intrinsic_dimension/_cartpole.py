"""The cart and its pole, episodes of a policy, and two ways to improve it: policy gradient and evolution strategies.

The equations are those of Barto, Sutton & Anderson (1983) as OpenAI Gym's CartPole-v0 has them: Euler steps of 0.02 s,
an episode ends where the cart leaves 2.4, the pole leaves 12 degrees, or after 200 steps; each step is worth 1.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
EDGE, ANGLE, STEPS = 2.4, 12 * math.pi / 180, 200


def move(state, action):
    """Return the state (position, velocity, angle, angular velocity) after a push to the left (0) or right (1)."""
    _, speed, angle, turning = state
    force = jnp.where(action == 1, FORCE, -FORCE)
    sine, cosine, mass = jnp.sin(angle), jnp.cos(angle), CART + POLE
    push = (force + POLE * HALF_LENGTH * turning**2 * sine) / mass
    turned = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4 / 3 - POLE * cosine**2 / mass))
    pushed = push - POLE * HALF_LENGTH * turned * cosine / mass
    return state + SECONDS * jnp.stack([speed, pushed, turning, turned])


def has_fallen(state):
    return (jnp.abs(state[0]) > EDGE) | (jnp.abs(state[2]) > ANGLE)


def play(policy, key):
    """Play an episode: states ``(200, 4)``, actions ``(200,)``, and which steps were alive ``(200,)``.

    ``policy(state)`` returns the log-odds of a push to the right.
    """
    first, steps = jax.random.split(key)
    start = jax.random.uniform(first, (4,), minval=-0.05, maxval=0.05)

    def step(carry, key):
        state, alive = carry
        action = (jax.random.logistic(key) < policy(state)).astype(jnp.int32)
        moved = move(state, action)
        return (jnp.where(alive, moved, state), alive & ~has_fallen(moved)), (state, action, alive)

    _, (states, actions, alive) = jax.lax.scan(step, (start, jnp.asarray(True)), jax.random.split(steps, STEPS))
    return states, actions, alive


def mean_return(policy, keys):
    """Return the mean length of episodes, at most 200."""
    return jax.vmap(lambda key: play(policy, key)[2].sum())(keys).mean(dtype=jnp.float32)


def rewards_to_go(alive, discount):
    """Return what each step and all after it are worth, ``G_t = r_t + discount G_{t+1}``."""

    def back(later, now):
        value = now + discount * later
        return value, value

    return jax.lax.scan(back, jnp.zeros(()), alive.astype(jnp.float32), reverse=True)[1]


def policy_gradient_loss(log_odds, params, keys, discount=0.99):
    """Return a number whose gradient is minus REINFORCE's (Williams 1992), with the mean of the steps as baseline.

    ``-E sum_t log pi(a_t | s_t) A_t`` over one episode a key, where A is G standardized over all steps.
    """
    policy = partial(log_odds, jax.lax.stop_gradient(params))
    states, actions, alive = jax.lax.stop_gradient(jax.vmap(partial(play, policy))(keys))
    worth, alive = jax.vmap(lambda one: rewards_to_go(one, discount))(alive), alive.astype(jnp.float32)
    mean = jnp.average(worth, weights=alive)
    spread = jnp.sqrt(jnp.average(jnp.square(worth - mean), weights=alive))
    odds = log_odds(params, states)
    log_pi = -jax.nn.softplus(jnp.where(actions == 1, -odds, odds))
    return -(alive * log_pi * (worth - mean) / (spread + 1e-6)).sum() / len(keys)


def evolve(fitness, z, key, *, steps, pairs, sigma, rate):
    """Climb a function of d numbers without its gradient, by evolution strategies (Salimans et al. 2017).

    Each step tries ``z + sigma e`` and ``z - sigma e`` for normal directions e, and moves along the mean of the
    directions weighted by the difference of their ranks.

    Parameters
    ----------
    fitness
        ``fitness(z, key)``, noisy; higher is better.
    z
        The start, ``(d,)``.
    steps, pairs, sigma, rate
        How often, how many directions a step, how far to try, and how far to move.
    """

    def step(z, key):
        draw, tries = jax.random.split(key)
        e = jax.random.normal(draw, (pairs, len(z)))
        both = jnp.concatenate([z + sigma * e, z - sigma * e])
        found = jax.vmap(fitness)(both, jax.random.split(tries, 2 * pairs))
        rank = jnp.argsort(jnp.argsort(found)).astype(z.dtype) / (2 * pairs - 1) - 0.5
        return z + rate * ((rank[:pairs] - rank[pairs:])[:, None] * e).mean(0) / sigma, found.mean()

    return jax.lax.scan(step, z, jax.random.split(key, steps))
