"""Probes: what a single neuron knows about a feature, as pure functions on arrays.

`ProbeSpec` says what is fitted and scored; `score_neurons` does it for arrays, `score_stream` for chunks. Both call an
`Engine`: three functions ``init(spec, sample)``, ``update(stats, hidden, labels, folds)`` and ``score(stats)``.
"""

from dni_jax.lazy import import_on_use
from dni_jax.probes._bootstrap import bootstrap_auc, bootstrap_held_out, string_weights, weighted_auc, weighted_pearson
from dni_jax.probes._check import check_hidden
from dni_jax.probes._engine import Engine, Sample, Scores
from dni_jax.probes._folds import make_folds
from dni_jax.probes._joint import score_jointly, select_neurons
from dni_jax.probes._nulls import NullSpec
from dni_jax.probes._permutation import benjamini_hochberg, permutation_test
from dni_jax.probes._score import accumulate, choose_engine, direct_scores, fit_neurons, score_neurons, score_stream
from dni_jax.probes._sets import score_sets
from dni_jax.probes._spec import ProbeSpec, as_spec
from dni_jax.probes._stopping import fold_margin

__all__ = [
    "Engine",
    "NullSpec",
    "ProbeSpec",
    "Sample",
    "Scores",
    "accumulate",
    "as_spec",
    "benjamini_hochberg",
    "bootstrap_auc",
    "bootstrap_held_out",
    "check_hidden",
    "choose_engine",
    "direct_scores",
    "fit_neurons",
    "fold_margin",
    "make_folds",
    "permutation_test",
    "reference",
    "score_jointly",
    "score_neurons",
    "score_sets",
    "score_stream",
    "select_neurons",
    "string_weights",
    "weighted_auc",
    "weighted_pearson",
]

# The oracle needs scikit-learn.
__getattr__, __dir__ = import_on_use(__name__, {"reference": __name__})
