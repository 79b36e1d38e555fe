"""Attribution: which neurons a prediction rests on and how far back, and the effect of replacing them."""

from dni_jax.lab.attribution._ablation import ablation_effects
from dni_jax.lab.attribution._agreement import rank_agreement, share_by_lag
from dni_jax.lab.attribution._attribute import attribute

__all__ = ["ablation_effects", "attribute", "rank_agreement", "share_by_lag"]
