"""How sure the weights are: draws of them near the trained ones, by stochastic gradient MCMC."""

from dni_jax.lab.posterior._averaging import combine_losses, predictive_losses
from dni_jax.lab.posterior._beside import compare_uncertainty
from dni_jax.lab.posterior._draws import Posterior, sample_chains, sample_posterior
from dni_jax.lab.posterior._plan import SamplerConfig
from dni_jax.lab.posterior._samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.lab.posterior._schedules import constant, cyclical, polynomial
from dni_jax.lab.posterior._step_sizes import step_size_sweep, step_size_table
from dni_jax.lab.posterior._walking import Target, count_symbols, make_sampler

__all__ = [
    "SAMPLERS",
    "Posterior",
    "SamplerConfig",
    "Target",
    "combine_losses",
    "compare_uncertainty",
    "constant",
    "count_symbols",
    "cyclical",
    "make_sampler",
    "polynomial",
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
