"""Overrides of hidden states: what to do to which neurons at every step. They know no network."""

from dni_jax.interventions.interventions import Intervention, ablate, clamp, clamp_to_labels, patch
from dni_jax.interventions.override import Override, apply_overrides

__all__ = ["Intervention", "Override", "ablate", "apply_overrides", "clamp", "clamp_to_labels", "patch"]
