"""Training in random subspaces of the weights: how many dimensions a problem needs."""

from dni_jax.lab.intrinsic_dimension._drawing import PROJECTIONS, projection_bytes, random_projection
from dni_jax.lab.intrinsic_dimension._hadamard import walsh_hadamard
from dni_jax.lab.intrinsic_dimension._intrinsic import measure_dimension
from dni_jax.lab.intrinsic_dimension._memory import free_bytes
from dni_jax.lab.intrinsic_dimension._probes import measure_probe_dimension
from dni_jax.lab.intrinsic_dimension._result import IntrinsicDimension
from dni_jax.lab.intrinsic_dimension._training import SubspaceTrainer

__all__ = [
    "PROJECTIONS",
    "IntrinsicDimension",
    "SubspaceTrainer",
    "free_bytes",
    "measure_dimension",
    "measure_probe_dimension",
    "projection_bytes",
    "random_projection",
    "walsh_hadamard",
]
