"""The commands that make a run: all of it, or one stage after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from dni_jax import processes
from dni_jax.app.cli._joining import joined
from dni_jax.app.cli._output import Output, Voice, speaking
from dni_jax.app.cli._tables import findings_table, reading_guide
from dni_jax.app.config import InspectConfig, RunConfig, VerifyConfig
from dni_jax.characters import display_name

Run = Positional[Annotated[Path, arg(metavar="RUN")]]
ConfigFile = Annotated[Path | None, arg(name="config", metavar="FILE")]


def run(config: RunConfig, config_file: ConfigFile = None, output: Output = Output()) -> None:  # noqa: B008
    """Train a network on a language, find the neurons that know its features, test what the network uses them for.

    Examples
    --------
        dni run parentheses
        dni run arithmetic --hidden 64 --out runs/small
        dni run --grammar json.lark --start value --text data --glob '**/*.json'
        dni run c --text linux-6.1.tar.xz --glob 'lib/**/*.c'
        dni run --config runs/small/config.toml --seed 1
        dni run --resume
        srun dni run parentheses --distributed --out runs/large

    It ends with a table and a page, report.html. A run that is stopped goes on with --resume.

    Args:
        config: What to run.
        config_file: A file with settings, as a run's config.toml; flags go before it.
        output: How to speak.
    """
    del config_file  # has been read for the flags' defaults
    use_compiled()
    from dni_jax.app import pipeline

    with joined(config), speaking(output) as voice:
        _show(voice, pipeline.run(config, voice.say))


def train(config: RunConfig, config_file: ConfigFile = None, output: Output = Output()) -> None:  # noqa: B008
    """Train a network on a language, and nothing more: `dni inspect RUN` goes on from there.

    Examples
    --------
        dni train parentheses --hidden 64 --out runs/small
        dni train --resume --out runs/small

    Args:
        config: What to run; settings of later stages are kept for them.
        config_file: A file with settings, as a run's config.toml; flags go before it.
        output: How to speak.
    """
    del config_file
    use_compiled()
    from dni_jax.app.pipeline import begun, train_stage

    with joined(config), speaking(output) as voice:
        job = begun(config, voice.say)
        model = train_stage(job)
        folder = job.folder
        kept = {name: value for name, value in folder.summary().items() if name in ("loss", "ideal", "unigram")}
        told = f"Network: {folder.model}; next: dni inspect {folder.path}"
        voice.show({"run": folder.path, "neurons": model.n_neurons, **kept}, "", told)


def inspect(
    run: Run,
    settings: InspectConfig,
    force: bool = False,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Score all neurons of a run's network on all features, with p-values and baselines.

    Examples
    --------
        dni inspect runs/parentheses
        dni inspect runs/parentheses --probe logistic --folds 10 --force

    Settings that are not given are those that the run was begun with.

    Args:
        run: The run's folder, in which a network was trained.
        settings: How neurons are scored.
        force: Replace the scores that are there, and what was made from them.
        output: How to speak.
    """
    with speaking(output) as voice:
        job = _stage(run, ("inspect", "verify", "analyse", "report"), force, voice, inspect=settings)
        from dni_jax.app.pipeline import inspect_stage, read_findings, report_stage, result_of

        inspect_stage(job)
        report_stage(job.folder)
        _show(voice, result_of(job, read_findings(job.folder.findings)))


def verify(
    run: Run,
    settings: VerifyConfig,
    force: bool = False,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Override the best neurons of every feature, and compare with random sets of neurons.

    Examples
    --------
        dni verify runs/parentheses
        dni verify runs/parentheses --headlines digit depth=4 --random-sets 199 --force

    Settings that are not given are those that the run was begun with.

    Args:
        run: The run's folder, in which neurons were scored.
        settings: How the ranking is tested.
        force: Replace the effects that are there.
        output: How to speak.
    """
    with speaking(output) as voice:
        job = _stage(run, ("verify", "report"), force, voice, verify=settings)
        from dni_jax.app.pipeline import inspected_before, report_stage, result_of, verify_stage

        findings = verify_stage(job, inspected_before(job))
        report_stage(job.folder)
        job.folder.note(finished=True)
        _show(voice, result_of(job, findings))


def analyse(
    run: Run,
    what: tuple[Literal["attribution", "posterior", "dimension", "repair"], ...] = (
        "attribution",
        "posterior",
        "dimension",
        "repair",
    ),
    draws: int = 20,
    step_size: float = 1e-4,
    output: Output = Output(),  # noqa: B008
) -> None:
    """Ask further: what predictions rest on, how sure the ranking is, how hard features are, what a repair changes.

    Examples
    --------
        dni analyse runs/parentheses
        dni analyse runs/parentheses --what posterior --draws 50
        dni analyse runs/parentheses --what dimension repair

    The answers go into the run's folder (attribution.parquet, posterior.parquet, step_sizes.csv, dimension.parquet,
    repair.parquet) and its report. A repair needs a language that tells a wrong text, as sampled ones do.

    Args:
        run: The run's folder, in which neurons were scored.
        what: The questions.
        draws: Networks drawn near the trained one.
        step_size: Of the draws; it decides much of their width, and others are tried beside it.
        output: How to speak.
    """
    if draws < 2 or not step_size > 0:
        raise ValueError(f"expected at least 2 draws and a step size above 0, got {draws} and {step_size}")
    use_compiled()
    from dni_jax.app.pipeline import (
        Job,
        attribute_stage,
        best_by_lag,
        dimension_stage,
        inspected_before,
        posterior_stage,
        repair_stage,
        report_stage,
    )

    with speaking(output) as voice:
        job = Job.of(run, voice.say)
        found = inspected_before(job)
        told: dict[str, Any] = {"run": job.folder.path}
        if "attribution" in what:
            told["attribution"] = best_by_lag(attribute_stage(job, found))
        if "posterior" in what:
            told["posterior"] = posterior_stage(job, found, draws, step_size)
        if "dimension" in what:
            told["dimension"] = dimension_stage(job, found)
        if "repair" in what:
            told["repair"] = repair_stage(job, found)
        page = report_stage(job.folder)
        voice.show(told, *_answers(told), f"Report:  {page}")


def _answers(told: dict[str, Any]) -> list[str]:
    """A sentence for each question that was asked and has a short answer."""
    said = []
    if told.get("attribution"):
        said.append(f"Predictions rest most on neurons {' '.join(map(str, told['attribution']))}.")
    needed = told.get("dimension")
    if needed is not None and needed["dimension"].notna().any():
        hardest = needed.loc[needed["dimension"].idxmax()]
        said.append(f"Most random directions: {display_name(hardest['feature'])} needs {int(hardest['dimension'])}.")
    mended = told.get("repair")
    if mended is not None:
        first = mended.iloc[0]
        said.append(
            f"A repair through all neurons brings first mistakes in 1,000 symbols from {first['per_1000_before']:.2f} "
            f"to {first['per_1000']:.2f}, and the loss from {first['loss_before']:.4f} to {first['loss']:.4f} nats."
        )
    return said


def use_compiled() -> None:
    """Keep compiled programs on disk, so that the next command need not compile them again."""
    from dni_jax.devices import use_compilation_cache  # JAX takes a second: --help and wrong flags need not wait
    from dni_jax.languages.code import cache_folder

    use_compilation_cache(cache_folder() / "xla")


def _stage(run: Path, stages: tuple[str, ...], force: bool, voice: Voice, **settings: Any) -> Any:
    """Open a run for a stage, whose results, and those of later ones, must not be there yet."""
    use_compiled()
    from dni_jax.app.pipeline import Job

    job = Job.of(run, voice.say, **settings)
    if job.folder.holds(stages[0]):
        if not force:
            raise ValueError(
                f"expected a run without results of this stage, got {str(run)!r}, which holds them: --force makes "
                f"them anew"
            )
        job.folder.without(*stages)
    job.folder.settle(job.config)
    return job


def _show(voice: Voice, result: Any) -> None:
    if not processes.is_first():
        return
    findings = result.findings
    fields = {name: value for name, value in asdict(result).items() if name not in ("path", "findings")}
    guide = reading_guide(findings, result.k, result.least_p)
    left = sorted(path.name for path in result.path.iterdir() if path.suffix in (".csv", ".png", ".parquet"))
    voice.show(
        {"run": result.path, **fields, "findings": findings},
        "",
        findings_table(findings, result.k),
        *guide,
        f"\nReport:  {result.path / 'report.html'}\nResults: {result.path}  ({', '.join(left)})",
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "train": train,
    "inspect": inspect,
    "verify": verify,
    "analyse": analyse,
}
