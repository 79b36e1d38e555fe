"""Overrides do what their names say, in recording, one after the other, and only where asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.interventions import Override, apply_overrides


def test_override_replaces_only_its_neurons():
    hidden = jnp.arange(8.0).reshape(2, 4)
    override = Override(jnp.asarray([True, False, True, False]), jnp.full(4, -1.0), jnp.ones(4))
    np.testing.assert_array_equal(override(hidden, None), [[-1, 1, -1, 3], [-1, 5, -1, 7]])
    signal = jnp.asarray([[0.0], [1.0]])
    np.testing.assert_array_equal(override(hidden, signal), [[-1, 1, -1, 3], [1, 5, 1, 7]])


def test_overrides_map_over_sets():
    masks = jnp.asarray(np.random.default_rng(0).random((30, 6)) < 0.4)
    overrides = Override(masks, jnp.zeros((30, 6)), jnp.zeros((30, 6)))
    hidden = jnp.ones((3, 6))
    together = jax.vmap(lambda override: override(hidden, None))(overrides)
    for row in range(30):
        alone = Override(masks[row], jnp.zeros(6), jnp.zeros(6))(hidden, None)
        np.testing.assert_array_equal(together[row], alone)


def test_overrides_of_some_neurons_only():
    """A layer sees its own neurons' part of an override, and of the states that drive it."""
    override = Override(jnp.asarray([True, False, True, True]), jnp.zeros(4), jnp.ones(4))
    states, signal = jnp.arange(8.0).reshape(2, 4), jnp.asarray([[0.5], [0.25]])
    hidden = jnp.full((2, 2), -1.0)
    upper = slice(2, 4)
    np.testing.assert_array_equal(apply_overrides([(override, states)], hidden, upper), states[:, 2:])
    np.testing.assert_array_equal(apply_overrides([(override, signal)], hidden, slice(0, 2)), [[0.5, -1], [0.25, -1]])
    assert override.of(upper).mask.tolist() == [True, True]


def test_ablate_zero_mean_resample(model, held_out, states):
    zero = dni.record(model, held_out, intervention=dni.ablate([1, 4]))
    assert (zero.hidden[:, [1, 4]] == 0).all()
    mean = dni.record(model, held_out, intervention=dni.ablate([1, 4], mode="mean", reference=states))
    np.testing.assert_allclose(
        mean.hidden[:, [1, 4]], np.broadcast_to(states.hidden[:, [1, 4]].mean(0), (len(states.hidden), 2)), atol=1e-6
    )
    drawn = dni.record(model, held_out, intervention=dni.ablate([1, 4], mode="resample", reference=states, seed=3))
    pairs = {tuple(row) for row in states.hidden[:, [1, 4]].tolist()}
    assert {tuple(row) for row in drawn.hidden[:, [1, 4]].tolist()} <= pairs
    assert not np.array_equal(drawn.hidden[:, 1], states.hidden[:, 1])


def test_patching_with_its_own_states_changes_nothing(model, held_out, states):
    patched = dni.record(model, held_out, intervention=dni.patch(range(model.n_neurons), states))
    np.testing.assert_allclose(patched.hidden, states.hidden, atol=1e-6)


def test_recurrent_flows_on_and_readout_does_not(model, held_out, states):
    others = [n for n in range(model.n_neurons) if n != 2]
    flowing = dni.record(model, held_out, intervention=dni.clamp([2], 1.0))
    shown = dni.record(model, held_out, intervention=dni.clamp([2], 1.0, where="readout"))
    assert not np.allclose(flowing.hidden[:, others], states.hidden[:, others])
    np.testing.assert_allclose(shown.hidden[:, others], states.hidden[:, others], atol=1e-6)
    assert (shown.hidden[:, 2] == 1).all()


def test_then_applies_in_order(model, held_out):
    both = dni.record(model, held_out, intervention=dni.clamp([2], 1.0).then(dni.ablate([2]).then(dni.clamp([3], 0.5))))
    assert (both.hidden[:, 2] == 0).all()
    assert (both.hidden[:, 3] == 0.5).all()


def test_labels_drive_between_low_and_high(model, held_out, labels):
    signal = labels["digit"].astype(float)
    driven = dni.record(model, held_out, intervention=dni.clamp_to_labels([5], signal, low=-0.5, high=0.25))
    np.testing.assert_allclose(driven.hidden[:, 5], np.where(signal == 1, 0.25, -0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dni.ablate([]), "at least one neuron"),
        (lambda: dni.ablate([1, 1]), "distinct neurons"),
        (lambda: dni.ablate([-1]), "counted from 0"),
        (lambda: dni.ablate([True]), "list of at least one neuron's number"),
        (lambda: dni.ablate([1], mode="half"), "'zero', 'mean' or 'resample'"),
        (lambda: dni.ablate([1], mode="mean"), "reference=states"),
        (lambda: dni.ablate([9], mode="mean", reference=np.zeros((4, 3))), "N > 9"),
        (lambda: dni.clamp([1, 2], [1.0, 2.0, 3.0]), "one value, or one for each of 2 neurons"),
        (lambda: dni.clamp([1], np.nan), "finite"),
        (lambda: dni.clamp([1], 1.0, where="somewhere"), "'recurrent' or 'readout'"),
        (lambda: dni.clamp_to_labels([1], [0.0, 2.0]), r"within \[0, 1\]"),
        (lambda: dni.patch([1], np.full((3, 3), np.inf)), "finite"),
    ],
)
def test_bad_requests_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_neurons_out_of_range_and_rows_that_do_not_fit(model, held_out):
    with pytest.raises(ValueError, match=r"neurons 0 to 23, got 24"):
        dni.record(model, held_out, intervention=dni.ablate([24]))
    with pytest.raises(ValueError, match="one row for each of"):
        dni.record(model, held_out, intervention=dni.clamp_to_labels([0], [1.0]))
