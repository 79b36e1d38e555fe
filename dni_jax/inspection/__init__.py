"""The query: how well every neuron predicts every feature."""

from dni_jax.inspection.baselines import baselines
from dni_jax.inspection.inspect import inspect
from dni_jax.inspection.intervals import intervals
from dni_jax.inspection.lags import lags, peaks
from dni_jax.inspection.ranking import best_per_feature, ranking, serves, top
from dni_jax.inspection.redundancy import redundancy
from dni_jax.inspection.significance import significance
from dni_jax.inspection.sparse import sparse_probe
from dni_jax.inspection.stability import rank_stability, seed_stability
from dni_jax.inspection.store import read_relevance, relevance_table

__all__ = [
    "baselines",
    "best_per_feature",
    "inspect",
    "intervals",
    "lags",
    "peaks",
    "rank_stability",
    "ranking",
    "read_relevance",
    "redundancy",
    "relevance_table",
    "seed_stability",
    "serves",
    "significance",
    "sparse_probe",
    "top",
]
