import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure


@pytest.fixture
def ax(monkeypatch):
    """Axes of a figure that pyplot does not know; pyplot cannot even be imported."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    return Figure(figsize=(8, 3)).subplots()


@pytest.fixture(scope="session")
def effects():
    """Random numbers in the layout of what `dni.verify` returns (the example of `plot.effects` draws real ones)."""
    rng = np.random.default_rng(0)
    features, measures, ks = ["digit", "depth=0"], ["loss_on", "distance"], [1, 3]
    dims = ("feature", "k", "measure")
    intact = rng.random((2, 2))
    found = {"intact": (("feature", "measure"), intact)}
    for name in ("top", "random", "bottom"):
        effect = rng.normal(size=(2, 2, 2))
        found[f"{name}_effect"] = dims, effect
        if name != "bottom":
            found |= {f"{name}_effect_low": (dims, effect - 0.5), f"{name}_effect_high": (dims, effect + 0.5)}
        if name != "random":
            found[name] = dims, intact[:, None] + effect
    away = rng.normal(size=(2, 2, 2, 8))
    drawn = (intact[:, None] + found["random_effect"][1])[..., None] + away - away.mean(-1, keepdims=True)
    found["random"] = (*dims, "draw"), drawn
    return xr.Dataset(found, coords={"feature": features, "k": ks, "measure": measures})
