"""The causal verdict: what happens to the network when the neurons that know a feature are overridden."""

from dni_jax.verification.verify import MEASURES, verify
from dni_jax.verification.writing import symbol_shares

__all__ = ["MEASURES", "symbol_shares", "verify"]
