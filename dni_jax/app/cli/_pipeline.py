"""The commands that make a run: all stages at once, or one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from dni_jax.app.config import InspectConfig, OutputConfig, RunConfig, VerifyConfig
from dni_jax.settings import Described

if TYPE_CHECKING:
    from dni_jax.app.cli._console import Console
    from dni_jax.app.pipeline import Job, RunResult

Run = Positional[Annotated[Path, arg(metavar="RUN")]]
ConfigFile = Described[Annotated[Path | None, arg(name="config", metavar="FILE")]]


def run(config: RunConfig, config_file: ConfigFile = None, output: OutputConfig = OutputConfig()) -> None:  # noqa: B008
    """Train a network on a language, find the neurons that encode its features, and test whether the network uses them.

    Examples
    --------
        dni run parentheses
        dni run arithmetic --hidden 64 --out runs/small
        dni run --grammar json.lark --start value --text data --glob '**/*.json'
        dni run c --text linux-6.1.tar.xz --glob '**/lib/**/*.c'
        dni run --config runs/small/config.toml --seed 1
        dni run --resume
        srun dni run parentheses --distributed --out runs/large

    The results are a table on the terminal, a report (report.html) and the files of the run's folder. Use --resume to
    continue a run that was stopped.

    Args:
        config: Settings of the run.
        config_file: A file with settings, such as the config.toml of a run. Flags take precedence.
        output: What to print.
    """
    del config_file  # `main` has read it for the defaults of the flags
    enable_compilation_cache()
    from dni_jax.app import distributed, pipeline
    from dni_jax.app.cli._console import open_console

    with distributed.connect(config), open_console(output) as console:
        _show_result(console, pipeline.run(config, console.log))


def train(config: RunConfig, config_file: ConfigFile = None, output: OutputConfig = OutputConfig()) -> None:  # noqa: B008
    """Train a network on a language, the first stage of a run. Continue with `dni inspect RUN`.

    Examples
    --------
        dni train parentheses --hidden 64 --out runs/small
        dni train --resume --out runs/small

    Args:
        config: Settings of the run. Those of later stages are saved for them.
        config_file: A file with settings, such as the config.toml of a run. Flags take precedence.
        output: What to print.
    """
    del config_file
    enable_compilation_cache()
    from dni_jax.app import distributed
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.pipeline import start_run, train_stage

    with distributed.connect(config), open_console(output) as console:
        with start_run(config, console.log) as job:
            model = train_stage(job)
        folder = job.folder
        losses = {name: value for name, value in folder.summary().items() if name in ("loss", "ideal", "unigram")}
        result = {"run": folder.path, "neurons": model.n_neurons, **losses}
        console.show(result, "", f"Network: {folder.model}; next: dni inspect {folder.path}")


def inspect(
    run: Run,
    settings: InspectConfig,
    force: bool = False,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Score all neurons of a trained network on all features, with p-values and baselines.

    Examples
    --------
        dni inspect runs/parentheses
        dni inspect runs/parentheses --probe logistic --folds 10 --force

    Settings default to those that the run was started with.

    Args:
        run: The folder of a run with a trained network.
        settings: Settings of the inspection.
        force: Replace existing scores and everything that was computed from them.
        output: What to print.
    """
    enable_compilation_cache()
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.pipeline import inspect_stage, make_result, read_findings, report_stage

    with open_console(output) as console, _open_stage(run, "inspect", force, console, inspect=settings) as job:
        inspect_stage(job)
        report_stage(job.folder)
        _show_result(console, make_result(job, read_findings(job.folder.findings)))


def verify(
    run: Run,
    settings: VerifyConfig,
    force: bool = False,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Override the top neurons of every feature, and compare the effect with that of random neurons.

    Examples
    --------
        dni verify runs/parentheses
        dni verify runs/parentheses --headlines digit depth=4 --random-sets 199 --force

    Settings default to those that the run was started with.

    Args:
        run: The folder of an inspected run.
        settings: Settings of the verification.
        force: Replace existing effects.
        output: What to print.
    """
    enable_compilation_cache()
    from dni_jax.app.cli._console import open_console
    from dni_jax.app.pipeline import load_inspection, make_result, report_stage, verify_stage

    with open_console(output) as console, _open_stage(run, "verify", force, console, verify=settings) as job:
        findings = verify_stage(job, load_inspection(job))
        report_stage(job.folder)
        job.folder.update_summary(finished=True)
        _show_result(console, make_result(job, findings))


def analyse(
    run: Run,
    what: tuple[Literal["attribution", "posterior", "dimension", "programs", "lags", "repair"], ...] = (
        "attribution",
        "posterior",
        "dimension",
        "programs",
        "lags",
        "repair",
    ),
    draws: int = 20,
    step_size: float = 1e-4,
    output: OutputConfig = OutputConfig(),  # noqa: B008
) -> None:
    """Analyse an inspected run further: attribution, certainty of the ranking, dimension, programs, lags, repair.

    Examples
    --------
        dni analyse runs/parentheses
        dni analyse runs/parentheses --what posterior --draws 50
        dni analyse runs/parentheses --what dimension repair
        dni analyse runs/parentheses --what programs lags

    Results are added to the run's folder (attribution.parquet, posterior.parquet, step_sizes.csv, dimension.parquet,
    programs.parquet, monitor.parquet, lags.parquet, repair.parquet) and to its report. Programs are the language's
    parser, or a count of brackets, which replaces neurons and is compared with them.
    A repair needs a language that detects errors in text, as sampled ones do.

    Args:
        run: The folder of an inspected run.
        what: The analyses to run.
        draws: Number of networks to draw near the trained one.
        step_size: Step size of the draws, which determines most of their spread. Other step sizes are compared.
        output: What to print.
    """
    if draws < 2 or not step_size > 0:
        raise ValueError(f"expected at least 2 draws and a step size above 0, got {draws} and {step_size}")
    enable_compilation_cache()
    from dni_jax.app import pipeline
    from dni_jax.app.cli._console import open_console

    with open_console(output) as console:
        with pipeline.Job.open(run, console.log, hold=True) as job:
            inspection = pipeline.load_inspection(job)
            results: dict[str, Any] = {"run": job.folder.path}
            if "attribution" in what:
                results["attribution"] = pipeline.rank_attributed(pipeline.attribute_stage(job, inspection))
            if "posterior" in what:
                results["posterior"] = pipeline.posterior_stage(job, inspection, draws, step_size)
            if "dimension" in what:
                results["dimension"] = pipeline.dimension_stage(job, inspection)
            if "programs" in what:
                results["programs"] = pipeline.program_stage(job, inspection)
            if "lags" in what:
                results["lags"] = pipeline.lag_stage(job, inspection)
            if "repair" in what:
                results["repair"] = pipeline.repair_stage(job, inspection)
            page = pipeline.report_stage(job.folder)
        console.show(results, *_summarize_analyses(results), f"Report:  {page}")


def _summarize_analyses(results: dict[str, Any]) -> list[str]:
    """Return one sentence for each analysis whose result fits into one."""
    from dni_jax.characters import display_name

    sentences = []
    if results.get("attribution"):
        sentences.append(f"Predictions depend most on neurons {' '.join(map(str, results['attribution']))}.")
    dimension = results.get("dimension")
    if dimension is not None and dimension["dimension"].notna().any():
        hardest = dimension.loc[dimension["dimension"].idxmax()]
        name, directions = display_name(hardest["feature"]), int(hardest["dimension"])
        sentences.append(f"The feature that needs the most random directions of the state is {name}: {directions}.")
    programs = results.get("programs")
    if programs is not None and programs["recovered"].notna().any():
        best = programs.loc[programs["recovered"].idxmax()]
        sentences.append(
            f"The program {best['program']!r} restores {best['recovered']:.0%} of what is lost when the best neurons "
            f"for {display_name(best['feature'])} are held at their means (random clusters: "
            f"{best['random_recovered']:.0%})."
        )
    repair = results.get("repair")
    if repair is not None:
        first = repair.iloc[0]
        sentences.append(
            f"Repairing the head through all neurons reduces first mistakes per 1,000 symbols from "
            f"{first['per_1000_before']:.2f} to {first['per_1000']:.2f}, and changes the loss from "
            f"{first['loss_before']:.4f} to {first['loss']:.4f} nats per symbol."
        )
    return sentences


def enable_compilation_cache() -> None:
    """Cache compiled programs on disk, so that later commands need not compile them again."""
    from dni_jax.devices import use_compilation_cache
    from dni_jax.languages.code import cache_folder

    use_compilation_cache(cache_folder() / "xla")


def _open_stage(run: Path, stage: str, force: bool, console: Console, **settings: Any) -> Job:
    """Open a run to execute a stage."""
    from dni_jax.app.pipeline import Job

    job = Job.open(run, console.log, hold=True, **settings)
    if job.folder.has_results(stage) and not force:
        job.folder.release()
        raise ValueError(
            f"expected a run without results of this stage, got {str(run)!r}, which has them: use --force to "
            "replace them"
        )
    return job


def _show_result(console: Console, result: RunResult) -> None:
    from dni_jax import processes
    from dni_jax.app.cli._findings import define_columns, describe_omitted, make_findings_table

    if not processes.is_first():
        return
    findings, folder = result.findings, result.path
    fields = {name: value for name, value in asdict(result).items() if name not in ("path", "findings")}
    files = sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".png", ".parquet"))
    console.show(
        {"run": folder, **fields, "findings": findings},
        "",
        *define_columns(result.k, result.least_p),
        "",
        make_findings_table(findings, result.k),
        *describe_omitted(findings),
        f"\nReport:  {folder / 'report.html'}\nResults: {folder}  ({', '.join(files)})",
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "train": train,
    "inspect": inspect,
    "verify": verify,
    "analyse": analyse,
}
