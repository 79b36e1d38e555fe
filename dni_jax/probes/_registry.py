"""The probes by name: how each is fitted, and which metrics it can be scored by."""

from collections.abc import Callable
from dataclasses import dataclass

from dni_jax.probes import linear, metrics, svm


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes
    ----------
    classify : (SortedNeuron, cost, balanced) -> Fit, or None
        Fits binary labels on a sorted neuron.
    regress : (Moments, alpha) -> Line, or None
        Fits continuous labels from moments.
    penalised : bool
        Whether `regress` takes `alpha`; it is 0 otherwise.
    """

    classify: Callable | None = None
    regress: Callable | None = None
    penalised: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that fit this probe."""
        binary = metrics.CLASSIFICATION if self.classify else ()
        return binary + (metrics.REGRESSION if self.regress else ())


PROBES = {
    "svm": Probe(classify=svm.fit),
    "ols": Probe(regress=linear.fit),
}
