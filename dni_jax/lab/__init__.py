"""Further questions to a network and its states; each folder uses only the core, and can be removed without a trace.

- `attribution`: what a prediction rests on, and how far back
- `posterior`: how sure a ranking is, given the uncertainty of the weights
- `intrinsic_dimension`: how few parameters solve a problem, or decode a feature
- `repair`: the smallest change of a head that mends its predictions
- `densities`: how plausible a state is
"""

from importlib import import_module
from types import ModuleType

__all__ = ["attribution", "densities", "intrinsic_dimension", "posterior", "repair"]


def __getattr__(name: str) -> ModuleType:
    """Import a folder when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
