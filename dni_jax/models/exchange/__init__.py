"""Networks that other frameworks trained, taken over into ours; and ours in Flax's cells. One file per framework."""

from dni_jax.models.exchange._flax import from_flax, to_flax
from dni_jax.models.exchange._imported import (
    ImportedModel,
    check_reference,
    probabilities_of,
    record_imported,
    types_of_outputs,
)
from dni_jax.models.exchange._keras import from_keras
from dni_jax.models.exchange._reading import Reading, Rows, initial_carries_of, iterate_rows
from dni_jax.models.exchange._readout import Readout
from dni_jax.models.exchange._stack import Stack, Trace
from dni_jax.models.exchange._torch import from_torch

__all__ = [
    "ImportedModel",
    "Reading",
    "Readout",
    "Rows",
    "Stack",
    "Trace",
    "check_reference",
    "from_flax",
    "from_keras",
    "from_torch",
    "initial_carries_of",
    "iterate_rows",
    "probabilities_of",
    "record_imported",
    "to_flax",
    "types_of_outputs",
]
