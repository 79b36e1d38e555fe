"""Training in random subspaces of the weights: how many dimensions a problem needs."""

from dni_jax.analysis.subspaces.drawing import PROJECTIONS, projection_bytes, random_projection
from dni_jax.analysis.subspaces.hadamard import walsh_hadamard
from dni_jax.analysis.subspaces.intrinsic import intrinsic_dimension
from dni_jax.analysis.subspaces.memory import free_bytes
from dni_jax.analysis.subspaces.probes import probe_dimension
from dni_jax.analysis.subspaces.result import IntrinsicDimension
from dni_jax.analysis.subspaces.training import SubspaceTrainer

__all__ = [
    "PROJECTIONS",
    "IntrinsicDimension",
    "SubspaceTrainer",
    "free_bytes",
    "intrinsic_dimension",
    "probe_dimension",
    "projection_bytes",
    "random_projection",
    "walsh_hadamard",
]
