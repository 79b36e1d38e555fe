"""States as arrays of any shape and framework: the same rows at the same characters, or an error that says where."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import dni_jax as dni

STRINGS = ["0(1)", "00(1)", "(11)", "1"]


@pytest.fixture(scope="module")
def four():
    return dni.Corpus.from_strings(STRINGS, groups=[0, 0, 1, 2])


@pytest.fixture(scope="module")
def flat(four):
    return np.random.default_rng(0).normal(size=(four.n_positions, 3)).astype(np.float32)


def one_a_string(flat, corpus):
    return np.split(flat, corpus.offsets[1:-1])


def padded(flat, corpus, filling):
    rows = np.full((*corpus.mask.shape, flat.shape[1]), filling, flat.dtype)
    rows[corpus.mask] = flat
    return rows


class Tensor:
    """What makes a PyTorch tensor one that NumPy cannot read as it is."""

    def __init__(self, values, step=0):
        self.values, self.step, self.ndim, self.dtype = values, step, values.ndim, values.dtype

    def detach(self):
        return Tensor(self.values, 1)

    def cpu(self):
        return Tensor(self.values, self.step + 1)

    def __array__(self, dtype=None, copy=None):
        assert self.step == 2, "on the device, or with gradients"
        return self.values


def test_every_layout_gives_the_same_rows(four, flat):
    layouts = {
        "flat": flat,
        "jax": jnp.asarray(flat),
        "padded": padded(flat, four, np.nan),
        "list": one_a_string(flat, four),
        "tuple": tuple(one_a_string(flat, four)),
        "jax list": [jnp.asarray(rows) for rows in one_a_string(flat, four)],
        "tensor": Tensor(flat),
        "padded tensor": Tensor(padded(flat, four, 7)),
        "tensors": [Tensor(rows) for rows in one_a_string(flat, four)],
    }
    for name, layout in layouts.items():
        states = dni.from_arrays(layout, four)
        assert isinstance(states, dni.models.Activations)
        np.testing.assert_array_equal(states.hidden, flat, err_msg=name)
        np.testing.assert_array_equal(states.groups, [0] * 9 + [1] * 4 + [2])
        assert states.mask is None


def test_half_precision_is_widened_and_double_kept(four, flat):
    for kind, expected in ((np.float16, np.float32), (ml_dtypes.bfloat16, np.float32), (np.float64, np.float64)):
        narrow = flat.astype(kind)
        for layout in (narrow, one_a_string(narrow, four), jnp.asarray(narrow) if kind != np.float64 else narrow):
            hidden = dni.from_arrays(layout, four).hidden
            assert hidden.dtype == expected
            np.testing.assert_array_equal(hidden, narrow.astype(expected))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda flat, corpus: flat[:-1], r"T = 14.*got shape \(13, 3\)"),
        (lambda flat, corpus: flat[:, 0], r"got shape \(14,\)"),
        (lambda flat, corpus: flat[:, :0], "at least one neuron"),
        (lambda flat, corpus: flat.astype(int), "floating type, got int64"),
        (lambda flat, corpus: flat.astype(complex), "floating type, got complex"),
        (lambda flat, corpus: "hidden", "floating type"),
        (
            lambda flat, corpus: np.zeros((4, 6, 3)),
            r"L = 5.*got shape \(4, 6, 3\): cut .*states\[:, :5\].*states\[:, 1:6\]",
        ),
        (lambda flat, corpus: np.zeros((4, 4, 3)), "L = 5.*string 1 has 5 characters"),
        (lambda flat, corpus: np.zeros((3, 5, 3)), "S = 4 strings.*got shape"),
        (lambda flat, corpus: one_a_string(flat, corpus)[:3], "one array of states per string, 4 in all, got 3"),
        (lambda flat, corpus: [*one_a_string(flat, corpus)[:3], flat[:2]], r"string 3 of shape \(1, N\), got \(2, 3\)"),
        (lambda flat, corpus: [rows[None] for rows in one_a_string(flat, corpus)], r"string 0.*states\[0\]"),
        (lambda flat, corpus: [*one_a_string(flat, corpus)[:3], flat[:1, :2]], "string 3 to have 3 neurons.*got 2"),
        (lambda flat, corpus: [*one_a_string(flat, corpus)[:3], flat[:1].astype(float)], "string 3.*float64"),
        (lambda flat, corpus: [[[1.0], [2.0, 3.0]]] * 4, "states of string 0 as an array, got list"),
    ],
)
def test_what_does_not_fit_is_named(four, flat, spoil, message):
    with pytest.raises(ValueError, match=message):
        dni.from_arrays(spoil(flat, four), four)


def test_nan_and_infinity_are_found_where_they_are(four, flat, monkeypatch):
    monkeypatch.setattr("dni_jax.models._arrays._BLOCK", 4)
    for value in (np.nan, np.inf):
        broken = flat.copy()
        broken[10, 2] = value
        with pytest.raises(ValueError, match=f"got {value} for neuron 2 at character 1 of string 2"):
            dni.from_arrays(broken, four)


def test_a_planted_neuron_is_found(held_out, labels):
    hidden = np.random.default_rng(1).normal(size=(held_out.n_positions, 4)).astype(np.float32)
    hidden[:, 2] = labels["digit"]
    states = dni.from_arrays(one_a_string(hidden, held_out), held_out)
    best = dni.top(dni.inspect(states, labels.select(["digit"]), "ols", folds=4), "digit", k=2)
    assert best["neuron"][0] == 2
    assert best["score"][0] == 1.0


def test_positions_without_a_state_take_no_part(held_out, labels):
    hidden = np.random.default_rng(2).normal(size=(held_out.n_positions, 4)).astype(np.float32)
    mask = np.random.default_rng(3).random(held_out.n_positions) < 0.7
    some = labels.select(["digit"])
    emptied = np.where(mask[:, None], hidden, 1e6).astype(np.float32)
    masked = dni.models.Activations(emptied, held_out.position_groups, mask=mask)
    first = dni.inspect(masked, some, "ols", folds=4)
    folds = dni.make_folds(held_out.n_positions, 4, groups=held_out.position_groups)
    second = dni.inspect(hidden, some, "ols", folds=np.where(mask, folds, -1))
    np.testing.assert_array_equal(first["accuracy"], second["accuracy"])
    assert first.attrs["positions"] == mask.sum()
    assert "without a state" in repr(masked)
