import sys

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def ax(monkeypatch):
    """Axes of a figure that pyplot does not know; pyplot cannot even be imported."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    return Figure(figsize=(8, 3)).subplots()
