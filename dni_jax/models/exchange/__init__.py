"""Networks that other frameworks trained, converted into ours; and ours in Flax's cells. One file per framework."""

from dni_jax.models.exchange._flax import from_flax, to_flax
from dni_jax.models.exchange._imported import ImportedModel
from dni_jax.models.exchange._keras import from_keras
from dni_jax.models.exchange._outcome import Outcome, OutputTask, make_output_task
from dni_jax.models.exchange._reading import Reading
from dni_jax.models.exchange._readout import Readout
from dni_jax.models.exchange._recording import ImportedReader, record_imported
from dni_jax.models.exchange._reference import check_reference
from dni_jax.models.exchange._stack import Stack, Trace
from dni_jax.models.exchange._torch import from_torch
from dni_jax.models.exchange._writing import write_texts

__all__ = [
    "ImportedModel",
    "ImportedReader",
    "Outcome",
    "OutputTask",
    "Reading",
    "Readout",
    "Stack",
    "Trace",
    "check_reference",
    "from_flax",
    "from_keras",
    "from_torch",
    "make_output_task",
    "record_imported",
    "to_flax",
    "write_texts",
]
