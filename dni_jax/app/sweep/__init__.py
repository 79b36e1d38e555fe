"""Many runs along axes of settings: planned, trained together, resumed, compared."""

from dni_jax.app.sweep._config import Planned, SweepConfig, read_sweep, sweep_from
from dni_jax.app.sweep._execution import Workers
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._stability import stability_table
from dni_jax.app.sweep._states import RunState, Watch, state_of
from dni_jax.app.sweep._sweep import SweepResult, sweep
from dni_jax.app.sweep._tables import features_table, steps_table, sweep_table

__all__ = [
    "Planned",
    "RunState",
    "SweepConfig",
    "SweepFolder",
    "SweepResult",
    "Watch",
    "Workers",
    "features_table",
    "read_sweep",
    "stability_table",
    "state_of",
    "steps_table",
    "sweep",
    "sweep_from",
    "sweep_table",
]
