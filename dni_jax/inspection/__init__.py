"""The query: how well every neuron predicts every feature."""

from dni_jax.inspection._baselines import baselines
from dni_jax.inspection._data import check_states, folds_of
from dni_jax.inspection._inspect import inspect
from dni_jax.inspection._intervals import intervals
from dni_jax.inspection._lags import lags, peaks
from dni_jax.inspection._library_attribute import find_library
from dni_jax.inspection._ranking import best_per_feature, neuron_profile, ranking, rankings, top
from dni_jax.inspection._redundancy import redundancy
from dni_jax.inspection._significance import significance
from dni_jax.inspection._sparse import sparse_probe
from dni_jax.inspection._stability import rank_stability, seed_stability, spearman
from dni_jax.inspection._store import (
    continue_table,
    dynamics_table,
    read_relevance,
    read_table,
    relevance_table,
    table_columns,
    table_model,
    write_table,
)

__all__ = [
    "baselines",
    "best_per_feature",
    "check_states",
    "continue_table",
    "dynamics_table",
    "find_library",
    "folds_of",
    "inspect",
    "intervals",
    "lags",
    "neuron_profile",
    "peaks",
    "rank_stability",
    "ranking",
    "rankings",
    "read_relevance",
    "read_table",
    "redundancy",
    "relevance_table",
    "seed_stability",
    "significance",
    "sparse_probe",
    "spearman",
    "table_columns",
    "table_model",
    "top",
    "write_table",
]
