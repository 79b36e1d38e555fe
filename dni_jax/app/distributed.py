"""Several processes, on one or more machines, that share one run: how they connect, and how they exit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import NoReturn

import jax
import numpy as np

from dni_jax import processes
from dni_jax.app.config import Hosts, RunConfig
from dni_jax.devices import use_all_cores

EXIT_LOST = 3  # exit code of a process that lost another one
_HEARTBEAT_TIMEOUT = 30  # seconds without an answer after which a process counts as lost
_START_TIMEOUT = 300  # seconds within which all processes must connect
_SHUTDOWN_TIMEOUT = 10  # seconds that a process waits for the others when it exits
_GRACE = 1.0  # seconds that the first process stays alive after an error, so that the others can print theirs
_WATCHER = """
import sys
if not sys.stdin.buffer.readline():
    sys.stderr.write(sys.argv[1])
"""


@contextmanager
def connect(config: RunConfig) -> Iterator[None]:
    """Connect to the other processes of a run, if it is distributed, and wait for them when the block ends.

    Raises
    ------
    ValueError
        If the processes cannot connect, or were started with different settings.
    """
    config.hosts.check()
    if not config.hosts.distributed:
        yield
        return
    _silence_native_output()
    start(config.hosts)
    _print_when_killed(f"dni: {describe_loss()}\n")
    check_same_settings(repr(replace(config, hosts=Hosts())))
    yield
    processes.barrier()  # a process that exits early would count as lost
    _stop_watchers()


def start(hosts: Hosts) -> None:
    """Connect to the other processes. Must be called before the first JAX computation.

    Parameters
    ----------
    hosts
        How to reach the others. Without a coordinator, JAX detects SLURM, Open MPI, TPU pods and Kubernetes.

    Raises
    ------
    ValueError
        If JAX detects no cluster, the processes do not connect within 5 minutes, or JAX is already initialized.

    Notes
    -----
    When a process dies, the others notice at once, because its connections close. When it hangs or its machine
    disappears, they notice after 30 seconds. JAX then ends them: with an exception in the call that waits, or by
    aborting from C++ (SIGABRT), which Python cannot catch. A small watcher process therefore prints how to resume.

    Examples
    --------
    ``start(Hosts(True))`` under ``srun``, or ``start(Hosts(True, "10.0.0.1:12345", processes=2, process_id=0))`` on the
    first of two machines and with ``process_id=1`` on the other.
    """
    use_all_cores()
    # With this service, JAX treats SIGTERM as an announcement of preemption, and the process would not end.
    jax.config.update("jax_enable_preemption_service", False)
    method = None if hosts.coordinator is None else "deactivate"
    try:
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.processes,
            hosts.process_id,
            cluster_detection_method=method,
            initialization_timeout=_START_TIMEOUT,
            heartbeat_timeout_seconds=_HEARTBEAT_TIMEOUT,
            shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"expected a cluster that JAX knows (SLURM, Open MPI, a TPU pod, Kubernetes), found none ({error}): start "
            "the processes with srun or mpirun, or pass --coordinator HOST:PORT --processes N --process-id I to each"
        ) from error
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:300]
        raise ValueError(
            f"expected to reach all processes, got: {reason}: is the coordinator's port free, can every machine reach "
            "it, and were all processes started?"
        ) from error


def check_same_settings(settings: str) -> None:
    """Raise a ValueError, in every process, if the processes were started with different settings."""
    digest = np.frombuffer(sha256(settings.encode()).digest(), np.uint8)
    digests = processes.gather_list(digest)
    others = [index for index, each in enumerate(digests) if (each != digests[0]).any()]
    if others:
        raise ValueError(
            "expected the same settings in every process, got different ones in process "
            f"{', '.join(map(str, others))} than in process 0: start all with the same command, except for --process-id"
        )


def describe_loss() -> str:
    """Return the message for a process that ends before the run does."""
    return (
        f"process {processes.index()} of {processes.count()} ended before the run did: another process was lost or "
        "did not answer, or this one was stopped. Finished work is in the run's folder: the same command with --resume "
        "continues from there, with any number of processes"
    )


def exit_now(code: int) -> NoReturn:
    """End this process at once after an error; the others notice.

    A normal exit of Python would wait for the other processes, which wait for this one.
    """
    _stop_watchers()
    sys.stdout.flush()
    sys.stderr.flush()
    if processes.is_first():
        time.sleep(_GRACE)  # when it exits, JAX aborts the others, which may be about to print the same error
    os._exit(code)


def is_connected() -> bool:
    """Return whether this process is one of several."""
    return jax.distributed.is_initialized()


def _silence_native_output() -> None:
    """Discard what C++ libraries print about their connections. Python's own output stays."""
    sys.stdout.flush()
    stdout, devnull = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)
    sys.stdout = open(stdout, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, buffering=1)  # noqa: SIM115


def _print_when_killed(message: str) -> None:
    """Start a watcher that prints a message to standard error if this process ends without `_stop_watchers`."""
    command = [sys.executable, "-I", "-S", "-c", _WATCHER, message]
    _watchers().append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))


@cache
def _watchers() -> list[subprocess.Popen[bytes]]:
    """Return the watchers of this process, which any exit path must be able to stop."""
    return []


def _stop_watchers() -> None:
    while _watchers():
        _watchers().pop().communicate(b"end\n")
