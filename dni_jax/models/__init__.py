"""Character networks, their training, states and texts, each under any override; and states of other networks."""

from dni_jax.models.activations import Activations
from dni_jax.models.arrays import from_arrays
from dni_jax.models.capture import record_module
from dni_jax.models.chunked import ChunkedActivations
from dni_jax.models.evaluation import cross_entropy, predict
from dni_jax.models.exchange import from_flax, from_keras, from_torch, to_flax
from dni_jax.models.generation import generate, generate_each
from dni_jax.models.network import CharNetwork, RecurrentLayer
from dni_jax.models.population import Population, load_population
from dni_jax.models.recording import record
from dni_jax.models.state import Look
from dni_jax.models.stored import StoredActivations, open_states
from dni_jax.models.streamed import StreamedActivations, stream
from dni_jax.models.tokens import from_tokens
from dni_jax.models.trained import TrainedModel, load, untrained
from dni_jax.models.training import train, train_population
from dni_jax.models.weights import LayerWeights, Weights

__all__ = [
    "Activations",
    "CharNetwork",
    "ChunkedActivations",
    "LayerWeights",
    "Look",
    "Population",
    "RecurrentLayer",
    "StoredActivations",
    "StreamedActivations",
    "TrainedModel",
    "Weights",
    "cross_entropy",
    "from_arrays",
    "from_flax",
    "from_keras",
    "from_tokens",
    "from_torch",
    "generate",
    "generate_each",
    "load",
    "load_population",
    "open_states",
    "predict",
    "record",
    "record_module",
    "stream",
    "to_flax",
    "train",
    "train_population",
    "untrained",
]
