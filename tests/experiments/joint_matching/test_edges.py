"""Colored digits and their edges: what is drawn, and how it is judged."""

import numpy as np
import pytest

from experiments._shared.images import digits
from experiments.joint_matching import edges


@pytest.fixture(scope="module")
def data():
    return edges.parts(digits())


def test_parts_hold_two_digits_and_share_no_picture(data):
    for gray, digit in data.values():
        assert gray.shape == (len(digit), edges.SIDE**2)
        assert set(digit.tolist()) == set(edges.DIGITS)
    seen = [{one.tobytes() for one in gray} for gray, _ in data.values()]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert data["given"][1].tolist() == list(edges.DIGITS)


def test_edges_are_gradients_and_know_no_color():
    flat, slope = np.full((1, 14, 14), 0.7), np.tile(np.linspace(0, 0.65, 14), (1, 14, 1))
    assert not edges.edges_of(flat.reshape(1, -1)).any()
    inner = edges.edges_of(slope.reshape(1, -1)).reshape(14, 14)[1:-1, 1:-1]
    np.testing.assert_allclose(inner, 8 * 0.05 / 2, rtol=1e-6)  # Sobel's weights sum to 8 over two pixels' difference


def test_the_right_pictures_are_judged_right_and_exchanged_ones_wrong(data):
    gray, digit = data["unseen"]
    reference = data["x"]
    good = edges.judged(edges.colored(gray, digit), gray, digit, reference)
    assert good[0] > 0.95
    assert good[1] == 1
    other = np.where(digit == 3, 7, 3)
    assert edges.judged(edges.colored(gray, other), gray, digit, reference)[1:] == (0, 0)
    partner = [np.flatnonzero(digit != one)[0] for one in digit]
    exchanged = edges.judged(edges.colored(gray, digit)[partner], gray, digit, reference)
    assert exchanged[0] < 0.05
    assert exchanged[1] == 0
