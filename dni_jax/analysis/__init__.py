"""More questions to the same network and states.

What a prediction rests on, how far back, how sure the weights are, and how many dimensions of them a problem needs.
"""

from dni_jax.analysis.ablation import ablation_effects
from dni_jax.analysis.agreement import agreement, share_by_lag
from dni_jax.analysis.attribution import attribute
from dni_jax.analysis.beside import beside
from dni_jax.analysis.posterior import Posterior, posterior
from dni_jax.analysis.samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.analysis.schedules import constant, cyclical, polynomial
from dni_jax.analysis.step_sizes import step_size_sweep
from dni_jax.analysis.subspaces import (
    PROJECTIONS,
    IntrinsicDimension,
    intrinsic_dimension,
    probe_dimension,
    projection_bytes,
    random_projection,
)

__all__ = [
    "PROJECTIONS",
    "SAMPLERS",
    "IntrinsicDimension",
    "Posterior",
    "ablation_effects",
    "agreement",
    "attribute",
    "beside",
    "constant",
    "cyclical",
    "intrinsic_dimension",
    "polynomial",
    "posterior",
    "probe_dimension",
    "projection_bytes",
    "psgld",
    "random_projection",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "share_by_lag",
    "step_size_sweep",
]
