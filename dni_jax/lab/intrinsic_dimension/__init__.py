"""The intrinsic dimension of a problem or a feature: how few random directions suffice to solve or decode it."""

from dni_jax.lab.intrinsic_dimension._dimension import SubspaceSettings, measure_dimension
from dni_jax.lab.intrinsic_dimension._probe_dimension import measure_probe_dimension
from dni_jax.lab.intrinsic_dimension._projections import projection_bytes, random_projection
from dni_jax.lab.intrinsic_dimension._result import CompressedParams, IntrinsicDimension

__all__ = [
    "CompressedParams",
    "IntrinsicDimension",
    "SubspaceSettings",
    "measure_dimension",
    "measure_probe_dimension",
    "projection_bytes",
    "random_projection",
]
