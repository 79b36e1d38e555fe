"""The paper's first problem, whose answer is known; Flax networks; memory; invalid settings."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from sklearn.datasets import load_digits

import dni_jax as dni
from dni_jax import devices
from dni_jax.lab.intrinsic_dimension import IntrinsicDimension, measure_dimension, projection_bytes
from dni_jax.lab.intrinsic_dimension import _memory as memory_module
from dni_jax.lab.intrinsic_dimension._memory import check_fits, free_bytes, training_bytes


def constraints(params):
    return jnp.square(params["w"].reshape(10, 100).sum(1) - jnp.arange(1.0, 11.0)).sum()


def met(params):
    return jnp.exp(-constraints(params))


TOY = {"w": jnp.zeros(1_000)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "sparse", "fastfood"])
def test_ten_constraints_need_ten_dimensions(kind):
    found = measure_dimension(
        constraints, TOY, [12, 8, 9, 10, 11], kind, optimizer="lbfgs", performance=met, repeats=3, seed=4
    )
    assert found.dims.tolist() == [8, 9, 10, 11, 12]
    assert found.by_repeat == [10, 10, 10]
    assert found.d90 == 10
    assert found.bracket == (9, 10)
    assert found.full == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.performance[2:], 1, atol=1e-5)
    assert (found.performance[:2].mean(1) < 0.5).all()


@pytest.mark.slow
def test_below_ten_dimensions_the_loss_is_that_of_least_squares():
    dims = [3, 9]
    found = measure_dimension(constraints, TOY, dims, optimizer="lbfgs", seed=1)
    p = dni.lab.intrinsic_dimension.random_projection("dense", 1_000, 9, (1, 0))
    a = np.asarray(p.columns, np.float64).reshape(9, 10, 100).sum(2).T
    reached = []
    for place, d in enumerate(dims):
        _, (left,), _, _ = np.linalg.lstsq(a[:, :d], np.arange(1.0, 11.0), rcond=None)
        assert found.train_loss[place, 0] == pytest.approx(left, rel=1e-4)
        assert found.performance[place, 0] == pytest.approx(-left, rel=1e-4)  # minus the loss, by default
        reached += [d] if left <= 38.5 else []
    assert found.chance == -385.0  # that of the untrained parameters, so a loss of 38.5 is 90 % of the way
    assert found.dimension == reached[0]


def quadratic(params):
    return jnp.square(params["w"] - 1).sum()


def of_four(**settings):
    """Measure a quadratic of four dimensions, by gradient descent."""
    settings = {"optimizer": optax.sgd(0.1), "steps": 50, "full": 0.0, **settings}
    return measure_dimension(quadratic, {"w": jnp.zeros(4)}, [1, 4], **settings)


def test_repeats_differ_and_dims_batch_does_not_matter():
    found = of_four(repeats=2)
    assert found.performance.shape == (2, 2)
    assert found.performance[0, 0] != found.performance[0, 1]
    np.testing.assert_allclose(of_four(repeats=2, dims_batch=1).performance, found.performance, atol=1e-5)
    np.testing.assert_allclose(found.performance[:, 0], of_four().performance[:, 0], atol=1e-6)
    each = of_four(draws="each", repeats=2)
    assert each.performance[0, 0] != found.performance[0, 0]


def test_the_threshold():
    found = of_four()
    assert (found.full, found.chance, found.threshold) == (0.0, -4.0, pytest.approx(-0.4))
    assert "full 0," in repr(found)
    shares = found.table["share"]
    np.testing.assert_allclose(shares, (found.performance[:, 0] + 4) / 4, rtol=1e-6)
    other = of_four(chance=-2.0, target=0.5)
    assert other.threshold == -1.0
    with pytest.raises(ValueError, match=r"target of 0\.9, got 0\.5"):
        _ = other.d90
    given = of_four(performance=lambda params: params["w"].sum(), full=4.0)
    assert (given.chance, given.threshold) == (0.0, 3.6)
    assert of_four(performance=lambda params: params["w"].sum() + 1, full=4.0, chance="untrained").chance == 1.0


def make_result(dims, performance, **changed):
    array = np.asarray(performance, float)
    settings = {"full": 1.0, "chance": 0.0, "target": 0.9, "n_params": 50, "projection": "dense", "n_bytes": 8}
    return IntrinsicDimension(np.asarray(dims), array, 0 * array, **{**settings, **changed}, settings={"steps": 3})


def test_result():
    found = make_result([2, 5, 9], [[0.1, 0.3], [0.95, 0.8], [0.92, 0.9]])
    assert (found.d90, found.bracket, found.by_repeat) == (9, (5, 9), [5, 9])
    assert repr(found).startswith("IntrinsicDimension(d90 = 9 in (5, 9] of D = 50; dense, 2 draws; full 1, chance 0")
    assert found.table["min"].tolist() == [0.1, 0.8, 0.9]
    assert "d90 = 9" in found._repr_html_()
    assert make_result([2, 5], [[0.9], [1.0]]).bracket == (0, 2)
    assert "d90 not reached, in (5, 50]" in repr(make_result([2, 5], [[0.5], [0.6]]))
    assert make_result([2, 5], [[np.nan], [1.0]]).dimension == 5


@pytest.mark.parametrize(
    "projection", ["fastfood", *(pytest.param(k, marks=pytest.mark.slow) for k in ("dense", "sparse"))]
)
def test_numbers_and_a_seed_rebuild_the_trained_network(projection):
    start, seen = {"w": jnp.full(40, 0.5), "steps": jnp.asarray(3)}, {}

    def performance(params):
        seen[len(seen)] = np.asarray(params["w"])  # in the order of dims, then of repetitions
        return -quadratic(params)

    found = measure_dimension(
        quadratic, start, [2, 5], projection, optimizer=optax.sgd(0.1), steps=5, repeats=2, performance=performance,
        full=0.0, chance=-10.0, target=0.01,
    )  # fmt: skip
    for dim, repeat, weights in ((2, 0, seen[0]), (5, 0, seen[1]), (2, 1, seen[2]), (5, 1, seen[3])):
        small = found.compressed(dim, repeat)
        assert small.numbers.shape == (dim,)
        rebuilt = small.rebuild({"w": jnp.full(40, 0.5), "steps": jnp.asarray(3)})
        np.testing.assert_allclose(rebuilt["w"], weights, atol=1e-6)
        assert int(rebuilt["steps"]) == 3
        assert small.compression == 40 / dim
    assert found.compressed().numbers.shape == (found.dimension,)
    assert found.compression == 40 / found.dimension
    assert "5 numbers and a seed for 40 weights: 8 times smaller" in repr(small)
    with pytest.raises(ValueError, match=r"among \[2, 5\] and a repeat from 0 to 1, got 3 and 0"):
        found.compressed(3)
    with pytest.raises(ValueError, match="got 2 and 2"):
        found.compressed(2, 2)
    with pytest.raises(ValueError, match="network of 40 parameters, got 41"):
        small.rebuild({"w": jnp.zeros(41)})
    missed = make_result([2, 5], [[0.5], [0.6]])
    assert np.isnan(missed.compression)
    with pytest.raises(ValueError, match="reaches the threshold, got none"):
        missed.compressed()


def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y.astype(np.int32)


@pytest.mark.slow
def test_networks_of_both_flax_interfaces():
    x, y = digits()
    module = nnx.Sequential(nnx.Linear(64, 16, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(16, 10, rngs=nnx.Rngs(1)))
    graph, params = nnx.split(module, nnx.Param)
    dense = linen.Sequential([linen.Dense(16), linen.relu, linen.Dense(10)])
    for start, logits in (
        (params, lambda p, x: nnx.merge(graph, p)(x)),
        (dense.init(jax.random.key(0), x[:1]), dense.apply),
    ):

        def loss(p, batch, logits=logits):
            return optax.softmax_cross_entropy_with_integer_labels(logits(p, batch[0]), batch[1]).mean()

        @jax.jit
        def accuracy(p, logits=logits):
            return (logits(p, x[1_200:]).argmax(-1) == y[1_200:]).mean()

        found = dni.lab.intrinsic_dimension.measure_dimension(
            loss, start, [2, 100, 400], "sparse", data=(x[:1_200], y[:1_200]), performance=accuracy, batch=64,
            steps=400, learning_rate=1e-2,
        )  # fmt: skip
        assert found.n_params == 64 * 16 + 16 + 16 * 10 + 10
        assert found.full > 0.85
        assert found.bracket in ((2, 100), (100, 400))


def test_diverged_training_warns():
    with pytest.warns(UserWarning, match="subspaces of 1, 4 dimensions"):
        found = of_four(optimizer=optax.sgd(1e30))
    assert found.dimension is None


@pytest.mark.parametrize(
    ("dims", "settings", "words"),
    [
        ([], {}, r"got \[\]"),
        ([1, 1], {}, "different"),
        ([0], {}, "from 1"),
        ([5], {}, "parameters, 4"),
        ([1], {"target": 0.0}, "target above 0"),
        ([1], {"repeats": 0}, "repeats"),
        ([1], {"draws": "own"}, "shared, each"),
        ([1], {"dims_batch": 0}, "dims_batch"),
        ([1], {"chance": "guess"}, "untrained"),
        ([1], {"projection": "fourier"}, "dense, sparse, fastfood"),
        ([1], {"full": -5.0}, "better than chance, -4"),
        ([1], {"performance": lambda p: p["w"]}, "one number"),
    ],
)
def test_invalid_settings(dims, settings, words):
    with pytest.raises(ValueError, match=words):
        measure_dimension(quadratic, {"w": jnp.zeros(4)}, dims, **{"optimizer": optax.sgd(0.1), "steps": 1, **settings})


def test_the_error_for_memory_names_projections_that_fit():
    n, dims = 1_000, [10, 200]
    needed = projection_bytes("dense", n, 200) + 2 * 2 * 4 * n
    assert training_bytes("dense", n, dims) == needed == 816_000
    assert check_fits("dense", n, dims, needed) == needed
    sizes = {kind: f"{training_bytes(kind, n, dims):,}" for kind in ("sparse", "fastfood")}
    words = (
        f"at most 500,000 bytes.*got 816,000.*'sparse' needs {sizes['sparse']}, .*'fastfood' needs {sizes['fastfood']}"
    )
    with pytest.raises(ValueError, match=words):
        check_fits("dense", n, dims, 500_000)
    with pytest.raises(ValueError, match="got 816,000"):
        measure_dimension(constraints, TOY, dims, max_bytes=500_000)
    assert check_fits("fastfood", n, dims, 500_000) < 500_000


def test_the_default_limit_is_half_of_the_free_memory(monkeypatch):
    assert free_bytes() > 2**20
    monkeypatch.setattr(memory_module, "free_bytes", lambda: 1_632_000)
    assert check_fits("dense", 1_000, [10, 200], None) == 816_000
    monkeypatch.setattr(memory_module, "free_bytes", lambda: 1_631_000)
    with pytest.raises(ValueError, match="at most 815,500"):
        check_fits("dense", 1_000, [10, 200], None)


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_CONTROL_GROUP", tmp_path)
    whole = free_bytes()
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_bytes() == 3_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() == pytest.approx(whole, rel=0.5)
