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

__all__ = [
    "SAMPLERS",
    "SOLVERS",
    "HeadEffect",
    "HeadRepair",
    "Posterior",
    "TextRepair",
    "ablation_effects",
    "agreement",
    "attribute",
    "beside",
    "constant",
    "cyclical",
    "one_hot_targets",
    "polynomial",
    "posterior",
    "psgld",
    "raised_targets",
    "repair",
    "repair_head",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "share_by_lag",
    "step_size_sweep",
]
