"""Repair a linear head with the least change of its weights; adversarial inputs to repair it from."""

from dni_jax.lab.repair._adversarial import fgsm, gradient_sign
from dni_jax.lab.repair._comparing import repair_table
from dni_jax.lab.repair._head import SOLVERS, repair_head
from dni_jax.lab.repair._hybrids import Hybrid, fit_hybrid
from dni_jax.lab.repair._outcomes import count_violations
from dni_jax.lab.repair._repaired import HeadEffect, HeadRepair
from dni_jax.lab.repair._targets import margin_targets, one_hot_targets
from dni_jax.lab.repair._text_repair import TextRepair
from dni_jax.lab.repair._texts import repair
from dni_jax.lab.repair._wishes import preserved_states
from dni_jax.lab.repair._written import NoViolationError, prefix_states, violating_symbols

__all__ = [
    "SOLVERS",
    "HeadEffect",
    "HeadRepair",
    "Hybrid",
    "NoViolationError",
    "TextRepair",
    "count_violations",
    "fgsm",
    "fit_hybrid",
    "gradient_sign",
    "margin_targets",
    "one_hot_targets",
    "prefix_states",
    "preserved_states",
    "repair",
    "repair_head",
    "repair_table",
    "violating_symbols",
]
