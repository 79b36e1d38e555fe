"""The command line: its commands, their defaults, and how errors end.

Commands import what they need when they are called, so that ``--help`` and wrong flags do not wait for JAX.
"""

from __future__ import annotations

import atexit
import errno
import gc
import inspect
import io
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import tyro

from dni_jax.app.cli import _pipeline, _results, _sweep, _tools
from dni_jax.app.config import RunConfig
from dni_jax.status_line import show_status

COMMANDS: dict[str, Callable[..., None]] = {
    **_pipeline.COMMANDS,
    **_sweep.COMMANDS,
    **_results.COMMANDS,
    **_tools.COMMANDS,
}
_MARKERS = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.DisallowNone,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Invalid input ends with a message and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if arguments is None:
        # JAX makes objects by the million, and hardly any that end in a cycle: to look for cycles as often as Python
        # does takes a tenth of a short run, and 2 to 4 s at its end.
        gc.set_threshold(50_000, 20, 20)
        atexit.register(gc.freeze)
    _escape_unprintable()
    if words == ["--version"]:
        print(f"dni_jax {version('dni_jax')}")
        return
    # What fails in a thread of Orbax or TensorStore is raised again in the main thread, which explains it.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    if sys.unraisablehook is sys.__unraisablehook__:  # else somebody collects such errors
        sys.unraisablehook = _ignore_closed_loop
    try:
        with nullcontext() if "--quiet" in words else show_status():
            make_app(_read_defaults(words), summaries=words[0].startswith("-")).cli(
                prog="dni",
                description="Find the neurons of a recurrent network that encode a feature, test whether chance "
                "explains the finding, and check whether the network uses them.",
                args=words,
                config=_MARKERS,
            )
    except ValueError as error:
        _stop(_explain_full(error) or str(error))
    except OSError as error:
        _stop(_explain(error))
    except KeyboardInterrupt:
        _stop_interrupted(words[0])
    except Exception as error:
        if full := _explain_full(error):
            _stop(full)
        _stop_crashed(error)


def _ignore_closed_loop(unraisable: sys.UnraisableHookArgs) -> None:
    """Report an unraisable error, unless it is TensorStore's use of an event loop that is already closed."""
    error = unraisable.exc_value
    if not isinstance(error, RuntimeError) or str(error) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _escape_unprintable() -> None:
    """Print characters that a stream's encoding lacks as escapes: a finished run must not end in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def make_app(defaults: RunConfig, summaries: bool = False) -> tyro.extras.SubcommandApp:
    """Put the commands together.

    Parameters
    ----------
    defaults
        Default values of the settings.
    summaries
        Show only the first sentence of each command's help.
    """
    app = tyro.extras.SubcommandApp()
    replaced = {"run": {"config": defaults}, "train": {"config": defaults}}
    replaced |= {part: {"settings": getattr(defaults, part)} for part in ("inspect", "verify")}
    for name, command in COMMANDS.items():
        summary = (inspect.getdoc(command) or "").partition("\n\n")[0].replace("\n", " ")
        app.command(name=name, help=summary if summaries else None)(_with_defaults(command, replaced.get(name, {})))
    return app


def _with_defaults(command: Callable[..., None], defaults: Mapping[str, Any]) -> Callable[..., None]:
    """Return the same command with other default values in its signature."""

    @wraps(command)
    def same(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    signature = inspect.signature(command)
    parameters = [one.replace(default=defaults.get(name, one.default)) for name, one in signature.parameters.items()]
    ordered = sorted(parameters, key=lambda one: one.default is not inspect.Parameter.empty)
    same.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    return same


def _read_defaults(words: Sequence[str]) -> RunConfig:
    """Return the settings of the run that a stage continues, or of the file that ``--config`` names."""
    file = _find_config(words[0], words[1:])
    if file is None:
        return RunConfig()
    from dni_jax.app.run_folder import read_config

    return read_config(file)


def _find_config(command: str, words: Sequence[str]) -> Path | None:
    if command in ("run", "train"):
        for place, word in enumerate(words):
            if word.startswith("--config="):
                return Path(word.partition("=")[2])
            if word == "--config" and place + 1 < len(words):
                return Path(words[place + 1])
    if command in ("inspect", "verify"):
        configs = [Path(word) / "config.toml" for word in words]
        return next((config for config in configs if config.is_file()), None)
    return None


def _explain_full(error: Exception, where: str = "") -> str | None:
    """Return what to do about a full disk; None if the error is about something else."""
    from dni_jax.files import is_disk_full

    if not is_disk_full(error):
        return None
    return f"expected room for the results, but the disk is full{where}: free some space, then continue with --resume"


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if full := _explain_full(error, where):
        return full
    if error.errno in (errno.EACCES, errno.EROFS):
        return f"expected a writable folder, got {error.strerror}{where}: try another --out"
    return f"{error.strerror or error}{where}"


def _print_error(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False).print(Text.assemble(("dni: ", "bold red"), message), soft_wrap=True)


def _stop(message: str) -> NoReturn:
    if not _is_connected():
        _print_error(message)
        sys.exit(2)
    from dni_jax.app import distributed

    _print_error(f"process {distributed.processes.index()}: {message}")
    distributed.exit_now(2)


def _stop_interrupted(command: str) -> NoReturn:
    from dni_jax.app import distributed

    continues = dict.fromkeys(("run", "train"), "`--resume`") | {"sweep": "the same command"}
    hint = f"; {continues[command]} continues from the last checkpoint" if command in continues else ""
    _print_error(f"stopped{hint}")
    # A normal exit would tear down the interpreter while a compiler thread may still run.
    distributed.exit_now(130)


def _stop_crashed(error: Exception) -> NoReturn:
    """Raise an unexpected error again. With several processes, end this one: another may have been lost."""
    if not _is_connected():
        raise error
    import jax

    from dni_jax.app import distributed

    if isinstance(error, jax.errors.JaxRuntimeError):
        _print_error(f"{distributed.describe_loss()} ({str(error).splitlines()[0][:200]})")
        distributed.exit_now(distributed.EXIT_LOST)
    traceback.print_exception(error)
    distributed.exit_now(1)


def _is_connected() -> bool:
    """Return whether this process is one of several, without importing `dni_jax.app.distributed` to find out."""
    distributed = sys.modules.get("dni_jax.app.distributed")
    return distributed is not None and distributed.is_connected()
