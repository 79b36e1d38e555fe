"""Character networks, their training, states and texts, each under any override; and states of other networks."""

from dni_jax.models._activations import Activations
from dni_jax.models._ahead import ahead
from dni_jax.models._arrays import from_arrays
from dni_jax.models._capture import record_module
from dni_jax.models._chunked import ChunkedActivations
from dni_jax.models._evaluation import Predictions, StateGaussian, cross_entropy, losses_of, predict
from dni_jax.models._exchange import from_flax, from_keras, from_torch, to_flax
from dni_jax.models._fingerprints import of_corpus
from dni_jax.models._generation import generate, generate_each
from dni_jax.models._lanes import lane_count, lay_out
from dni_jax.models._network import (
    Carries,
    CharNetwork,
    RecurrentLayer,
    network_scan,
    network_step,
    readout,
    table_of,
    zero_carries,
)
from dni_jax.models._population import Population, load_population
from dni_jax.models._recording import record
from dni_jax.models._state import Evaluation, State
from dni_jax.models._steps import Batch, first_state, optimizer_of, take_steps
from dni_jax.models._stored import StoredActivations, open_states
from dni_jax.models._streamed import StreamedActivations, stream
from dni_jax.models._tokens import from_tokens
from dni_jax.models._trained import TrainedModel, load, untrained, with_weights
from dni_jax.models._training import batches_of, train, train_population
from dni_jax.models._weights import LayerWeights, Weights, named_arrays
from dni_jax.models.cells import Carry
from dni_jax.settings import TrainConfig, TrainPlan

__all__ = [
    "Activations",
    "Batch",
    "Carries",
    "Carry",
    "CharNetwork",
    "ChunkedActivations",
    "Evaluation",
    "LayerWeights",
    "Population",
    "Predictions",
    "RecurrentLayer",
    "State",
    "StateGaussian",
    "StoredActivations",
    "StreamedActivations",
    "TrainConfig",
    "TrainPlan",
    "TrainedModel",
    "Weights",
    "ahead",
    "batches_of",
    "cross_entropy",
    "first_state",
    "from_arrays",
    "from_flax",
    "from_keras",
    "from_tokens",
    "from_torch",
    "generate",
    "generate_each",
    "lane_count",
    "lay_out",
    "load",
    "load_population",
    "losses_of",
    "named_arrays",
    "network_scan",
    "network_step",
    "of_corpus",
    "open_states",
    "optimizer_of",
    "predict",
    "readout",
    "record",
    "record_module",
    "stream",
    "table_of",
    "take_steps",
    "to_flax",
    "train",
    "train_population",
    "untrained",
    "with_weights",
    "zero_carries",
]
