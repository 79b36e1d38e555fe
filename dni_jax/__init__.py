"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""  # noqa: D400

from dni_jax import languages
from dni_jax.config import TrainConfig
from dni_jax.corpora import Corpus
from dni_jax.features import (
    CharacterWindow,
    Feature,
    FeatureLibrary,
    Labels,
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
from dni_jax.models import Activations, TrainedModel, generate, load, record, train
from dni_jax.probes import make_folds, permutation_test, reference, score_neurons
from dni_jax.verification import verify

__all__ = [
    "Activations",
    "CharacterWindow",
    "Corpus",
    "Feature",
    "FeatureLibrary",
    "Labels",
    "Language",
    "TrainConfig",
    "TrainedModel",
    "ablate",
    "baselines",
    "char_feature",
    "clamp",
    "clamp_to_labels",
    "confounders",
    "control_task",
    "feature",
    "generate",
    "inspect",
    "intervals",
    "lags",
    "languages",
    "load",
    "make_folds",
    "patch",
    "permutation_test",
    "predictor_feature",
    "rank_stability",
    "record",
    "redundancy",
    "reference",
    "regex_feature",
    "score_neurons",
    "seed_stability",
    "serves",
    "significance",
    "sparse_probe",
    "top",
    "trace",
    "train",
    "verify",
]
