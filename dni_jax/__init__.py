"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""  # noqa: D400

from dni_jax import languages
from dni_jax.config import TrainConfig
from dni_jax.corpora import Corpus
from dni_jax.devices import use_all_cores
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
from dni_jax.inspection import inspect, top
from dni_jax.interventions import ablate, clamp, clamp_to_labels, patch
from dni_jax.languages import Language
from dni_jax.models import (
    Activations,
    Population,
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
    record,
    record_module,
    train,
    train_population,
)
from dni_jax.probes import make_folds, reference, score_neurons
from dni_jax.verification import measure_texts, verify

__all__ = [
    "Activations",
    "CharacterWindow",
    "Corpus",
    "Feature",
    "FeatureLibrary",
    "Labels",
    "Language",
    "Population",
    "TrainConfig",
    "TrainedModel",
    "ablate",
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
    "inspect",
    "languages",
    "load",
    "load_population",
    "make_folds",
    "measure_texts",
    "patch",
    "predictor_feature",
    "record",
    "record_module",
    "reference",
    "regex_feature",
    "score_neurons",
    "top",
    "trace",
    "train",
    "train_population",
    "use_all_cores",
    "verify",
]
