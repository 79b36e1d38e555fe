"""Which neurons of a recurrent network know X, how sure are we, and does the network use it?"""

from dni_jax import languages
from dni_jax.config import TrainConfig
from dni_jax.corpora import Corpus
from dni_jax.features import FeatureLibrary, Labels, char_feature, feature
from dni_jax.interventions import ablate, clamp, clamp_to_labels, patch
from dni_jax.languages import Language
from dni_jax.models import Activations, TrainedModel, generate, load, record, train
