"""Where a curve of performances crosses a threshold."""

import numpy as np
import pytest

from experiments.intrinsic_dimension._models import crossing


def test_the_crossing_lies_on_a_line_over_log_d():
    assert crossing([100, 400], [0.2, 0.6], 0.4) == pytest.approx(200)  # half of the way: the geometric mean
    assert crossing([10, 20, 40], [0.1, 0.5, 0.9], 0.5) == pytest.approx(20)
    assert crossing([10, 20], [0.6, 0.7], 0.5) is None
    assert crossing([10, 20], np.asarray([0.1, 0.2]), 0.5) is None
