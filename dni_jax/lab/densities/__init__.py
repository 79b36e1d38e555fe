"""Densities of states: bijections to a standard normal (normalizing flows), how they are fitted, what is plausible.

Pure functions on arrays; they know no network, so that `verification` can ask them about overridden states.
"""

from dni_jax.lab.densities._bijection import Bijection, log_prob, normal_log_prob
from dni_jax.lab.densities._bounds import elbo, free_bits, gaussian_kl, iwae, iwae_estimate, kl_weight
from dni_jax.lab.densities._compose import Chain, Inverse, Permute
from dni_jax.lab.densities._coupling import Coupling
from dni_jax.lab.densities._elementwise import Standardise
from dni_jax.lab.densities._evaluating import log_prob_in_blocks
from dni_jax.lab.densities._fitting import Evaluation, FitResult, fit, fit_reverse
from dni_jax.lab.densities._gaussian import Gaussian, Whiten
from dni_jax.lab.densities._kinds import KINDS, init_flow
from dni_jax.lab.densities._linear import PLU, QR
from dni_jax.lab.densities._planar import Planar
from dni_jax.lab.densities._plausibility import Density, plausibility
from dni_jax.lab.densities._splitting import split_states
from dni_jax.lab.densities._sylvester import Sylvester

__all__ = [
    "KINDS",
    "PLU",
    "QR",
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
    "Standardise",
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
    "normal_log_prob",
    "plausibility",
    "split_states",
]
