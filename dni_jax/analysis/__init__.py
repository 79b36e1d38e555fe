"""More questions to the same network and states: what a prediction rests on, how far back, how sure the weights are."""

from dni_jax.analysis.attribution import ablation_effects, agreement, attribute, share_by_lag
from dni_jax.analysis.posteriors import (
    SAMPLERS,
    Posterior,
    beside,
    constant,
    cyclical,
    polynomial,
    posterior,
    psgld,
    santa,
    sghmc,
    sgld,
    sgnht,
    step_size_sweep,
)

__all__ = [
    "SAMPLERS",
    "Posterior",
    "ablation_effects",
    "agreement",
    "attribute",
    "beside",
    "constant",
    "cyclical",
    "polynomial",
    "posterior",
    "psgld",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "share_by_lag",
    "step_size_sweep",
]
