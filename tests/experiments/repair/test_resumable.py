"""A training run that is stopped resumes where it stopped, and ends with the numbers of one that was not."""

import jax
import numpy as np
import pytest

from experiments._shared.convolutional import pure
from experiments._shared.resumable import Schedule, train_resumably

RNG = np.random.default_rng(0)
PICTURES, LABELS = RNG.random((16, 28, 28, 1), np.float32), RNG.integers(0, 10, 16).astype(np.int32)
SCHEDULE = Schedule(coarse=0, fine=2, batch=8)


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_network(tmp_path):
    lines = []
    with jax.numpy_dtype_promotion("standard"):
        whole, took = train_resumably("mnist", PICTURES, LABELS, SCHEDULE, tmp_path / "whole.npz", report=lines.append)
        for step in (1, 3, 4):
            limit = 1 if step == 1 else 2
            pieces, progress = train_resumably(
                "mnist", PICTURES, LABELS, SCHEDULE, tmp_path / "pieces.npz", limit=limit, report=lines.append
            )
            assert progress["step"] == step
        scores = [np.asarray(pure(one)[1](PICTURES)) for one in (whole, pieces)]
        with pytest.raises(ValueError, match=r"expected a checkpoint of .*delete the checkpoint"):
            train_resumably("mnist", PICTURES, LABELS, SCHEDULE, tmp_path / "whole.npz", seed=1)
        further, more = train_resumably(
            "mnist",
            PICTURES,
            LABELS,
            SCHEDULE,
            tmp_path / "more.npz",
            start=tmp_path / "whole.npz",
            report=lines.append,
        )
        with pytest.raises(ValueError, match=r"expected a checkpoint of .*then"):
            train_resumably("mnist", PICTURES, LABELS, SCHEDULE, tmp_path / "whole.npz", start=tmp_path / "whole.npz")
    assert more["step"] == 4
    assert more["seconds"] > took["seconds"]
    assert np.abs(np.asarray(pure(further)[1](PICTURES)) - scores[0]).max() > 1e-3
    assert took["step"] == took["steps"] == 4
    np.testing.assert_array_equal(*scores)
    assert "goes on at step 3 of 4" in lines


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"step": 3, "steps": 4}, "a finished training run in .*, got step 3 of 4: finish it first"),
        ({"step": 4, "steps": 4, "arr_0": np.zeros(3)}, "a checkpoint of the same network"),
    ],
)
def test_a_training_starts_from_a_finished_one_of_the_same_network(tmp_path, kept, message):
    np.savez(tmp_path / "start.npz", **kept)
    with pytest.raises(ValueError, match=message):
        train_resumably(
            "mnist", PICTURES, LABELS, SCHEDULE, tmp_path / "none.npz", start=tmp_path / "start.npz", report=print
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": PICTURES * 255}, "images from 0 to 1, got .*: divide by 255"),
        ({"x": PICTURES[:4]}, "at least 8 images"),
        ({"y": LABELS + 10}, "labels from 0 to 9"),
        ({"y": LABELS[:4]}, r"labels of shape \(16,\)"),
        ({"kind": "svhn"}, "kind among"),
    ],
)
def test_invalid_arguments(tmp_path, change, message):
    given = {"kind": "mnist", "x": PICTURES, "y": LABELS, "schedule": SCHEDULE, "file": tmp_path / "none.npz"}
    with pytest.raises(ValueError, match=message):
        train_resumably(**(given | change))
