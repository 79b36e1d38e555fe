"""Densities of states: bijections to a standard normal (normalizing flows), how to fit them, how plausible a state is.

Pure functions on arrays that know no network. `verification` accepts a `Density` as anything with a `log_prob`.
"""

from dni_jax.lab.densities._autoregressive import Autoregressive, made_masks
from dni_jax.lab.densities._bijection import Bijection, Chain, Inverse, Permute, log_prob, normal_log_prob
from dni_jax.lab.densities._bounds import elbo, free_bits, gaussian_kl, iwae, iwae_estimate, kl_weight
from dni_jax.lab.densities._coupling import Coupling
from dni_jax.lab.densities._fitting import Evaluation, FitResult, fit, fit_reverse
from dni_jax.lab.densities._flows import KINDS, init_flow, log_prob_in_blocks
from dni_jax.lab.densities._linear import PLU, QR, Gaussian, Whiten
from dni_jax.lab.densities._planar import Planar, Sylvester
from dni_jax.lab.densities._plausibility import Density, plausibility, split_states

__all__ = [
    "KINDS",
    "PLU",
    "QR",
    "Autoregressive",
    "Bijection",
    "Chain",
    "Coupling",
    "Density",
    "Evaluation",
    "FitResult",
    "Gaussian",
    "Inverse",
    "Permute",
    "Planar",
    "Sylvester",
    "Whiten",
    "elbo",
    "fit",
    "fit_reverse",
    "free_bits",
    "gaussian_kl",
    "init_flow",
    "iwae",
    "iwae_estimate",
    "kl_weight",
    "log_prob",
    "log_prob_in_blocks",
    "made_masks",
    "normal_log_prob",
    "plausibility",
    "split_states",
]
