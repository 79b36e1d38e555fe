"""The causal verdict: what happens to the network when the neurons that know a feature are overridden."""

from dni_jax.verification.kinds import INTERVENTIONS
from dni_jax.verification.measures import MEASURES
from dni_jax.verification.verify import verify
from dni_jax.verification.writing import TextMeasures, measure_texts, symbol_shares

__all__ = ["INTERVENTIONS", "MEASURES", "TextMeasures", "measure_texts", "symbol_shares", "verify"]
