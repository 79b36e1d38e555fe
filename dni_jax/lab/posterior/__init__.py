"""How uncertain a network's weights are: draws near the trained ones, by stochastic gradient MCMC."""

from dni_jax.lab.posterior._chains import SamplerConfig, count_symbols
from dni_jax.lab.posterior._comparisons import compare_uncertainty, step_size_sweep, step_size_table
from dni_jax.lab.posterior._posterior import Posterior, sample_chains, sample_posterior
from dni_jax.lab.posterior._prediction import PredictiveLoss, combine_losses, predictive_losses
from dni_jax.lab.posterior._samplers import SAMPLERS, posterior_gradient, psgld, santa, sghmc, sgld, sgnht
from dni_jax.lab.posterior._schedules import constant, cyclical, polynomial

__all__ = [
    "SAMPLERS",
    "Posterior",
    "PredictiveLoss",
    "SamplerConfig",
    "combine_losses",
    "compare_uncertainty",
    "constant",
    "count_symbols",
    "cyclical",
    "polynomial",
    "posterior_gradient",
    "predictive_losses",
    "psgld",
    "sample_chains",
    "sample_posterior",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "step_size_sweep",
    "step_size_table",
]
