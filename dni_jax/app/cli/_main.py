"""The command line as a whole: its commands, the settings that a run or a file gives them, how it refuses."""

from __future__ import annotations

import errno
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.text import Text

from dni_jax import processes
from dni_jax.app import distributed
from dni_jax.app.cli import _asking as asking
from dni_jax.app.cli import _joining as joining
from dni_jax.app.cli import _runs as runs
from dni_jax.app.cli import _stages as stages
from dni_jax.app.cli import _sweeping as sweeping
from dni_jax.app.config import RunConfig
from dni_jax.app.run_folder import read_config

_MARKS = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.DisallowNone,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; wrong input ends with a message and exit code 2."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if given == ["--version"]:
        print(f"dni_jax {version('dni_jax')}")
        return
    try:
        app(_held(given), brief=given[0].startswith("-")).cli(
            prog="dni",
            description="Which neurons of a recurrent network know X, how sure are we, and does the network use it?",
            args=given,
            config=_MARKS,
        )
    except ValueError as error:
        _stop(str(error))
    except OSError as error:
        _stop(_explain(error))
    except KeyboardInterrupt:
        ways = dict.fromkeys(("run", "train"), "`--resume`") | {"sweep": "the same command"}
        again = f"; {ways[given[0]]} goes on where it was cut off" if given[0] in ways else ""
        _say_error(f"stopped{again}")
        sys.stdout.flush()
        # A compiler thread may still be at work, and must not find the interpreter gone.
        distributed.leave(130)
    except Exception as error:
        if not distributed.is_on():
            raise
        _stop_together(error)


def app(held: RunConfig, brief: bool = False) -> tyro.extras.SubcommandApp:
    """Put the commands together.

    Parameters
    ----------
    held
        Has the settings that stand where a flag is not given.
    brief
        Say of each command only its first sentence.
    """
    made = tyro.extras.SubcommandApp()
    defaults = {"run": {"config": held}, "train": {"config": held}}
    defaults |= {part: {"settings": getattr(held, part)} for part in ("inspect", "verify")}
    several = {**sweeping.COMMANDS, **runs.COMMANDS}
    commands: dict[str, Callable[..., None]] = {**stages.COMMANDS, **several, **asking.COMMANDS}
    for name, command in commands.items():
        about = (inspect.getdoc(command) or "").partition("\n\n")[0].replace("\n", " ")
        made.command(name=name, help=about if brief else None)(_beginning_with(command, defaults.get(name, {})))
    return made


def _beginning_with(command: Callable[..., None], defaults: Mapping[str, Any]) -> Callable[..., None]:
    """Give the same command with other defaults; parameters that have one come last."""

    @wraps(command)
    def same(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    own = inspect.signature(command)
    parameters = [one.replace(default=defaults.get(name, one.default)) for name, one in own.parameters.items()]
    ordered = sorted(parameters, key=lambda one: one.default is not inspect.Parameter.empty)
    same.__signature__ = own.replace(parameters=ordered)  # type: ignore[attr-defined]
    return same


def _held(given: Sequence[str]) -> RunConfig:
    """The settings of the run that a stage goes on with, or of the file that ``--config`` names."""
    command, rest = (given[0], list(given[1:])) if given else ("", [])
    if command in ("run", "train"):
        for place, word in enumerate(rest):
            if word.startswith("--config="):
                return read_config(Path(word.partition("=")[2]))
            if word == "--config" and place + 1 < len(rest):
                return read_config(Path(rest[place + 1]))
    if command in ("inspect", "verify"):
        named = [Path(word) for word in rest if (Path(word) / "config.toml").is_file()]
        if named:
            return read_config(named[0] / "config.toml")
    return RunConfig()


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"expected room for the results, but the disk is full{where}: free some, then go on with --resume"
    if error.errno in (errno.EACCES, errno.EROFS):
        return f"expected a folder that can be written to, got {error.strerror}{where}: try another --out"
    return f"{error.strerror or error}{where}"


def _say_error(message: str) -> None:
    Console(stderr=True, highlight=False).print(Text.assemble(("dni: ", "bold red"), message), soft_wrap=True)


def _stop(message: str) -> None:
    if not distributed.is_on():
        _say_error(message)
        sys.exit(2)
    _say_error(f"process {processes.index()}: {message}")
    distributed.leave(2)


def _stop_together(error: Exception) -> None:
    """Stop one of several processes, which may be because another was lost."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        _say_error(f"{joining.lost()} ({str(error).splitlines()[0][:200]})")
        distributed.leave(distributed.LOST)
    traceback.print_exception(error)
    distributed.leave(1)
