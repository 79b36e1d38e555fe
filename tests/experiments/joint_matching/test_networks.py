"""Populations of small networks: each member as it would be alone, steps as written by hand, answers that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import ncx2

from experiments.joint_matching import _networks as nets
from experiments.joint_matching import alice_states, alice_toy
from tests.support.slow import slow_after

ROWS = (
    (1e-2, 1e-2, 0.5, 1, 4, 1.0, 1.0, 0),
    (3e-2, 1e-2, 0.1, 2, 3, 0.0, 0.5, 1),
    (1e-2, 3e-2, 1.0, 1, 2, 1.0, 1.0, 2),
)
SETTINGS = nets.Setting(*(jnp.asarray(column) for column in zip(*ROWS, strict=True)))
MEASURED = jax.jit(alice_toy.measured)
STEPS = jax.random.split(jax.random.key(0), 4)


@pytest.fixture(scope="module")
def batch():
    return jax.jit(lambda key: alice_toy.draw(key, None))(STEPS[0])


@pytest.fixture(scope="module")
def start(batch):
    """First encoder, decoder and discriminators of member 1."""
    setting = jax.tree.map(lambda column: column[1], SETTINGS)
    return jax.jit(lambda setting: nets.started(setting, batch, (4, 4), nets.ali))(setting)


@pytest.mark.slow
def test_a_narrower_network_is_one_whose_other_units_stay_zero(start, batch):
    """They have no weights and no slopes, so no step ever gives them any."""
    found = jax.jit(nets.slopes, static_argnums=0)(nets.explicit, *start, batch, jnp.float32(0.5))
    width = int(SETTINGS.width[1])
    for side, slopes in zip(start, found, strict=True):
        for network, slope in zip(side[:1], slopes[:1], strict=True):
            for tree in (network, slope):
                (first, first_bias), (middle, middle_bias), (last, _) = tree
                unused = (first[:, width:], first_bias[width:], middle[width:], middle[:, width:], last[width:])
                assert not any(part.any() for part in (*unused, middle_bias[width:]))
                assert all(part.any() for part in (first[:, :width], middle[:width, :width], last[:width]))


def by_hand(batch, players, judges, weight):
    """ALICE's two losses with the explicit cycle term, in full."""

    def answer(network, *inputs):
        (w1, b1), (w2, b2) = network
        hidden = jnp.concatenate(inputs, 1) @ w1 + b1
        return jnp.where(hidden > 0, hidden, 0) @ w2 + b2  # slope 0 at 0, which first biases of 0 do meet

    z_of_x, x_of_z = answer(players[0], batch.x, batch.noise[0]), answer(players[1], batch.z, batch.noise[1])
    again = answer(players[1], z_of_x, batch.noise[1])
    q, p = (1 / (1 + jnp.exp(-answer(judges[0], *pair))) for pair in ((batch.x, z_of_x), (x_of_z, batch.z)))
    cycle = jnp.square(batch.x - again).sum(1).mean()
    return -(jnp.log(1 - q) + jnp.log(p)).mean() + weight * cycle, -(jnp.log(q) + jnp.log(1 - p)).mean()


def plain_draw(key, _):
    """A batch whose numbers are as exact as the mode that JAX is in."""
    x, z, *noise = jax.random.normal(key, (4, 6, 2))
    given = jnp.zeros((1, 2), x.dtype)
    return nets.Batch(x, z, jnp.stack(noise), given, given, jnp.zeros((2, 1, 2), x.dtype))


@pytest.mark.slow
def test_a_member_takes_adams_steps_on_the_losses_written_by_hand():
    """Member 1, whose discriminators move at every second step; in float64, since Adam blows up rounding."""
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda column: column.astype(float) if column.dtype == jnp.float32 else column, SETTINGS)
        found = nets.train_many(nets.explicit, exact, plain_draw, STEPS, batch=3, layers=(4,))
        setting = jax.tree.map(lambda column: column[1], exact)
        players, judges = nets.started(setting, plain_draw(STEPS[0], None), (4,), nets.explicit)
        adam_g, adam_d = (optax.adam(float(rate), b1=0.5) for rate in (setting.rate_g, setting.rate_d))
        state_g, state_d = adam_g.init(players), adam_d.init(judges)
        slope_g = jax.jit(jax.grad(lambda players, judges, batch: by_hand(batch, players, judges, setting.weight)[0]))
        slope_d = jax.jit(jax.grad(lambda judges, players, batch: by_hand(batch, players, judges, setting.weight)[1]))
        for at, key in enumerate(STEPS):
            batch = plain_draw(key, None)
            batch = batch._replace(noise=setting.noise * batch.noise)
            down_g, down_d = slope_g(players, judges, batch), slope_d(judges, players, batch)
            with jax.numpy_dtype_promotion("standard"):
                step_g, state_g = adam_g.update(down_g, state_g)
                if at % 2 == 0:
                    step_d, state_d = adam_d.update(down_d, state_d)
                    judges = optax.apply_updates(judges, step_d)
            players = optax.apply_updates(players, step_g)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(players), strict=True):
            np.testing.assert_allclose(one[1], other, atol=1e-6)  # Optax corrects in float32


@pytest.mark.parametrize("method", slow_after(3, list(alice_toy.METHODS.values())[::-1]))
def test_what_each_method_asks(method, start, batch):
    """Where no discriminator knows anything every game is worth log 4; the rest is a method's own term."""
    players, judges = start
    blank = jax.tree.map(jnp.zeros_like, judges)
    made = nets.walk(players, batch)
    games, error = method(blank, batch, made, jnp.float32(0.5))
    for _, real, fake in games:
        assert not real.any()
        assert not fake.any()
    cycle = np.square(batch.x - made.x_again).sum(1).mean()
    given = np.square(batch.x_given - made.x_of_given).sum(1).mean()
    given += np.square(batch.z_given - made.z_of_given).sum(1).mean()
    both = np.abs(batch.x - made.x_again).sum(1).mean() + np.abs(batch.z - made.z_again).sum(1).mean()
    expected = {nets.explicit: cycle, nets.pairs: given, nets.explicit_and_pairs: cycle + given, nets.cyclegan: both}
    assert float(error) == pytest.approx(0.5 * float(expected.get(method, 0.0)), rel=1e-5)
    assert len(games) == {nets.implicit: 2, nets.cyclegan: 2, nets.judged_pairs: 3}.get(method, 1)


def test_judged_pairs_play_given_pairs_against_made_ones(start, batch):
    players, judges = start
    made = nets.walk(players, batch)
    games, error = nets.judged_pairs(judges, batch, made, jnp.float32(0.5))
    assert error == 0
    np.testing.assert_allclose(games[1][1], nets.judge(judges.second, batch.x_given, batch.z_given), rtol=1e-6)
    np.testing.assert_allclose(games[1][2], nets.judge(judges.second, made.x_of_given, batch.z_given), rtol=1e-6)
    np.testing.assert_allclose(games[2][2], nets.judge(judges.second, batch.x_given, made.z_of_given), rtol=1e-6)


def scaled(factor):
    """A network that multiplies two coordinates, out of four inputs, by a factor: relu(x) - relu(-x) = x."""
    eye = jnp.eye(4, 2)
    back = jnp.concatenate([jnp.eye(2), -jnp.eye(2)])
    return ((jnp.concatenate([eye, -eye], 1), jnp.zeros(4)), (factor * back, jnp.zeros(2)))


@pytest.mark.parametrize(("there", "coupling"), [(-0.5, 1.0), (0.5, 0.2)])
def test_measures_of_a_lossless_pair(there, coupling):
    """x goes to z = x / 2 or -x / 2 and back; only one of them is what the pairs say. Samples are N(0, 4 I)."""
    players = nets.Players(scaled(there), scaled(1 / there))
    error, _, good, score, found = MEASURED(players, jnp.float32(0.0))
    assert float(error) < 1e-10
    assert float(found) == pytest.approx(coupling, abs=1e-6)
    apart = np.square(np.asarray(alice_toy.CENTERS)).sum(1) / 4
    expected = ncx2.cdf((3 * alice_toy.SPREAD) ** 2 / 4, 2, apart + 1e-12).sum()
    assert float(good) == pytest.approx(expected, abs=5 * np.sqrt(expected / alice_toy.SAMPLES))
    assert 4 < float(score) <= 5


def test_measures_of_a_decoder_that_knows_one_mode_only():
    (first, (second, _)) = scaled(0.0)
    players = nets.Players(scaled(0.5), (first, (second, alice_toy.CENTERS[1])))
    error, modes, good, score, _ = MEASURED(players, jnp.float32(1.0))
    apart = np.square(np.asarray(alice_toy.CENTERS - alice_toy.CENTERS[1])).sum(1).mean()
    assert float(error) == pytest.approx(apart + 2 * alice_toy.SPREAD**2, rel=0.02)
    assert (float(modes), float(good)) == (1, 1)
    assert float(score) == pytest.approx(1, abs=1e-5)


def test_the_score_counts_modes():
    rng = np.random.default_rng(0)
    inception, centers = jax.jit(alice_toy.inception), np.asarray(alice_toy.CENTERS)
    for modes in (1, 2, 5):
        samples = centers[np.arange(500) % modes] + 0.1 * rng.normal(size=(500, 2)).astype(np.float32)
        assert float(inception(samples)) == pytest.approx(modes, rel=1e-4)


def test_the_grid():
    settings = alice_toy.all_settings()
    rows = np.stack([np.asarray(column, np.float64) for column in settings], 1)
    assert len(rows) == 576
    assert len(np.unique(rows[:, :-1], axis=0)) == 576 / alice_toy.SEEDS
    assert len(np.unique(rows[:, -1])) == 576


def test_verdicts_and_choices():
    error, score = np.asarray([0.1, 0.1, 5.0, np.inf]), np.asarray([4.9, 4.0, 4.9, 1.0])
    found = {"error": error, "score": score, "modes": np.asarray([5, 5, 5, 0]), "good": np.asarray([0.9, 0.5, 0.8, 0])}
    reconstructs, generates, both = alice_toy.verdicts(found)
    assert reconstructs.tolist() == [True, True, False, False]
    assert generates.tolist() == [True, False, True, False]
    assert both.tolist() == [True, False, False, False]
    assert alice_toy.two_of(found)[1] == 0
    assert alice_toy.quartiles(np.asarray([1.0, 2.0, 3.0, 4.0, np.inf]), 1) == "3.0 (2.0-4.0)"


def test_renaming_of_levels():
    truth = np.arange(100) % 5
    assert alice_states.renamed(truth, (truth + 2) % 5) == 1
    assert alice_states.renamed(truth, np.zeros(100, int)) == pytest.approx(0.2)


@pytest.mark.parametrize("n", alice_states.PAIRS)
def test_given_pairs_are_spread_over_levels(n):
    levels = np.arange(200) % 5
    places = alice_states.given_pairs(levels, n, np.random.default_rng(0))
    assert len(places) == max(alice_states.PAIRS)
    assert len(np.unique(places)) == n
    assert np.bincount(levels[places], minlength=5).max() == max(len(places) // 5, 1) * (5 if n == 1 else 1)
