"""Overrides of hidden states: what to do to which neurons at which steps. They know no network."""

from dni_jax.interventions.interventions import Intervention, ablate, clamp, clamp_to_labels, patch
from dni_jax.interventions.override import Drive, Driven, Override, apply_overrides

__all__ = [
    "Drive",
    "Driven",
    "Intervention",
    "Override",
    "ablate",
    "apply_overrides",
    "clamp",
    "clamp_to_labels",
    "patch",
]
