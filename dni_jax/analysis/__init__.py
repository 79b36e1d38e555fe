"""More questions to the same network and states.

What a prediction rests on, how far back, how sure the weights are, how few dimensions a problem needs, and what a small
change of the head repairs.
"""

from dni_jax.analysis.attribution import (
    ablation_effects,
    agreement,
    attribute,
    share_by_lag,
)
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
from dni_jax.analysis.repairing import (
    SOLVERS,
    HeadEffect,
    HeadRepair,
    TextRepair,
    one_hot_targets,
    raised_targets,
    repair,
    repair_head,
)
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
    "SOLVERS",
    "HeadEffect",
    "HeadRepair",
    "IntrinsicDimension",
    "Posterior",
    "TextRepair",
    "ablation_effects",
    "agreement",
    "attribute",
    "beside",
    "constant",
    "cyclical",
    "intrinsic_dimension",
    "one_hot_targets",
    "polynomial",
    "posterior",
    "probe_dimension",
    "projection_bytes",
    "psgld",
    "raised_targets",
    "random_projection",
    "repair",
    "repair_head",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "share_by_lag",
    "step_size_sweep",
]
