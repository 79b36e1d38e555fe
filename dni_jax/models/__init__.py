"""The network: a character LSTM, its training, its states, its texts; each takes any override."""

from dni_jax.models.evaluation import cross_entropy, predict
from dni_jax.models.generation import generate
from dni_jax.models.lstm import CharLSTM
from dni_jax.models.recording import Activations, record
from dni_jax.models.trained import TrainedModel, load, untrained
from dni_jax.models.training import train

__all__ = [
    "Activations",
    "CharLSTM",
    "TrainedModel",
    "cross_entropy",
    "generate",
    "load",
    "predict",
    "record",
    "train",
    "untrained",
]
