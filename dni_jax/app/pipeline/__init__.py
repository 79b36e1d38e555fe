"""A run and its stages: training, inspection, verification, further analyses, report.

Each stage works on what the stages before it have written into the run's folder.
"""

from dni_jax.app.pipeline._analysing import (
    attribute_stage,
    dimension_stage,
    lag_stage,
    posterior_stage,
    program_stage,
    rank_attributed,
    repair_stage,
)
from dni_jax.app.pipeline._inspecting import RANK_BY, inspect_stage, load_inspection, load_relevance
from dni_jax.app.pipeline._job import Job
from dni_jax.app.pipeline._run import (
    RunResult,
    finish_run,
    make_result,
    read_findings,
    report_stage,
    run,
    start_run,
    write_reports,
)
from dni_jax.app.pipeline._training import copy_network, train_stage, train_together
from dni_jax.app.pipeline._verifying import verify_stage

__all__ = [
    "RANK_BY",
    "Job",
    "RunResult",
    "attribute_stage",
    "copy_network",
    "dimension_stage",
    "finish_run",
    "inspect_stage",
    "lag_stage",
    "load_inspection",
    "load_relevance",
    "make_result",
    "posterior_stage",
    "program_stage",
    "rank_attributed",
    "read_findings",
    "repair_stage",
    "report_stage",
    "run",
    "start_run",
    "train_stage",
    "train_together",
    "verify_stage",
    "write_reports",
]
