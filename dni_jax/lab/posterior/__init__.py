"""How sure the weights are: draws of them near the trained ones, by stochastic gradient MCMC."""

from dni_jax.lab.posterior._averaging import symbol_losses, together
from dni_jax.lab.posterior._beside import compare_uncertainty
from dni_jax.lab.posterior._draws import Posterior, by_step_size, sample_posterior
from dni_jax.lab.posterior._plan import SamplingPlan
from dni_jax.lab.posterior._samplers import SAMPLERS, psgld, santa, sghmc, sgld, sgnht
from dni_jax.lab.posterior._schedules import constant, cyclical, polynomial
from dni_jax.lab.posterior._step_sizes import beside_each_other, step_size_sweep
from dni_jax.lab.posterior._walking import Target, sampler_of, symbols_of

__all__ = [
    "SAMPLERS",
    "Posterior",
    "SamplingPlan",
    "Target",
    "beside_each_other",
    "by_step_size",
    "compare_uncertainty",
    "constant",
    "cyclical",
    "polynomial",
    "psgld",
    "sample_posterior",
    "sampler_of",
    "santa",
    "sghmc",
    "sgld",
    "sgnht",
    "step_size_sweep",
    "symbol_losses",
    "symbols_of",
    "together",
]
