"""Many runs along axes of settings: planned, trained together, resumed, compared."""

from dni_jax.sweeping.config import Planned, SweepConfig, read_sweep, sweep_from
from dni_jax.sweeping.execution import Workers
from dni_jax.sweeping.folder import SweepFolder
from dni_jax.sweeping.stability import stability_table
from dni_jax.sweeping.sweep import SweepResult, sweep
from dni_jax.sweeping.tables import features_table, steps_table, sweep_table

__all__ = [
    "Planned",
    "SweepConfig",
    "SweepFolder",
    "SweepResult",
    "Workers",
    "features_table",
    "read_sweep",
    "stability_table",
    "steps_table",
    "sweep",
    "sweep_from",
    "sweep_table",
]
