"""Further questions to a network and its states; each folder uses only the core, and can be removed without a trace.

- `attribution`: what a prediction rests on, and how far back
- `posterior`: how sure a ranking is, given the uncertainty of the weights
- `intrinsic_dimension`: how few parameters solve a problem, or decode a feature
- `repair`: the smallest change of a head that mends its predictions
- `densities`: how plausible a state is
"""

from dni_jax.lazy import import_on_use

__all__ = ["attribution", "densities", "intrinsic_dimension", "posterior", "repair"]

__getattr__, __dir__ = import_on_use(__name__, dict.fromkeys(__all__, __name__))
