"""What experiments print of one network, and of several."""

from experiments._shared.subjects import spread


def test_one_network_has_no_range():
    assert spread([0.5], 2) == "0.50"
    assert spread([0.25, 0.5, 0.75], 2) == "0.50 (0.25-0.75)"
