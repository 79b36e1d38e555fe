"""Permutation tests: exact on enumerable problems, uniform under the null, right corrections, errors that help."""

import itertools

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu

from dni_jax.probes import benjamini_hochberg, permutation_test
from dni_jax.probes._nulls import length_classes
from dni_jax.probes.reference import score_neurons as slow


def smoothed(rng, n_strings, length, n, memory=0.9):
    """AR(1) series, each string on its own, stationary from its first character."""
    noise = rng.normal(size=(n_strings, length, n)) * np.sqrt(1 - memory**2)
    noise[:, 0] = rng.normal(size=(n_strings, n))
    for t in range(1, length):
        noise[:, t] += memory * noise[:, t - 1]
    return noise.reshape(-1, n)


def test_all_arrangements_give_the_exact_p():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(8, 2))
    hidden[:, 1] = np.round(hidden[:, 1])
    labels = np.asarray([1, 1, 1, 0, 0, 0, 0, 0])[:, None]
    every = np.zeros((56, 8, 1), int)
    for row, ones in enumerate(itertools.combinations(range(8), 3)):
        every[row, list(ones)] = 1
    others = every[(every != labels).any(axis=(1, 2))]
    found = permutation_test(hidden, labels, null="labels", null_labels=others)
    p = mannwhitneyu(hidden[:3, 0], hidden[3:, 0], method="exact").pvalue
    assert found["p"][0, 0] == pytest.approx(p)
    # By hand: AUCs of all 56 arrangements lie symmetrically about their mean .5.
    auc = [[np.mean([(h[i] > h[j]) + (h[i] == h[j]) / 2 for i in np.flatnonzero(y) for j in np.flatnonzero(1 - y)])
            for h in hidden.T] for y in every[:, :, 0]]  # fmt: skip
    off = np.abs(np.asarray(auc) - 0.5) / np.std(auc, axis=0)
    mine = off[(every == labels).all(axis=(1, 2))][0]
    np.testing.assert_allclose(found["p"][:, 0], (off >= mine - 1e-9).mean(0))
    np.testing.assert_allclose(found["p_family"][:, 0], (off.max(1)[:, None] >= mine - 1e-9).mean(0))
    np.testing.assert_array_equal(found["p_family"], found["p_global"])


def test_shift_and_exchange_give_only_what_they_may():
    from dni_jax.probes import _nulls as nulls

    labels = np.arange(12)[:, None]
    groups = np.asarray([0, 0, 0, 1, 1, -1, 1, 2, 2, 2, 3, 3])
    shifted = nulls.shift(labels, groups, seed=0)
    seen = set()
    for r in range(200):
        drawn = shifted.columns(range(r, r + 1))[0, :, 0].tolist()
        seen.add(tuple(drawn[:3]))
        assert sorted(drawn[3:6]) == [3, 4, 6]
    assert seen == {(0, 1, 2), (1, 2, 0), (2, 0, 1)}
    exchanged = nulls.strings(labels, groups, seed=0)
    seen = {tuple(exchanged.columns(range(r, r + 1))[0, :, 0].tolist()) for r in range(300)}
    whole = [(0, 1, 2), (3, 4, 6), (7, 8, 9)]
    assert seen == {sum(order, ()) for order in itertools.permutations(whole)}  # the string of length 2 has no partner
    assert exchanged.attrs["positions_left_out"] == 2
    assert exchanged.used.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    fresh = nulls.strings(labels, groups, 0, 100 + np.arange(7)[:, None], np.asarray([0, 0, 1, 1, 1, 2, 2]))
    assert fresh.attrs["positions_left_out"] == 0
    rows = fresh.columns(range(300))[:, :, 0]
    assert {tuple(row) for row in rows[:, :2].tolist()} == {(10, 11), (100, 101), (105, 106)}
    drawn = {tuple(row) for first in (2, 5, 8) for row in rows[:, first : first + 3].tolist()}
    assert drawn == {*whole, (102, 103, 104)}


def test_fresh_strings_of_the_wrong_length_are_cut_only_where_allowed():
    low, high, filled = length_classes(np.asarray([10, 40]), np.asarray([10] * 25 + [40] + [42] * 30), 0.1)
    assert list(zip(low, high, filled, strict=True)) == [(10, 10, 25), (40, 42, 31)]
    low, _, _ = length_classes(np.asarray([10, 40]), np.asarray([10] * 25 + [40] + [42] * 30), 0.0)
    assert low.tolist() == [10]
    hidden, groups = np.random.default_rng(0).normal(size=(84, 1)), np.repeat([0, 1], [42, 42])
    labels = (np.arange(84) % 3 == 0).astype(int)[:, None]
    fresh = (np.random.default_rng(1).random((40 * 30, 1)) < 0.3).astype(int)
    test = permutation_test(hidden, labels, groups, "fresh", fresh_labels=fresh, fresh_groups=np.repeat(range(30), 40))
    assert test.attrs["positions"] == 84  # the two recorded strings can still change places
    assert test.attrs["other_strings_in_pool"] == 0


@pytest.mark.parametrize("null", ["shift", "string_permutation", "fresh"])
def test_p_is_uniform_on_independent_series(null):
    rng = np.random.default_rng(5)
    hidden, groups = smoothed(rng, 20, 60, 20), np.repeat(np.arange(20), 60)
    labels, fresh = smoothed(rng, 20, 60, 30) > 1, smoothed(rng, 60, 60, 30) > 1
    more = {"fresh_labels": fresh, "fresh_groups": np.repeat(np.arange(60), 60)} if null == "fresh" else {}
    found = permutation_test(hidden, labels, groups, null, n_null=99, **more)
    # 600 pairs that depend on each other by neuron and by feature: wide, but far from the i.i.d. null's .5.
    for level in (0.05, 0.2, 0.5):
        assert abs((found["p"] <= level).mean() - level) < 0.4 * level
    assert (found["p_family"].min(0) <= 0.05).mean() < 0.15
    assert (found["p_family"] >= found["p"]).all()
    assert (found["p_global"] >= found["p_family"]).all()
    wrong = permutation_test(hidden, labels, groups, "iid", n_null=99)
    assert (wrong["p"] <= 0.05).mean() > 0.3


def test_family_and_global_error_are_kept_and_power_is_there():
    false = {"family": 0, "global": 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        hidden, labels = smoothed(rng, 12, 30, 6), smoothed(rng, 12, 30, 3) > 0.5
        groups = np.repeat(np.arange(12), 30)
        hidden[:, 0] += 6 * labels[:, 0]
        found = permutation_test(hidden, labels, groups, n_null=39, seed=seed)
        assert found["p_family"][0, 0] == 1 / 40
        false["family"] += (found["p_family"][1:, 1] <= 0.05).any()
        false["global"] += (found["p_global"][1:] <= 0.05).any()
    assert false["family"] <= 6  # P(X > 6) < .001 for 30 draws at 5 %
    assert false["global"] <= 6


def test_batches_chunks_and_single_calls_agree(monkeypatch):
    from dni_jax.probes import _permutation as permutation

    rng = np.random.default_rng(0)
    hidden, groups = np.round(smoothed(rng, 10, 20, 4), 1), np.repeat(np.arange(10), 20)
    labels = smoothed(rng, 10, 20, 5) > 0
    labels[:, 3] = True
    together = permutation_test(hidden, labels, groups, n_null=50)
    in_sevens = permutation_test(hidden, labels, groups, n_null=50, batch=7)
    monkeypatch.setattr(permutation, "_SCORE_BYTES", 1)
    chunked = permutation_test(hidden, labels, groups, n_null=50)
    for name in together:
        np.testing.assert_array_equal(together[name], in_sevens[name])
        np.testing.assert_array_equal(together[name], chunked[name])
    one = permutation_test(hidden, labels[:, [2]], groups, n_null=50)
    for name in ("p", "p_family", "score"):
        np.testing.assert_array_equal(together[name][:, [2]], one[name])
        assert np.isnan(together[name][:, 3]).all()


def test_held_out_scores_are_the_probes_own():
    rng = np.random.default_rng(0)
    hidden, folds = rng.normal(size=(120, 2)), np.arange(120) // 10 % 4
    labels = (hidden[:, :1] + rng.normal(size=(120, 1)) > 0).astype(int)
    null_labels = np.stack([rng.permutation(labels) for _ in range(9)])
    found = permutation_test(
        hidden, labels, null="labels", metric="accuracy", null_labels=null_labels, folds=folds, probe="ridge"
    )
    rows = [slow(hidden, y, folds, probe="ridge", metrics=("accuracy",))["accuracy"].mean(-1)[:, 0]
            for y in (labels, *null_labels)]  # fmt: skip
    rows = np.asarray(rows)
    np.testing.assert_allclose(found["score"][:, 0], rows[0])
    np.testing.assert_allclose(found["p"][:, 0], (rows >= rows[0] - 1e-9).mean(0))


def test_mixed_kinds_share_repetitions():
    rng = np.random.default_rng(0)
    hidden, groups = smoothed(rng, 10, 30, 3), np.repeat(np.arange(10), 30)
    labels = np.stack([hidden[:, 0] > 0, hidden[:, 1] + rng.normal(size=300)], axis=1)
    found = permutation_test(hidden, labels, groups, metric=["auc", "pearson"], n_null=39)
    assert found["score"][0, 0] == 1
    assert found["score"][1, 1] == pytest.approx(np.corrcoef(hidden[:, 1], labels[:, 1])[0, 1])
    assert found["p_global"][0, 0] == found["p_global"][1, 1] == 1 / 40


def test_early_stopping_loses_only_what_is_not_significant():
    rng = np.random.default_rng(2)
    hidden, groups = smoothed(rng, 20, 30, 5), np.repeat(np.arange(20), 30)
    labels = smoothed(rng, 20, 30, 8) > 0
    hidden[:, 0] += 2 * labels[:, 0]
    whole = permutation_test(hidden, labels, groups, n_null=159)
    early = permutation_test(hidden, labels, groups, n_null=159, stop_above=0.3)
    kept = early["repetitions"] == 159
    assert kept[0]
    assert not kept.all()
    for name in ("p", "p_family"):
        np.testing.assert_array_equal(whole[name][:, kept], early[name][:, kept])
        assert (early[name][:, ~kept] > 0.3).all()
    np.testing.assert_allclose(early["p_global"], np.minimum(8 * early["p_family"], 1))


def test_benjamini_hochberg_is_scipys():
    p = np.random.default_rng(0).random((6, 5)) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p.ravel()).reshape(p.shape))
    assert np.isnan(benjamini_hochberg(np.asarray([np.nan, 0.2]))).tolist() == [True, False]


def test_constants_have_no_finding():
    rng = np.random.default_rng(0)
    hidden, groups = rng.normal(size=(100, 2)), np.repeat(np.arange(5), 20)
    hidden[:, 1] = 0.7
    found = permutation_test(hidden, rng.random((100, 1)) < 0.5, groups, n_null=19)
    assert found["p"][1, 0] == 1
    assert np.isnan(permutation_test(hidden, np.ones((100, 1), int), groups, n_null=19)["q"]).all()


def test_bad_input_is_named():
    hidden, groups = np.random.default_rng(0).normal(size=(20, 2)), np.repeat(np.arange(4), 5)
    labels = (np.arange(20) % 2)[:, None]
    for match, arguments in (
        ("null to be one of", {"null": "bootstrap"}),
        ("expected groups", {"groups": None}),
        ("integer groups", {"groups": groups.astype(float)}),
        (r"fresh_labels \(P, F\)", {"null": "fresh"}),
        (r"null_labels \(R, T, F\)", {"null": "labels"}),
        ("null_labels of shape", {"null": "labels", "null_labels": labels[None, :10]}),
        ("pass folds", {"metric": "accuracy"}),
        ("one metric", {"metric": ["auc", "auc"]}),
        ("n_null of at least 1", {"n_null": 0}),
        ("stop_above", {"stop_above": 2.0}),
        ("single positions", {"groups": np.arange(20)}),
        ("equal length", {"null": "string_permutation", "groups": np.repeat(range(2), [9, 11])}),
        ("length_tolerance", {"null": "string_permutation", "length_tolerance": -1.0}),
        ("batch", {"batch": 0}),
    ):
        with pytest.raises(ValueError, match=match):
            permutation_test(hidden, labels, **({"groups": groups} | arguments))
    with pytest.raises(ValueError, match="0 and 1"):
        permutation_test(hidden, labels * 2, groups)
    with pytest.raises(ValueError, match=r"labels\[:, None\]"):
        permutation_test(hidden, labels[:, 0], groups)
