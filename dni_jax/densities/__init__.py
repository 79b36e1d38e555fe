"""Densities of states: bijections to a standard normal (normalizing flows), how they are fitted, what is plausible.

Pure functions on arrays; they know no network, so that `verification` can ask them about overridden states.
"""

from dni_jax.densities.bijection import Bijection, log_prob, normal_log_prob
from dni_jax.densities.bounds import elbo, free_bits, gaussian_kl, iwae, iwae_of, kl_weight
from dni_jax.densities.compose import Chain, Inverted, Permute
from dni_jax.densities.coupling import Coupling
from dni_jax.densities.elementwise import Standardise
from dni_jax.densities.fitting import Fitted, Look, fit, fit_reverse
from dni_jax.densities.gaussian import Moments, Whiten
from dni_jax.densities.kinds import KINDS, start_flow
from dni_jax.densities.linear import PLU, QR
from dni_jax.densities.planar import Planar
from dni_jax.densities.plausibility import Density, plausibility
from dni_jax.densities.sylvester import Sylvester

__all__ = [
    "KINDS",
    "PLU",
    "QR",
    "Bijection",
    "Chain",
    "Coupling",
    "Density",
    "Fitted",
    "Inverted",
    "Look",
    "Moments",
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
    "iwae",
    "iwae_of",
    "kl_weight",
    "log_prob",
    "normal_log_prob",
    "plausibility",
    "start_flow",
]
