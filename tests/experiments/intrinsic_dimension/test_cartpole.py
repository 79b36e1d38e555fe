"""The cart and its pole against two linear equations; the policy gradient and the search against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.intrinsic_dimension import _cartpole as game


@pytest.mark.parametrize("action", [0, 1])
def test_a_step_solves_the_equations_of_motion(action):
    """Newton's and Euler's equations of cart and pole are linear in both accelerations; NumPy solves them."""
    state = np.asarray([0.3, -0.7, 0.15, 0.9])
    (_, speed, angle, turning), force = state, 10.0 * (2 * action - 1)
    lever = game.POLE * game.HALF_LENGTH
    matrix = [[game.CART + game.POLE, lever * np.cos(angle)], [lever * np.cos(angle), 4 / 3 * lever * game.HALF_LENGTH]]
    right = [force + lever * turning**2 * np.sin(angle), lever * game.GRAVITY * np.sin(angle)]
    pushed, turned = np.linalg.solve(matrix, right)
    found = game.move(jnp.asarray(state, jnp.float32), action)
    np.testing.assert_allclose(found, state + 0.02 * np.asarray([speed, pushed, turning, turned]), atol=1e-6)


def test_rewards_to_go():
    alive = jnp.asarray([True, True, False])
    np.testing.assert_allclose(game.rewards_to_go(alive, 0.5), [1.5, 1.0, 0.0])


def test_an_episode_ends_where_the_pole_falls():
    states, actions, alive = jax.jit(lambda key: game.play(lambda state: jnp.full((), 50.0), key))(jax.random.key(0))
    length = int(alive.sum())
    assert 5 < length < 15  # always to the right: Gym's episodes end after 8 to 10 steps
    assert alive[:length].all()
    assert actions[:length].all()
    assert not game.has_fallen(states[length - 1])
    assert game.has_fallen(game.move(states[length - 1], 1))


def test_the_policy_gradient_of_a_constant_policy():
    """With one weight, the log-odds themselves, d log pi / d w is a - p: the gradient is a sum over steps by hand."""
    keys, w = jax.random.split(jax.random.key(1), 3), jnp.asarray(0.4)

    def log_odds(w, states):
        return jnp.broadcast_to(w, states.shape[:-1])

    ours = jax.jit(jax.grad(lambda w: game.policy_gradient_loss(log_odds, w, keys, 0.9)))(w)
    worths, scores = [], []
    play = jax.jit(lambda key: game.play(lambda state: w, key))
    for key in keys:
        _, actions, alive = map(np.asarray, play(key))
        length = int(alive.sum())
        worths += [sum(0.9 ** (s - t) for s in range(t, length)) for t in range(length)]
        scores += list(actions[:length] - 1 / (1 + np.exp(-0.4)))
    worths = np.asarray(worths)
    expected = -np.sum((worths - worths.mean()) / worths.std() * scores) / 3
    assert float(ours) == pytest.approx(expected, rel=1e-4)


def test_evolution_climbs_to_the_top_of_a_parabola():
    top = jnp.asarray([1.0, -2.0, 0.5])
    climb = jax.jit(
        lambda key: game.evolve(
            lambda z, key: -jnp.square(z - top).sum(), jnp.zeros(3), key, steps=150, pairs=16, sigma=0.1, rate=0.02
        )
    )
    found, fitness = climb(jax.random.key(0))
    np.testing.assert_allclose(found, top, atol=0.1)
    assert fitness[-1] > fitness[0]
