"""What a scoring call returns."""

from typing import Any

import numpy as np


class Scores(dict[str, np.ndarray]):
    """Scores by metric, float64 (N, F, K), with "baseline" (F, K); `attrs` says how they were computed."""

    def __init__(self, scores: dict[str, np.ndarray], attrs: dict[str, Any]) -> None:
        super().__init__(scores)
        self.attrs = attrs
