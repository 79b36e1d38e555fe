"""What a prediction rests on, and how far back: shares of neurons, and what replacing them does."""

from dni_jax.analysis.attribution.ablation import ablation_effects
from dni_jax.analysis.attribution.agreement import agreement, share_by_lag
from dni_jax.analysis.attribution.attributing import attribute

__all__ = ["ablation_effects", "agreement", "attribute", "share_by_lag"]
