"""Character networks, their training, states and texts, each under any override; and states of other networks."""

from dni_jax.models._arrays import from_arrays
from dni_jax.models._capture import record_module
from dni_jax.models._fine_tuning import fine_tune
from dni_jax.models._fingerprints import fingerprint_corpus, fingerprint_network
from dni_jax.models._generation import generate, generate_each
from dni_jax.models._lanes import choose_lane_count, make_lanes
from dni_jax.models._network import (
    Carries,
    CharNetwork,
    RecurrentLayer,
    compute_logits,
    compute_losses,
    input_table,
    network_scan,
    network_step,
    zero_carries,
)
from dni_jax.models._population import Population, load_population
from dni_jax.models._prediction import Predictions, StateGaussian, cross_entropy, predict, states_under
from dni_jax.models._recording import record, record_boundary, record_carries
from dni_jax.models._rollout import Emit, Samples, Text, rollout
from dni_jax.models._state import Evaluation, TrainState
from dni_jax.models._steps import Batch, init_state, make_optimizer, take_steps
from dni_jax.models._stored import StoredActivations, open_states
from dni_jax.models._streamed import StreamedActivations, stream
from dni_jax.models._tokens import from_tokens
from dni_jax.models._trained import TrainedModel, load
from dni_jax.models._training import make_batches, train, train_population
from dni_jax.models._weights import LayerWeights, LinearWeights, Weights, named_arrays
from dni_jax.models.cells import Carry
from dni_jax.models.exchange import (
    ImportedModel,
    Outcome,
    OutputTask,
    Reading,
    Readout,
    Trace,
    check_reference,
    from_flax,
    from_keras,
    from_torch,
    make_output_task,
    to_flax,
)
from dni_jax.settings import TrainConfig, TrainPlan
from dni_jax.states import Activations, ChunkedActivations, as_activations

__all__ = [
    "Activations",
    "Batch",
    "Carries",
    "Carry",
    "CharNetwork",
    "ChunkedActivations",
    "Emit",
    "Evaluation",
    "ImportedModel",
    "LayerWeights",
    "LinearWeights",
    "Outcome",
    "OutputTask",
    "Population",
    "Predictions",
    "Reading",
    "Readout",
    "RecurrentLayer",
    "Samples",
    "StateGaussian",
    "StoredActivations",
    "StreamedActivations",
    "Text",
    "Trace",
    "TrainConfig",
    "TrainPlan",
    "TrainState",
    "TrainedModel",
    "Weights",
    "as_activations",
    "check_reference",
    "choose_lane_count",
    "compute_logits",
    "compute_losses",
    "cross_entropy",
    "fine_tune",
    "fingerprint_corpus",
    "fingerprint_network",
    "from_arrays",
    "from_flax",
    "from_keras",
    "from_tokens",
    "from_torch",
    "generate",
    "generate_each",
    "init_state",
    "input_table",
    "load",
    "load_population",
    "make_batches",
    "make_lanes",
    "make_optimizer",
    "make_output_task",
    "named_arrays",
    "network_scan",
    "network_step",
    "open_states",
    "predict",
    "record",
    "record_boundary",
    "record_carries",
    "record_module",
    "rollout",
    "states_under",
    "stream",
    "take_steps",
    "to_flax",
    "train",
    "train_population",
    "zero_carries",
]
