"""Images as they are stored in each form, the paper's counts of parameters, the selection of features."""

import pickle

import jax
import numpy as np
import pytest
from flax import nnx

from experiments._shared.convolutional import Network, convolved, keep, load, pooled, pure, trained
from experiments._shared.images import BATCHES, cifar10, digits, mnist
from experiments.repair.images import selected
from tests.support.slow import slow_after

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 5, 32, 32, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 10, (6, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "count", "shape"), [("mnist", 431_080, (28, 28, 1)), ("cifar", 5_851_338, (32, 32, 3))]
)
def test_parameters_and_features_are_the_paper_s(kind, count, shape):
    network = nnx.eval_shape(lambda: Network(kind, 0))
    assert network.n_parameters == count
    features = jax.eval_shape(lambda x: Network(kind, 0).states(x), jax.ShapeDtypeStruct((2, *shape), np.float32))
    assert features.shape == (2, {"mnist": 800, "cifar": 4096}[kind])


@pytest.mark.slow
def test_a_trained_network_is_kept(tmp_path):
    x, y = RNG.random((16, 28, 28, 1), np.float32), RNG.integers(0, 10, 16).astype(np.int32)
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        one, seconds = trained("mnist", 3, tmp_path, x, y, 2, batch=8)
    again, same = trained("mnist", 3, tmp_path, x, y, 2, batch=8)
    assert seconds == same > 0
    np.testing.assert_array_equal(pure(one)[1](x), pure(again)[1](x))
    assert np.abs(np.asarray(pure(one)[1](x)) - pure(Network("mnist", 3))[1](x)).max() > 1e-3


def test_a_network_of_another_kind_is_refused(tmp_path):
    keep(tmp_path / "small.npz", nnx.Linear(2, 3, rngs=nnx.Rngs(0)), 1.0)
    with pytest.raises(ValueError, match=r"a network of kind 'mnist' in .*, got one of other shapes"):
        load("mnist", tmp_path / "small.npz")


@pytest.mark.parametrize("size", [4, 5])
def test_pooling_is_flax_s(size):
    """Ties are common after a ReLU and in the background of an image."""
    x = np.maximum(RNG.normal(size=(2, size, size, 3)).round(), 0).astype(np.float32)
    ours, back = jax.vjp(pooled, x)
    theirs, their_back = jax.vjp(lambda y: nnx.max_pool(y, (2, 2), strides=(2, 2)), x)
    np.testing.assert_array_equal(ours, theirs)
    change = RNG.normal(size=ours.shape).astype(np.float32)
    np.testing.assert_array_equal(back(change)[0], their_back(change)[0])


@pytest.mark.parametrize("padding", slow_after(1, ["VALID", "SAME"]))
def test_convolutions_are_xla_s(padding):
    x, weight = RNG.normal(size=(20, 6, 7, 3)).astype(np.float32), RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
    ours, back = jax.vjp(lambda x, w: convolved(x, w, padding), x, weight)
    form = ("NHWC", "HWIO", "NHWC")
    theirs, their_back = jax.vjp(
        lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=form), x, weight
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    change = RNG.normal(size=ours.shape).astype(np.float32)
    for one, other in zip(back(change), their_back(change), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("form", ["binary", "pickled"])
def test_cifar_from_a_folder(tmp_path, form):
    for name, pictures, labels in zip((*BATCHES, "test_batch"), PICTURES, LABELS, strict=True):
        planes = pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)
        if form == "binary":
            (tmp_path / f"{name}.bin").write_bytes(np.hstack([labels[:, None], planes]).tobytes())
        else:
            (tmp_path / name).write_bytes(pickle.dumps({b"data": planes, b"labels": labels.tolist()}))
    read = cifar10(tmp_path)
    np.testing.assert_array_equal(read.x_train, PICTURES[:5].reshape(25, 32, 32, 3) / np.float32(255))
    np.testing.assert_array_equal(read.x_test, PICTURES[5] / np.float32(255))
    assert read.y_train.tolist() == LABELS[:5].ravel().tolist()
    assert read.y_test.tolist() == LABELS[5].tolist()
    with pytest.raises(FileNotFoundError, match="--cifar"):
        cifar10(tmp_path / "elsewhere")


def test_mnist_from_a_file_and_digits_in_its_place(tmp_path):
    parts = {"x_train": PICTURES[0, ..., 0], "y_train": LABELS[0], "x_test": PICTURES[1, ..., 0], "y_test": LABELS[1]}
    np.savez(tmp_path / "own.npz", **parts)
    read = mnist(tmp_path / "own.npz")
    assert read.x_train.shape == (5, 32, 32, 1)
    assert read.x_train.max() <= 1
    small = digits()
    assert small.x_train.shape == (1437, 28, 28, 1)
    assert set(small.y_test.tolist()) == set(range(10))
    assert (small.x_train.min(), small.x_train.max()) == (0, 1)


def test_selected_features():
    """One that never moves, one up, one to and fro, one down."""
    before = np.random.default_rng(0).normal(size=(30, 4))
    to_and_fro = np.tile([0.25, -0.25], 15)
    moved = before + np.stack([np.zeros(30), np.linspace(0.5, 1, 30), to_and_fro, np.full(30, -0.5)], axis=1)
    assert selected(before, moved).tolist() == [1, 3]
