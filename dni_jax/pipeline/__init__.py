"""The main job and its stages, each of which works on what the one before has left in a run's folder."""

from dni_jax.pipeline.inspecting import inspect_stage, inspected_before
from dni_jax.pipeline.job import Job
from dni_jax.pipeline.run import RunResult, run
from dni_jax.pipeline.training import train_stage
from dni_jax.pipeline.verifying import verify_stage

__all__ = ["Job", "RunResult", "inspect_stage", "inspected_before", "run", "train_stage", "verify_stage"]
