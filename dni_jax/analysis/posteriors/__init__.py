"""How sure the weights are: draws of them near the trained ones, by stochastic gradient MCMC."""

from dni_jax.analysis.posteriors.beside import beside
from dni_jax.analysis.posteriors.draws import Posterior, posterior
from dni_jax.analysis.posteriors.samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.analysis.posteriors.schedules import constant, cyclical, polynomial
from dni_jax.analysis.posteriors.step_sizes import step_size_sweep

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
