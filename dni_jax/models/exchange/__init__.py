"""Networks that other frameworks trained, taken over into ours; and ours in Flax's cells. One file per framework."""

from dni_jax.models.exchange._flax import from_flax, to_flax
from dni_jax.models.exchange._keras import from_keras
from dni_jax.models.exchange._torch import from_torch

__all__ = ["from_flax", "from_keras", "from_torch", "to_flax"]
