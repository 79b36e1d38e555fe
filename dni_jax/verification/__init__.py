"""The causal verdict: what happens to the network when the neurons that know a feature are overridden."""

from dni_jax.verification._measures import MEASURES
from dni_jax.verification._monitor import Monitor, Watched, monitor, written_corpus
from dni_jax.verification._overrides import INTERVENTIONS, draw_variance_matched, variance_strata
from dni_jax.verification._replace import Replacement, replace
from dni_jax.verification._verify import verify
from dni_jax.verification._writing import TextMeasures, measure_texts, symbol_shares

__all__ = [
    "INTERVENTIONS",
    "MEASURES",
    "Monitor",
    "Replacement",
    "TextMeasures",
    "Watched",
    "draw_variance_matched",
    "measure_texts",
    "monitor",
    "replace",
    "symbol_shares",
    "variance_strata",
    "verify",
    "written_corpus",
]
