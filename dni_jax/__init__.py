"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""  # noqa: D400

from typing import TYPE_CHECKING, Any

from dni_jax import languages
from dni_jax.analysis import attribute, hybrid, intrinsic_dimension, posterior, repair, repair_head
from dni_jax.config import TrainConfig
from dni_jax.corpora import Corpus
from dni_jax.densities import plausibility
from dni_jax.devices import use_all_cores
from dni_jax.features import (
    CharacterWindow,
    Feature,
    FeatureLibrary,
    Labels,
    LazyLabels,
    char_feature,
    confounders,
    control_task,
    feature,
    predictor_feature,
    regex_feature,
    trace,
)
from dni_jax.inspection import (
    baselines,
    inspect,
    intervals,
    lags,
    rank_stability,
    redundancy,
    seed_stability,
    serves,
    significance,
    sparse_probe,
    top,
)
from dni_jax.interventions import ablate, clamp, clamp_to_labels, patch
from dni_jax.languages import Language
from dni_jax.models import (
    Activations,
    Population,
    StoredActivations,
    StreamedActivations,
    TrainedModel,
    from_arrays,
    from_flax,
    from_keras,
    from_tokens,
    from_torch,
    generate,
    generate_each,
    load,
    load_population,
    open_states,
    record,
    record_module,
    stream,
    train,
    train_population,
)
from dni_jax.probes import make_folds, permutation_test, reference, score_neurons
from dni_jax.querying import Runs, open_runs
from dni_jax.verification import measure_texts, verify

if TYPE_CHECKING:
    from dni_jax import plot

__all__ = [
    "Activations",
    "CharacterWindow",
    "Corpus",
    "Feature",
    "FeatureLibrary",
    "Labels",
    "Language",
    "LazyLabels",
    "Population",
    "Runs",
    "StoredActivations",
    "StreamedActivations",
    "TrainConfig",
    "TrainedModel",
    "ablate",
    "attribute",
    "baselines",
    "char_feature",
    "clamp",
    "clamp_to_labels",
    "confounders",
    "control_task",
    "feature",
    "from_arrays",
    "from_flax",
    "from_keras",
    "from_tokens",
    "from_torch",
    "generate",
    "generate_each",
    "hybrid",
    "inspect",
    "intervals",
    "intrinsic_dimension",
    "lags",
    "languages",
    "load",
    "load_population",
    "make_folds",
    "measure_texts",
    "open_runs",
    "open_states",
    "patch",
    "permutation_test",
    "plausibility",
    "plot",
    "posterior",
    "predictor_feature",
    "rank_stability",
    "record",
    "record_module",
    "redundancy",
    "reference",
    "regex_feature",
    "repair",
    "repair_head",
    "score_neurons",
    "seed_stability",
    "serves",
    "significance",
    "sparse_probe",
    "stream",
    "top",
    "trace",
    "train",
    "train_population",
    "use_all_cores",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import the drawings, and with them matplotlib, when they are first asked for."""
    if name != "plot":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("dni_jax.plot")
