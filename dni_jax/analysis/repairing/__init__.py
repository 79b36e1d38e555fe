"""Repair a linear head with the least change of its weights."""

from dni_jax.analysis.repairing.head import SOLVERS, repair_head
from dni_jax.analysis.repairing.repaired import HeadEffect, HeadRepair
from dni_jax.analysis.repairing.targets import one_hot_targets, raised_targets

__all__ = ["SOLVERS", "HeadEffect", "HeadRepair", "one_hot_targets", "raised_targets", "repair_head"]
