"""Probes in subspaces, compared with scikit-learn on projected states, and on states whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from dni_jax.features import Labels
from dni_jax.lab.intrinsic_dimension import measure_probe_dimension
from dni_jax.lab.intrinsic_dimension._logistic import fit_logistic, whiten

T, N = 900, 12
RNG = np.random.default_rng(0)
HIDDEN = np.tanh(RNG.normal(size=(T, N)) @ RNG.normal(size=(N, N)) / 3).astype(np.float32)
VALUES = HIDDEN @ RNG.normal(size=(N, 4)) * np.asarray([0.5, 2, 9, 0.1])
BINARY = (VALUES + RNG.logistic(size=(T, 4)) > np.asarray([0, 2, 0, -2])).astype(np.int8)
FOLDS = (np.arange(T) // 15 % 4).astype(np.int32)


def labels_of(*columns):
    kinds = tuple("binary" if column.dtype == np.int8 else "continuous" for column in columns)
    return Labels(tuple(f"f{n}" for n in range(len(columns))), kinds, columns, np.ones(len(columns[0]), bool))


LABELS = labels_of(*BINARY.T, VALUES[:, 0].astype(np.float32))


def directions(seed, repeat):
    """Return the random orthogonal matrix of a repetition."""
    q, r = np.linalg.qr(np.random.default_rng((seed, repeat)).normal(size=(N, N)))
    return q * np.sign(np.diagonal(r))


@pytest.mark.slow
def test_scores_are_scikit_learns_on_projected_states():
    dims = (1, 5, 12)
    found = measure_probe_dimension(HIDDEN, LABELS, dims, repeats=2, folds=FOLDS, seed=3)
    assert found.attrs["unfinished"] == 0
    for repeat in range(2):
        p, train = directions(3, repeat), repeat != FOLDS
        for place, d in enumerate(dims):
            x = HIDDEN.astype(np.float64) @ p[:, :d]
            for feature in range(4):
                probe = LogisticRegression(tol=1e-9, max_iter=10_000).fit(x[train], BINARY[train, feature])
                auc = roc_auc_score(BINARY[~train, feature], probe.decision_function(x[~train]))
                assert float(found["score"][feature, place, repeat]) == pytest.approx(auc, abs=1e-3)
            r2 = r2_score(VALUES[~train, 0], Ridge(alpha=1.0).fit(x[train], VALUES[train, 0]).predict(x[~train]))
            assert float(found["score"][4, place, repeat]) == pytest.approx(r2, abs=1e-5)


@pytest.mark.slow
def test_balanced_accuracy_and_weights_are_scikit_learns():
    settings = {"metric": "balanced_accuracy", "class_weight": "balanced", "C": 0.1}
    found = measure_probe_dimension(HIDDEN, LABELS, (1, 5), repeats=1, folds=FOLDS, **settings)
    p, train = directions(0, 0), FOLDS != 0
    x = HIDDEN.astype(np.float64) @ p[:, :5]
    probe = LogisticRegression(C=0.1, class_weight="balanced", tol=1e-9).fit(x[train], BINARY[train, 1])
    score = balanced_accuracy_score(BINARY[~train, 1], probe.predict(x[~train]))
    assert float(found["score"][1, 1, 0]) == pytest.approx(score, abs=0.01)  # one position at the edge is .004


@pytest.mark.slow
def test_weights_are_scikit_learns():
    train = FOLDS != 0
    found = whiten(HIDDEN, train)
    dims = (1, 5, 12)
    z, b, short = fit_logistic(
        jnp.asarray(found.columns[train]), jnp.asarray(found.penalty), jnp.asarray(BINARY[train], jnp.float32),
        jnp.full((2, 4), 2.0), dims,
    )  # fmt: skip
    assert not short.any()
    for place, d in enumerate(dims):
        for feature in range(4):
            probe = LogisticRegression(C=2.0, tol=1e-9, max_iter=10_000)
            probe.fit(HIDDEN[train, :d].astype(np.float64), BINARY[train, feature])
            wanted = probe.decision_function(HIDDEN[:, :d].astype(np.float64))
            got = found.columns @ np.asarray(z[place, :, feature]) + float(b[place, feature])
            assert np.abs(got - wanted).max() < 0.03 * np.abs(wanted).max() + 0.01
        assert not np.asarray(z[place, d:]).any()


def test_whitened_columns_are_nested_and_uncorrelated():
    train = np.arange(T) < 700
    found = whiten(HIDDEN, train)
    np.testing.assert_allclose(np.cov(found.columns[train].T, bias=True), np.eye(N), atol=1e-4)
    for d in (1, 5):
        few = whiten(HIDDEN[:, :d], train)
        np.testing.assert_allclose(few.columns, found.columns[:, :d], atol=1e-4)
        np.testing.assert_allclose(few.penalty, found.penalty[:d, :d], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_feature_of_the_widest_direction_needs_fewer_dimensions_than_one_of_a_narrow():
    rng = np.random.default_rng(1)
    scale = np.asarray([30.0] + [1.0] * 19)
    hidden = rng.normal(size=(3_000, 20)) * scale
    noise = 0.01 * rng.normal(size=(3_000, 2))
    columns = (hidden[:, :2] / scale[:2] + noise > 0).astype(np.int8).T
    found = measure_probe_dimension(hidden, labels_of(*columns), groups=np.arange(3_000) // 10, seed=1)
    wide, narrow = found["dimension"].values
    assert wide <= 3
    assert narrow >= 12
    assert (found["below"] < found["dimension"]).all()
    np.testing.assert_allclose(found["threshold"], 0.5 + 0.9 * (found["full"] - 0.5))
    assert found["dim"].values.tolist() == [1, 2, 3, 4, 6, 8, 12, 16, 20]


@pytest.mark.slow
def test_features_that_cannot_be_decoded_have_no_dimension():
    rng = np.random.default_rng(0)
    noise, constant = rng.integers(0, 2, T).astype(np.int8), np.zeros(T, np.int8)
    found = measure_probe_dimension(HIDDEN, labels_of(noise, constant, BINARY[:, 2]), (1,), folds=FOLDS, repeats=1)
    assert np.isnan(found["dimension"]).all()  # the last one needs more than were tried
    assert np.isnan(found["below"][:2]).all()
    assert float(found["below"][2]) == 1
    assert np.isnan(found["full"][1])


@pytest.mark.slow
def test_masked_positions_are_skipped():
    mask = np.arange(T) % 3 > 0
    corrupted = HIDDEN.copy()
    corrupted[~mask] = np.nan
    one = Labels(("f",), ("binary",), (BINARY[:, 2],), mask)
    found = measure_probe_dimension(corrupted, one, (2, 12), folds=FOLDS, repeats=1)
    used = labels_of(BINARY[mask, 2])
    alone = measure_probe_dimension(HIDDEN[mask], used, (2, 12), folds=FOLDS[mask], repeats=1)
    np.testing.assert_array_equal(found["score"].values, alone["score"].values)


@pytest.mark.slow
def test_blocks_of_features_do_not_matter(monkeypatch):
    whole = measure_probe_dimension(HIDDEN, LABELS, (2, 7), folds=FOLDS, repeats=1)
    monkeypatch.setattr("dni_jax.lab.intrinsic_dimension._probe_dimension._DECISIONS_AT_ONCE", 2 * 675 * 3)
    parts = measure_probe_dimension(HIDDEN, LABELS, (2, 7), folds=FOLDS, repeats=1)
    np.testing.assert_allclose(whole["score"], parts["score"], atol=2e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dims": (0,)}, "from 1 to"),
        ({"dims": (13,)}, "neurons, 12"),
        ({"dims": ()}, "got"),
        ({"target": 1.5}, "target"),
        ({"repeats": 0}, "repeats"),
        ({"metric": "f1"}, "auc, balanced_accuracy"),
        ({"class_weight": "even"}, "balanced"),
        ({"C": 0.0}, "C above 0"),
        ({"alpha": -1.0}, "alpha"),
        ({"folds": np.zeros(T, np.int32)}, "2 folds"),
        ({"folds": 3}, "groups"),
    ],
)
def test_invalid_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        measure_probe_dimension(HIDDEN, LABELS, **{"folds": FOLDS, **settings})


def test_infinite_states():
    hidden = HIDDEN.copy()
    hidden[3, 2] = np.inf
    with pytest.raises(ValueError, match="finite states"):
        measure_probe_dimension(hidden, LABELS, folds=FOLDS)
