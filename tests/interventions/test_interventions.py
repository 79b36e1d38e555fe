"""Overrides do what their names say, in recording, one after the other, and only where asked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.interventions import Drive, Override, apply_overrides
from dni_jax.interventions._references import draw_partners, fit_line


def test_override_replaces_only_its_neurons():
    hidden = jnp.arange(8.0).reshape(2, 4)
    override = Override(jnp.asarray([True, False, True, False]), jnp.full(4, -1.0), jnp.ones(4))
    np.testing.assert_array_equal(override(hidden), [[-1, 1, -1, 3], [-1, 5, -1, 7]])
    signal = jnp.asarray([[0.0], [1.0]])
    np.testing.assert_array_equal(override(hidden, Drive(signal)), [[-1, 1, -1, 3], [1, 5, 1, 7]])


def test_overrides_map_over_sets():
    masks = jnp.asarray(np.random.default_rng(0).random((30, 6)) < 0.4)
    overrides = Override(masks, jnp.zeros((30, 6)), jnp.zeros((30, 6)))
    hidden = jnp.ones((3, 6))
    together = jax.vmap(lambda override: override(hidden))(overrides)
    for row in range(30):
        alone = Override(masks[row], jnp.zeros(6), jnp.zeros(6))(hidden)
        np.testing.assert_array_equal(together[row], alone)


def test_overrides_of_some_neurons_only():
    """A layer sees its own neurons' part of an override, and of the states that drive it."""
    override = Override(jnp.asarray([True, False, True, True]), jnp.zeros(4), jnp.ones(4))
    states, signal = jnp.arange(8.0).reshape(2, 4), jnp.asarray([[0.5], [0.25]])
    hidden = jnp.full((2, 2), -1.0)
    upper = slice(2, 4)
    np.testing.assert_array_equal(apply_overrides([(override, Drive(states))], hidden, upper), states[:, 2:])
    np.testing.assert_array_equal(
        apply_overrides([(override, Drive(signal))], hidden, slice(0, 2)), [[0.5, -1], [0.25, -1]]
    )
    assert override.select(upper).mask.tolist() == [True, True]


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
        (lambda: dni.patch([1], np.zeros((2, 4, 3))), "got a population of 2"),
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


def test_gates_and_memory_are_overridden_on_their_way(model, held_out, states):
    """What an override of a part means follows from the cell's own equations."""
    closed = dni.record(model, held_out, what=("cell", "gates"), intervention=dni.clamp([2, 5], 0.0, part="o"))
    assert (closed.gates[:, 3, [2, 5]] == 0).all()
    assert (closed.hidden[:, [2, 5]] == 0).all()
    held = dni.record(model, held_out, what=("cell", "gates"), intervention=dni.clamp([7], 0.3, part="c"))
    assert (held.cell[:, 7] == np.float32(0.3)).all()
    np.testing.assert_allclose(held.hidden[:, 7], held.gates[:, 3, 7] * np.tanh(0.3), atol=1e-6)
    forgetful = dni.record(model, held_out, what=("cell", "gates"), intervention=dni.ablate([7], part="f"))
    np.testing.assert_allclose(forgetful.cell[:, 7], forgetful.gates[:, 0, 7] * forgetful.gates[:, 2, 7], atol=1e-6)
    same = dni.record(model, held_out, intervention=dni.patch(range(24), states, part="c"))
    np.testing.assert_allclose(same.hidden, states.hidden, atol=1e-5)


def test_only_where_a_feature_holds(model, held_out, states, labels):
    digit = labels["digit"] == 1
    some = dni.record(model, held_out, intervention=dni.clamp([5], 0.9, when=digit))
    assert (some.hidden[digit, 5] == np.float32(0.9)).all()
    first = held_out.offsets[:-1]
    untouched = first[~digit[first]]  # nothing was overridden before a string's first character
    np.testing.assert_allclose(some.hidden[untouched], states.hidden[untouched], atol=1e-6)
    everywhere = dni.record(model, held_out, intervention=dni.patch([5], states, when=np.ones(len(digit), bool)))
    np.testing.assert_allclose(everywhere.hidden, states.hidden, atol=1e-6)


def test_generated_text_is_overridden_at_chosen_steps(model):
    when = np.zeros(20, bool)
    when[7:] = True
    plain, late = (
        dni.generate(model, n=4, length=20, seed=1, intervention=intervention)
        for intervention in (None, dni.clamp(range(24), 1.0, when=when))
    )
    assert [text[:7] for text in plain] == [text[:7] for text in late]
    assert plain != late


def test_values_come_from_other_strings_that_match(model, held_out, states, labels):
    place = np.arange(held_out.n_positions) - held_out.offsets[held_out.string_ids]
    intervention = dni.ablate([3, 9], "resample", reference=states, match=place, seed=5)
    drawn = dni.record(model, held_out, intervention=intervention).hidden[:, [3, 9]]
    own = states.hidden[:, [3, 9]]
    for position in range(0, held_out.n_positions, 37):
        others = (place == place[position]) & (held_out.string_ids != held_out.string_ids[position])
        if others.any():
            assert (own[others] == drawn[position]).all(axis=1).any()
        else:
            np.testing.assert_array_equal(drawn[position], own[position])
    alone = sum((place == p).sum() == 1 for p in place)
    assert f"({alone} of {held_out.n_positions} have no partner" in repr(intervention)


def test_partners_are_drawn_evenly():
    match, groups = np.asarray([0, 0, 0, 0, 1]), np.asarray([0, 0, 1, 2, 2])
    counts = np.zeros((5, 5))
    for seed in range(3_000):
        drawn, alone = draw_partners(match, groups, 5, seed)
        counts[np.arange(5), drawn] += 1
        assert alone == 1
    expected = np.asarray([[0, 0, 1 / 2, 1 / 2, 0], [0, 0, 1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 0, 1 / 3, 0],
                           [1 / 3, 1 / 3, 1 / 3, 0, 0], [0, 0, 0, 0, 1]])  # fmt: skip
    np.testing.assert_allclose(counts / 3_000, expected, atol=0.035)


def test_a_drive_along_the_neurons_own_line(model, held_out, states, labels):
    signal = (labels["digit"] == 1).astype(float)
    driven = dni.record(model, held_out, intervention=dni.clamp_to_labels([4, 8], signal, reference=states)).hidden
    for neuron in (4, 8):
        for value in (0, 1):
            mean = states.hidden[signal == value, neuron].mean()
            np.testing.assert_allclose(driven[signal == value, neuron], mean, atol=1e-5)
    depth = labels["depth"] / labels["depth"].max()
    low, high = fit_line(states.hidden[:, [4]], depth.astype(np.float32))
    slope, intercept = np.polyfit(depth, states.hidden[:, 4], 1)
    np.testing.assert_allclose([low[0], high[0]], [intercept, intercept + slope], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda states: dni.clamp([1], 1.0, part="x"), "i, f, g, o, c, h, got 'x'"),
        (lambda states: dni.clamp([1], 1.0, part="c", where="readout"), "only h is read out"),
        (lambda states: dni.clamp([1], 1.0, when=[2.0, 1.0]), "true or false"),
        (lambda states: dni.clamp([1], 1.0, when=[True]), "one row for each"),
        (lambda states: dni.ablate([1], "resample", reference=states, match=[1, 2]), "match and groups of shape"),
        (lambda states: dni.ablate([1], "resample", reference=states.hidden, match=states.groups), r"groups=\(T,\)"),
        (lambda states: dni.patch([1], dataclasses.replace(states, cell=None), part="c"), r"what=\('cell',\)"),
        (lambda states: dni.clamp_to_labels([1], np.ones(5), reference=states), "5 positions"),
        (lambda states: dni.ablate([1], "mean", reference=states.hidden[:, :9]), "24 neurons in .* got states of 9"),
        (lambda states: dni.ablate([1], "resample", reference=states.hidden[:, :9]), "24 neurons in .* states of 9"),
        (lambda states: dni.clamp_to_labels([1], np.ones(len(states.hidden)), reference=states), "that varies"),
    ],
)
def test_bad_references_parts_and_times_are_named(model, held_out, states, make, message):
    with pytest.raises(ValueError, match=message):
        dni.record(model, held_out, intervention=make(states))


def test_sets_restrict_an_intervention(states):
    """Each set overrides those of the intervention's neurons that are in it, as one made for them alone would."""
    sets = np.zeros((3, 24), bool)
    sets[1, [2, 9]] = sets[2, 5] = True
    whole = dni.ablate([2, 5, 7], "mean", reference=states).then(dni.patch([2, 9], states))
    (first, second), (_, follows) = whole.bind(24, len(states.hidden), sets=sets)
    np.testing.assert_array_equal(np.flatnonzero(first.mask[1]), [2])
    np.testing.assert_array_equal(np.flatnonzero(second.mask[1]), [2, 9])
    assert not first.mask[0].any()
    assert first.low.shape == (3, 24)
    alone = whole.select([2, 9], 100)
    (mean, patched), (_, part) = alone.bind(24, 100)
    np.testing.assert_array_equal(np.flatnonzero(mean.mask), [2])
    np.testing.assert_allclose(mean.low[2], first.low[1, 2], rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(patched.mask), [2, 9])
    np.testing.assert_array_equal(part.value, follows.value[:100])
    assert whole.select([0, 1]) is None
