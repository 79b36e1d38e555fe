"""The query: how well every neuron predicts every feature."""

from dni_jax.inspection.baselines import baselines
from dni_jax.inspection.inspect import inspect
from dni_jax.inspection.intervals import intervals
from dni_jax.inspection.ranking import best_per_feature, ranking, top
from dni_jax.inspection.significance import significance
from dni_jax.inspection.store import read_relevance, relevance_table

__all__ = [
    "baselines",
    "best_per_feature",
    "inspect",
    "intervals",
    "ranking",
    "read_relevance",
    "relevance_table",
    "significance",
    "top",
]
