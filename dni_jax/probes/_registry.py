"""The probes by name: how each is fitted, and which metrics it can be scored by."""

from collections.abc import Callable
from dataclasses import dataclass

from dni_jax.probes import _least_squares as least_squares
from dni_jax.probes import _linear_svc as linear_svc
from dni_jax.probes import _logistic as logistic
from dni_jax.probes import _metrics as metrics
from dni_jax.probes import _svm as svm


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes
    ----------
    classify : (Neuron, strength, Solver) -> Fit, or None
        Fits binary labels on a neuron; see `dni_jax.probes._neuron.Neuron`.
    regress : (Moments, strength) -> Line, or None
        Fits continuous labels from moments.
    strength : {"C", "alpha", None}
        The argument that is passed as the solvers' strength; 0 is passed for None.
    squares : bool
        Whether `classify` needs prefix sums of squares.
    on_tpu : bool
        Whether `classify` runs on a TPU for sorted neurons, or is left to its host.
    continuous : str
        Name of the probe for continuous labels that accompanies this one where features are of both kinds.
    """

    classify: Callable | None = None
    regress: Callable | None = None
    strength: str | None = None
    squares: bool = False
    on_tpu: bool = True
    continuous: str = "ols"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that fit this probe."""
        binary = metrics.CLASSIFICATION if self.classify else ()
        return binary + (metrics.REGRESSION if self.regress else ())


PROBES = {
    "svm": Probe(classify=svm.fit, strength="C"),
    "linear_svc": Probe(classify=linear_svc.fit, strength="C", squares=True),
    # In the float64 that a TPU emulates, its series take XLA a quarter of an hour to compile.
    "logistic": Probe(classify=logistic.fit, strength="C", on_tpu=False),
    "ridge": Probe(
        classify=least_squares.classify,
        regress=least_squares.fit,
        strength="alpha",
        squares=True,
        continuous="ridge",
    ),
    "ols": Probe(regress=least_squares.fit),
}
