"""Many runs along axes of settings: planned, trained together, resumed, compared."""

from dni_jax.sweeping.config import Planned, SweepConfig, read_sweep, sweep_from

__all__ = ["Planned", "SweepConfig", "read_sweep", "sweep_from"]
