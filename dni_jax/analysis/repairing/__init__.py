"""Repair a linear head with the least change of its weights; adversarial inputs to repair it from."""

from dni_jax.analysis.repairing.adversarial import fgsm, gradient_sign
from dni_jax.analysis.repairing.comparing import repair_table
from dni_jax.analysis.repairing.head import SOLVERS, repair_head
from dni_jax.analysis.repairing.hybrids import Hybrid, hybrid
from dni_jax.analysis.repairing.repaired import HeadEffect, HeadRepair
from dni_jax.analysis.repairing.targets import one_hot_targets, raised_targets
from dni_jax.analysis.repairing.text_repair import TextRepair
from dni_jax.analysis.repairing.texts import repair
from dni_jax.analysis.repairing.written import NoViolationError

__all__ = [
    "SOLVERS",
    "HeadEffect",
    "HeadRepair",
    "Hybrid",
    "NoViolationError",
    "TextRepair",
    "fgsm",
    "gradient_sign",
    "hybrid",
    "one_hot_targets",
    "raised_targets",
    "repair",
    "repair_head",
    "repair_table",
]
