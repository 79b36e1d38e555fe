"""More questions to the same network and states: what a prediction rests on, and how far back in time."""

from dni_jax.analysis.ablation import ablation_effects
from dni_jax.analysis.agreement import agreement, share_by_lag
from dni_jax.analysis.attribution import attribute

__all__ = ["ablation_effects", "agreement", "attribute", "share_by_lag"]
