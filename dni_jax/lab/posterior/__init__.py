"""How uncertain a network's weights are: draws near the trained ones, by stochastic gradient MCMC."""

from dni_jax.lab.posterior._chains import SamplerConfig, count_symbols
from dni_jax.lab.posterior._comparisons import compare_uncertainty, step_size_sweep, step_size_table
from dni_jax.lab.posterior._diagnostics import Convergence, convergence
from dni_jax.lab.posterior._posterior import Posterior, sample_chains, sample_posterior
from dni_jax.lab.posterior._prediction import PredictiveLoss, combine_losses, predictive_losses
from dni_jax.lab.posterior._samplers import SAMPLERS, dropconnect, posterior_gradient, psgld, santa, sghmc, sgld, sgnht
from dni_jax.lab.posterior._schedules import constant, cyclical, polynomial
from dni_jax.lab.posterior._uncertainty import Uncertainty, measure_uncertainty
from dni_jax.lab.posterior._weights import WeightDraws, sample_weights

__all__ = [
    "SAMPLERS",
    "Convergence",
    "Posterior",
    "PredictiveLoss",
    "SamplerConfig",
    "Uncertainty",
    "WeightDraws",
    "combine_losses",
    "compare_uncertainty",
    "constant",
    "convergence",
    "count_symbols",
    "cyclical",
    "dropconnect",
    "measure_uncertainty",
    "polynomial",
    "posterior_gradient",
    "predictive_losses",
    "psgld",
    "sample_chains",
    "sample_posterior",
    "sample_weights",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "step_size_sweep",
    "step_size_table",
]
