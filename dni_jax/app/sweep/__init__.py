"""Sweeps: many runs along axes of settings, trained together, resumed and compared."""

from dni_jax.app.sweep._config import PlannedRun, SweepConfig, parse_sweep, read_sweep
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._states import RunMonitor, RunState, read_state
from dni_jax.app.sweep._sweep import SweepResult, sweep
from dni_jax.app.sweep._tables import features_table, stability_table, steps_table, sweep_table
from dni_jax.app.sweep._workers import Workers

__all__ = [
    "PlannedRun",
    "RunMonitor",
    "RunState",
    "SweepConfig",
    "SweepFolder",
    "SweepResult",
    "Workers",
    "features_table",
    "parse_sweep",
    "read_state",
    "read_sweep",
    "stability_table",
    "steps_table",
    "sweep",
    "sweep_table",
]
