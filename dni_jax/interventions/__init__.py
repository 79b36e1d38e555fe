"""Overrides of hidden states: what to do to which neurons at which steps. They know no network."""

from dni_jax.interventions._interventions import Edit, Intervention, ablate, clamp, clamp_to_labels, follow, patch
from dni_jax.interventions._override import Bound, Drive, Driven, Override, apply_overrides
from dni_jax.interventions._references import fit_line

__all__ = [
    "Bound",
    "Drive",
    "Driven",
    "Edit",
    "Intervention",
    "Override",
    "ablate",
    "apply_overrides",
    "clamp",
    "clamp_to_labels",
    "fit_line",
    "follow",
    "patch",
]
