"""More questions to the same network and states: what predictions rest on, how sure the weights are, how to repair."""

from dni_jax.analysis.ablation import ablation_effects
from dni_jax.analysis.agreement import agreement, share_by_lag
from dni_jax.analysis.attribution import attribute
from dni_jax.analysis.beside import beside
from dni_jax.analysis.posterior import Posterior, posterior
from dni_jax.analysis.repairing import (
    HeadEffect,
    HeadRepair,
    Hybrid,
    NoViolationError,
    TextRepair,
    fgsm,
    gradient_sign,
    hybrid,
    one_hot_targets,
    raised_targets,
    repair,
    repair_head,
    repair_table,
)
from dni_jax.analysis.samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.analysis.schedules import constant, cyclical, polynomial
from dni_jax.analysis.step_sizes import step_size_sweep

__all__ = [
    "SAMPLERS",
    "HeadEffect",
    "HeadRepair",
    "Hybrid",
    "NoViolationError",
    "Posterior",
    "TextRepair",
    "ablation_effects",
    "agreement",
    "attribute",
    "beside",
    "constant",
    "cyclical",
    "fgsm",
    "gradient_sign",
    "hybrid",
    "one_hot_targets",
    "polynomial",
    "posterior",
    "psgld",
    "raised_targets",
    "repair",
    "repair_head",
    "repair_table",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "share_by_lag",
    "step_size_sweep",
]
