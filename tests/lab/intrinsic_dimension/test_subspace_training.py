"""Training in subspaces, compared with explicit steps, single runs, and training in the full space."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dni_jax.lab.intrinsic_dimension._projections import Dense, Identity, random_projection
from dni_jax.lab.intrinsic_dimension._training import FlatParams, SubspaceTrainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=4) > 0).astype(np.float32)
START = {
    "w": jnp.asarray(RNG.normal(size=(4, 3)) / 2, jnp.float32),
    "count": jnp.asarray(7, jnp.int32),
    "v": jnp.asarray(RNG.normal(size=3) / 2, jnp.float32),
}
N = 15


def loss(params, batch):
    x, y = batch
    assert params["count"].dtype == jnp.int32
    return optax.sigmoid_binary_cross_entropy(jnp.tanh(x @ params["w"]) @ params["v"], y).mean()


def trainer(**settings):
    return SubspaceTrainer(loss, FlatParams.from_pytree(START), (X, Y), **settings)


def explicit_steps(matrix, steps, rate, chosen):
    """Run gradient descent on z with explicit products."""
    flat = FlatParams.from_pytree(START)

    @jax.jit
    def slope_at(vector, batch):
        slope = jax.grad(loss, allow_int=True)(flat.unravel(vector), batch)
        return {name: slope[name] for name in ("v", "w")}

    z = np.zeros(matrix.shape[1])
    for step in range(steps):
        rows = np.arange(40) if chosen is None else chosen[step]
        slope = slope_at(np.asarray(flat.vector) + (matrix @ z).astype(np.float32), (X[rows], Y[rows]))
        slope = np.concatenate([np.ravel(slope["v"]), np.ravel(slope["w"])])  # leaves are in alphabetical order
        z = z - rate * matrix.T @ slope
    return np.asarray(flat.vector) + matrix @ z


@pytest.mark.parametrize(
    "kind", ["dense", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sparse", "fastfood"))]
)
def test_takes_the_steps_explicit_steps(kind):
    p = random_projection(kind, N, 6, seed=1)
    matrix = np.asarray(p.apply(jnp.eye(6)), np.float64).T
    got = trainer(optimizer=optax.sgd(0.5), steps=7).fit(p, [2, 6])
    for row, d in zip(got.vectors, (2, 6), strict=True):
        np.testing.assert_allclose(row, explicit_steps(matrix[:, :d], 7, 0.5, None), atol=2e-5)


@pytest.mark.slow
def test_batches_are_drawn_without_replacement():
    p = random_projection("dense", N, 3, seed=1)
    one = trainer(optimizer=optax.sgd(0.5), steps=7, batch=12)
    draw = one._batches((4, 2))
    chosen = [next(draw) for _ in range(7)]
    for epoch in (chosen[:3], chosen[3:6]):
        assert len(set(np.concatenate(epoch).tolist())) == 36
    matrix = np.asarray(p.apply(jnp.eye(3)).T, np.float64)
    np.testing.assert_allclose(one.fit(p, [3], (4, 2)).vectors[0], explicit_steps(matrix, 7, 0.5, chosen), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", optax.sgd(0.1, momentum=0.9)])
def test_a_population_is_its_members_trained_alone(optimizer):
    p = random_projection("dense", N, 9, seed=0)
    steps = 6 if optimizer == "lbfgs" else 12  # its later line searches enlarge differences of rounding
    one = trainer(optimizer=optimizer, steps=steps, learning_rate=0.03)
    both = one.fit(p, [2, 9])
    for place, d in enumerate((2, 9)):
        alone = one.fit(Dense(p.columns[:d]), [d])
        np.testing.assert_allclose(both.vectors[place], alone.vectors[0], atol=1e-4)
        np.testing.assert_allclose(both.loss[place], alone.loss[0], rtol=1e-4)


def test_a_full_orthogonal_projection_is_full_training():
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(N, N)))
    one = trainer(optimizer=optax.sgd(0.3), steps=30)
    rotated = one.fit(Dense(jnp.asarray(q.T, jnp.float32)), [N])
    full = one.fit(Identity(N), [N])
    np.testing.assert_allclose(rotated.vectors, full.vectors, atol=2e-5)
    assert float(jnp.abs(full.vectors[0] - one.start.vector).max()) > 0.05


@pytest.mark.slow
def test_adam_steps_are_equally_long_in_all_spaces():
    p = random_projection("dense", N, 8, seed=0)
    one = trainer(steps=1, learning_rate=0.01)
    moved = np.linalg.norm(one.fit(p, [2, 8]).vectors - one.start.vector, axis=1)
    np.testing.assert_allclose(moved, 0.01 * np.sqrt(N), rtol=0.5)  # columns are only nearly orthogonal
    full = np.linalg.norm(one.fit(Identity(N), [N]).vectors - one.start.vector)
    np.testing.assert_allclose(full, 0.01 * np.sqrt(N), rtol=1e-3)


@pytest.mark.slow
def test_the_chunk_size_does_not_matter(monkeypatch):
    p = random_projection("dense", N, 4, seed=0)
    whole = trainer(steps=12, batch=10).fit(p, [4])
    monkeypatch.setattr("dni_jax.lab.intrinsic_dimension._training._CHUNK", 5)
    parts = trainer(steps=12, batch=10).fit(p, [4])
    np.testing.assert_allclose(whole.vectors, parts.vectors, atol=1e-6)
    np.testing.assert_allclose(whole.loss, parts.loss, rtol=1e-5)


def test_a_convolution_is_trained_without_a_loop(monkeypatch):
    """On CPUs loops slow convolutions down; with loops and without, training is the same."""
    images = jnp.asarray(RNG.normal(size=(8, 6, 6, 1)), jnp.float32)

    def convolved(params, batch):
        x = jax.lax.conv_general_dilated(
            batch, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.square(x - 1).mean()

    start = FlatParams.from_pytree({"kernel": jnp.asarray(RNG.normal(size=(3, 3, 1, 2)), jnp.float32)})

    def fitted():
        one = SubspaceTrainer(convolved, start, images, steps=7, batch=3, learning_rate=0.03)
        return one, one.fit(random_projection("dense", 18, 9), [4, 9])

    one, without = fitted()
    assert one._unrolled
    assert not trainer()._unrolled
    monkeypatch.setattr("dni_jax.lab.intrinsic_dimension._training.is_slow_in_loops", lambda *_: False)
    other, within = fitted()
    assert not other._unrolled
    np.testing.assert_allclose(without.vectors, within.vectors, atol=1e-5)
    np.testing.assert_allclose(without.loss, within.loss, rtol=1e-4)


def test_unravel_undoes_flattening():
    flat = FlatParams.from_pytree(START)
    assert flat.size == N
    back = flat.unravel(flat.vector)
    assert jax.tree.structure(back) == jax.tree.structure(START)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), back, START))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "got none"),
        ({"n": jnp.asarray(1, jnp.int32)}, "got none"),
        ({"w": 1.0}, "got float at"),
        ({"w": jnp.ones(2, jnp.float16)}, "got float16"),
        ({"w": jnp.asarray([1.0, jnp.nan])}, "1 of 2 numbers NaN"),
    ],
)
def test_invalid_parameters(params, words):
    with pytest.raises(ValueError, match=words):
        FlatParams.from_pytree(params)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "newton"}, "adam, lbfgs"),
        ({"steps": 0}, "steps of at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"batch": 41}, "got 41 of 40 examples"),
        ({"batch": 5, "optimizer": "lbfgs"}, "batch=None"),
    ],
)
def test_invalid_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        trainer(**settings)


def test_data_must_have_one_leading_axis():
    with pytest.raises(ValueError, match="leading axis"):
        SubspaceTrainer(loss, FlatParams.from_pytree(START), (X, Y[:3]))
