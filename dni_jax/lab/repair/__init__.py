"""Repair a linear head with the smallest change of its weights, from adversarial inputs or from generated texts."""

from dni_jax.lab.repair._adversarial import MinimalAttack, fgsm, gradient_sign, minimal_fgsm
from dni_jax.lab.repair._generated import (
    NoViolationError,
    ViolationCounts,
    count_violations,
    prefix_states,
    violating_symbols,
)
from dni_jax.lab.repair._head import SOLVERS, HeadEffect, HeadRepair, repair_head
from dni_jax.lab.repair._held import HeldRepair, repair_and_hold
from dni_jax.lab.repair._hybrids import Hybrid, fit_hybrid
from dni_jax.lab.repair._layers import relative_changes
from dni_jax.lab.repair._requirements import LabeledStates, preserved_states
from dni_jax.lab.repair._targets import clean_targets, margin_targets, one_hot_targets
from dni_jax.lab.repair._text_repair import RepairSettings, repair, repair_table
from dni_jax.lab.repair._text_result import TextRepair

__all__ = [
    "SOLVERS",
    "HeadEffect",
    "HeadRepair",
    "HeldRepair",
    "Hybrid",
    "LabeledStates",
    "MinimalAttack",
    "NoViolationError",
    "RepairSettings",
    "TextRepair",
    "ViolationCounts",
    "clean_targets",
    "count_violations",
    "fgsm",
    "fit_hybrid",
    "gradient_sign",
    "margin_targets",
    "minimal_fgsm",
    "one_hot_targets",
    "prefix_states",
    "preserved_states",
    "relative_changes",
    "repair",
    "repair_and_hold",
    "repair_head",
    "repair_table",
    "violating_symbols",
]
