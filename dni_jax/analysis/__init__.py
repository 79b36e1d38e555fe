"""More questions to the same network and states: how sure its weights are."""

from dni_jax.analysis.beside import beside
from dni_jax.analysis.posterior import Posterior, posterior
from dni_jax.analysis.samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.analysis.schedules import constant, cyclical, polynomial
from dni_jax.analysis.step_sizes import step_size_sweep

__all__ = [
    "SAMPLERS",
    "Posterior",
    "beside",
    "constant",
    "cyclical",
    "polynomial",
    "posterior",
    "psgld",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "step_size_sweep",
]
