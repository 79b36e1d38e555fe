"""The main job and its stages, each of which works on what the one before has left in a run's folder."""

from dni_jax.app.pipeline._analysing import attribute_stage, best_by_lag, dimension_stage, posterior_stage, repair_stage
from dni_jax.app.pipeline._inspecting import BY, inspect_stage, inspected_before, relevance_before
from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._reporting import report_all, report_stage
from dni_jax.app.pipeline._run import RunResult, begun, complete, read_findings, result_of, run
from dni_jax.app.pipeline._together import share_network, train_together
from dni_jax.app.pipeline._training import train_stage
from dni_jax.app.pipeline._verifying import verify_stage

__all__ = [
    "BY",
    "Job",
    "RunResult",
    "attribute_stage",
    "begun",
    "best_by_lag",
    "complete",
    "dimension_stage",
    "inspect_stage",
    "inspected_before",
    "posterior_stage",
    "read_findings",
    "relevance_before",
    "repair_stage",
    "report_all",
    "report_stage",
    "result_of",
    "run",
    "share_network",
    "train_stage",
    "train_together",
    "verify_stage",
]
