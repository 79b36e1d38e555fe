"""A character LSTM, its training, its states, its texts; each takes any override. States of other networks."""

from dni_jax.models.activations import Activations
from dni_jax.models.arrays import from_arrays
from dni_jax.models.capture import record_module
from dni_jax.models.evaluation import cross_entropy, predict
from dni_jax.models.generation import generate
from dni_jax.models.lstm import CharLSTM
from dni_jax.models.recording import record
from dni_jax.models.tokens import from_tokens
from dni_jax.models.trained import TrainedModel, load, untrained
from dni_jax.models.training import train

__all__ = [
    "Activations",
    "CharLSTM",
    "TrainedModel",
    "cross_entropy",
    "from_arrays",
    "from_tokens",
    "generate",
    "load",
    "predict",
    "record",
    "record_module",
    "train",
    "untrained",
]
