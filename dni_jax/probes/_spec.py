"""What to fit, how to score it, and on which engine: declared and checked once, used by every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from dni_jax.probes._check import check_batch, is_binary
from dni_jax.probes._metrics import REGRESSION
from dni_jax.probes._registry import PROBES

ENGINES = ("auto", "exact", "binned")
PLANS = ("auto", "cpu", "gpu", "tpu")
_DEFAULT_STRENGTH = 1.0  # of C and of alpha


@dataclass(frozen=True)
class ProbeSpec:
    """A probe and the settings that it is fitted and scored with.

    Attributes
    ----------
    probe : {"svm", "linear_svc", "logistic", "ridge", "ols"}
        scikit-learn's ``SVC(kernel="linear")``, ``LinearSVC``, ``LogisticRegression``, ``RidgeClassifier`` (``Ridge``
        for continuous labels) and ``LinearRegression``, each at its exact optimum.
    metrics : tuple of str, optional
        Of accuracy, balanced_accuracy, f1, mcc and auc for classifiers (default accuracy and auc), of r2 and pearson
        for continuous probes (default both). "ridge" classifies binary labels unless the metrics are r2 or pearson.
    C : float
        Cost of errors for "svm", "linear_svc" and "logistic". Neither it nor `alpha` is accepted with a probe that does
        not have it.
    alpha : float, or several
        Penalty of "ridge". Several alphas share one pass, and the scores get a leading axis for them.
    class_weight : {None, "balanced"}
        "balanced" weighs classes by ``n / (2 * n_class)`` in each training set, as scikit-learn does.
    engine : {"auto", "exact", "binned"}
        "exact" keeps every value, "binned" rounds neurons to `n_bins` levels (for continuous labels: to 65,536) and
        solves the rounded problem exactly, in memory that does not depend on the number of positions. "auto" is
        "exact" for arrays, except for classifiers on more than 500,000 positions, and "binned" for streams.
    n_bins : int
        Levels per neuron of the binned engine, about equally full; at least 2.
    neuron_batch, feature_batch : int, optional
        Neurons and features that are processed at a time; lower values need less memory.
    plan : {"auto", "cpu", "gpu", "tpu"}
        How the computation is arranged, which changes no result: one neuron after another, as a CPU's caches want, or
        many at once; "tpu" also keeps to 32-bit integers, and leaves exact logistic regression to the host. "auto" is
        that of the devices.

    Raises
    ------
    ValueError
        For unknown names, metrics that do not fit the probe, a C or an alpha that the probe does not have, or numbers
        out of range.

    Examples
    --------
    >>> ProbeSpec("ridge", metrics=("r2",), alpha=10.0).classifies
    False
    """

    probe: str = "svm"
    metrics: tuple[str, ...] | str | None = None
    C: float = _DEFAULT_STRENGTH
    alpha: Any = _DEFAULT_STRENGTH
    class_weight: str | None = None
    engine: str = "auto"
    n_bins: int = 512
    neuron_batch: int | None = None
    feature_batch: int | None = None
    plan: str = "auto"

    def __post_init__(self) -> None:
        if self.probe not in PROBES:
            raise ValueError(f"expected probe to be one of {', '.join(PROBES)}, got {self.probe!r}")
        if self.metrics is not None:
            object.__setattr__(self, "metrics", _check_metrics(self.probe, self.metrics))
        if not np.isfinite(self.C) or self.C <= 0:
            raise ValueError(f"expected C > 0, got {self.C}")
        object.__setattr__(self, "alpha", _check_alpha(self.alpha))
        self._check_strength()
        if self.class_weight not in (None, "balanced"):
            raise ValueError(f'expected class_weight to be None or "balanced", got {self.class_weight!r}')
        if self.class_weight and self.metrics is not None:
            self._check_weight()
        if self.engine not in ENGINES:
            raise ValueError(f"expected engine to be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.plan not in PLANS:
            raise ValueError(f"expected plan to be one of {', '.join(PLANS)}, got {self.plan!r}")
        if self.n_bins < 2:
            raise ValueError(f"expected n_bins >= 2, got {self.n_bins}")
        for name in ("neuron_batch", "feature_batch"):
            check_batch(name, getattr(self, name))

    def _check_strength(self) -> None:
        strength = PROBES[self.probe].strength
        for name in ("C", "alpha"):
            value = getattr(self, name)
            if name != strength and value != _DEFAULT_STRENGTH:
                has = f"which has {strength} instead" if strength else "which has no penalty"
                raise ValueError(f'expected no {name} for probe="{self.probe}", {has}, got {name}={value}')

    def with_probe(self, probe: str, **changes: Any) -> ProbeSpec:
        """Return the spec of another probe, with changes; a C or an alpha that it does not have is left out."""
        absent = {name: _DEFAULT_STRENGTH for name in ("C", "alpha") if name != PROBES[probe].strength}
        return replace(self, probe=probe, **absent | changes)

    def resolve(self, labels: Any) -> ProbeSpec:
        """Return the spec with its metrics filled in.

        A probe for both kinds of labels classifies those that are all 0 or 1.

        Raises
        ------
        ValueError
            For balanced classes of a probe that does not classify.
        """
        if self.metrics is not None:
            return self
        probe = PROBES[self.probe]
        classifies = probe.classify is not None and (probe.regress is None or is_binary(labels))
        resolved = replace(self, metrics=("accuracy", "auc") if classifies else ("r2", "pearson"))
        resolved._check_weight()
        return resolved

    def _check_weight(self) -> None:
        if self.class_weight and not self.classifies:
            raise ValueError(f'expected class_weight=None for a continuous probe, got "{self.class_weight}"')

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics of a resolved spec."""
        if self.metrics is None:
            raise ValueError("expected a spec with metrics, got none: call spec.resolve(labels) first")
        return tuple(self.metrics)

    @property
    def classifies(self) -> bool:
        """Whether labels are classes 0 and 1; needs a resolved spec."""
        return not set(self.names) & set(REGRESSION)

    @property
    def balanced(self) -> bool:
        """Whether both classes weigh the same."""
        return self.class_weight == "balanced"

    @property
    def strengths(self) -> tuple[float, ...]:
        """The values of the solver's one parameter, C or alpha; 0 for a probe without one."""
        strength = PROBES[self.probe].strength
        if strength == "C":
            return (float(self.C),)
        if strength == "alpha":
            return self.alpha if isinstance(self.alpha, tuple) else (self.alpha,)
        return (0.0,)

    @property
    def several(self) -> bool:
        """Whether scores have a leading axis of alphas."""
        return isinstance(self.alpha, tuple)

    @property
    def continuous(self) -> str:
        """Name of the probe for continuous labels that accompanies this one, if it classifies."""
        return PROBES[self.probe].continuous

    def compiled(self) -> ProbeSpec:
        """Return the part of the spec that is static under `jit`; strengths are passed as arguments."""
        return ProbeSpec(self.probe, self.metrics, class_weight=self.class_weight)

    def describe(self) -> dict[str, Any]:
        """Return the attributes that scores carry."""
        names = ("probe", "C", "alpha")
        return {name: getattr(self, name) for name in names} | {"class_weight": str(self.class_weight)}


_DEFAULTS = {field.name: field.default for field in fields(ProbeSpec)}
SETTINGS = tuple(name for name in _DEFAULTS if name != "probe")


def as_spec(
    probe: str | ProbeSpec, settings: Mapping[str, Any] | None = None, accepted: Sequence[str] = SETTINGS
) -> ProbeSpec:
    """Return the spec that a caller has passed as a `ProbeSpec`, or as a name and settings.

    Raises
    ------
    ValueError
        For settings that do not exist, that the call does not use (not among `accepted`), or that are passed together
        with a `ProbeSpec`.
    """
    settings = dict(settings or {})
    unknown = sorted(set(settings) - set(accepted))
    if unknown:
        raise ValueError(f"expected settings among {', '.join(accepted)}, got {', '.join(unknown)}")
    if not isinstance(probe, ProbeSpec):
        return ProbeSpec(probe, **settings)
    changed = [name for name, value in settings.items() if value != _DEFAULTS[name]]
    if changed:
        raise ValueError(f"expected settings in the ProbeSpec or as keywords, got both: {', '.join(changed)}")
    unused = [name for name in SETTINGS if name not in accepted and getattr(probe, name) != _DEFAULTS[name]]
    if unused:
        raise ValueError(f"expected a ProbeSpec with {', '.join(accepted)} only, got {', '.join(unused)}")
    return probe


def _check_metrics(name: str, metrics: tuple[str, ...] | str) -> tuple[str, ...]:
    probe = PROBES[name]
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if not metrics:
        raise ValueError(f"expected at least one metric of {', '.join(probe.metrics)}, got none")
    for metric in metrics:
        if metric not in probe.metrics:
            raise ValueError(f'expected metrics for probe="{name}" among {", ".join(probe.metrics)}, got {metric!r}')
    regression = [metric in REGRESSION for metric in metrics]
    if any(regression) and not all(regression):
        raise ValueError(f"expected metrics of one kind, got {metrics}; score classes and values in two calls")
    return metrics


def _check_alpha(alpha: Any) -> float | tuple[float, ...]:
    try:
        alphas = np.asarray(alpha, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected alpha >= 0, one number or several, got {alpha!r}") from error
    if alphas.ndim > 1 or alphas.size == 0 or not np.isfinite(alphas).all() or (alphas < 0).any():
        raise ValueError(f"expected alpha >= 0, one number or several, got {alpha}")
    return float(alphas) if alphas.ndim == 0 else tuple(alphas.tolist())
