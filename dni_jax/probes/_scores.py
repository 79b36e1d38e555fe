"""The result of a scoring call."""

from typing import Any

import numpy as np


class Scores(dict[str, np.ndarray]):
    """Scores by metric, float64 (N, F, K), and "baseline" (F, K).

    Attributes
    ----------
    attrs : dict
        The probe, the engine and the settings.
    lines : dict of float64 arrays (N, F, K)
        "weight" and "bias" of the fitted probes, where an engine has fitted them.
    """

    def __init__(
        self, scores: dict[str, np.ndarray], attrs: dict[str, Any], lines: dict[str, np.ndarray] | None = None
    ) -> None:
        super().__init__(scores)
        self.attrs = attrs
        self.lines = lines or {}
