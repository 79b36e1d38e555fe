"""Densities of states: bijections to a standard normal (normalizing flows), how they are fitted, what is plausible.

Pure functions on arrays; they know no network, so that `verification` can ask them about overridden states.
"""

from dni_jax.lab.densities._bijection import Bijection, log_prob, normal_log_prob
from dni_jax.lab.densities._bounds import elbo, free_bits, gaussian_kl, iwae, iwae_of, kl_weight
from dni_jax.lab.densities._compose import Chain, Inverted, Permute
from dni_jax.lab.densities._coupling import Coupling
from dni_jax.lab.densities._elementwise import Standardise
from dni_jax.lab.densities._evaluating import log_probs
from dni_jax.lab.densities._fitting import Evaluation, Fitted, fit, fit_reverse
from dni_jax.lab.densities._gaussian import Moments, Whiten
from dni_jax.lab.densities._kinds import KINDS, start_flow
from dni_jax.lab.densities._linear import PLU, QR
from dni_jax.lab.densities._planar import Planar
from dni_jax.lab.densities._plausibility import Density, plausibility
from dni_jax.lab.densities._splitting import groups_of, split
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
    "Fitted",
    "Inverted",
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
    "groups_of",
    "iwae",
    "iwae_of",
    "kl_weight",
    "log_prob",
    "log_probs",
    "normal_log_prob",
    "plausibility",
    "split",
    "start_flow",
]
