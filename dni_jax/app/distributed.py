"""Several processes, on one machine or many, that do one run together: how they find each other, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import cache
from hashlib import sha256

import jax
import numpy as np

from dni_jax import processes
from dni_jax.app.config import Hosts
from dni_jax.devices import use_all_cores

LOST = 3  # exit code where another process was lost
_ANSWERS = 30  # seconds after which a process that does not answer counts as lost
_ARRIVES = 300  # seconds within which all processes must have come
_LEAVES = 10  # seconds that a process waits for the others at its end
_GRACE = 1.0  # seconds that the first process stays on, so that others can say what went wrong with them
_WATCHER = """
import sys
if not sys.stdin.buffer.readline():
    sys.stderr.write(sys.argv[1])
"""


def start(hosts: Hosts) -> None:
    """Find the other processes, and be one of them; before JAX computes anything.

    Parameters
    ----------
    hosts
        Where the others are; without a coordinator, JAX asks SLURM, Open MPI, the TPU pod or Kubernetes.

    Raises
    ------
    ValueError
        Where there is no cluster that JAX knows, the others do not come within 5 minutes, or JAX has begun before.

    Notes
    -----
    A process that is killed is noticed at once where its connections are closed, as they are when a process dies; one
    that hangs, or whose machine is gone, after 30 seconds. JAX then ends the others: with an exception in the call
    that waits, or by stopping the process from C++ code (SIGABRT), which Python cannot hinder. A small process beside
    each waits for that and says how to go on.

    Examples
    --------
    ``start(Hosts(True))`` under ``srun``, or ``start(Hosts(True, "10.0.0.1:12345", processes=2, process_id=0))`` on the
    first of two machines and with ``process_id=1`` on the other.
    """
    use_all_cores()
    # Else SIGTERM is taken for the notice of a later end, and does not end the process.
    jax.config.update("jax_enable_preemption_service", False)
    method = None if hosts.coordinator is None else "deactivate"
    try:
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.processes,
            hosts.process_id,
            cluster_detection_method=method,
            initialization_timeout=_ARRIVES,
            heartbeat_timeout_seconds=_ANSWERS,
            shutdown_timeout_seconds=_LEAVES,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"expected a cluster that JAX knows (SLURM, Open MPI, a TPU pod, Kubernetes), found none ({error}): start "
            "the processes with srun or mpirun, or give each --coordinator HOST:PORT --processes N --process-id I"
        ) from error
    except RuntimeError as error:
        told = str(error).splitlines()[0][:300]
        raise ValueError(
            f"expected to reach all processes, got: {told}: is the coordinator's port free, can every machine reach "
            "it, and were all processes started?"
        ) from error


def check_same(settings: str) -> None:
    """Refuse processes that were started with different settings.

    Raises
    ------
    ValueError
        Names the processes that differ from the first.
    """
    digest = np.frombuffer(sha256(settings.encode()).digest(), np.uint8)
    every = processes.gather_list(digest)
    others = [place for place, each in enumerate(every) if (each != every[0]).any()]
    if others:
        raise ValueError(
            f"expected the same settings in every process, got others in {', '.join(map(str, others))} than in 0: "
            "start all with the same command (but for --process-id)"
        )


def watch(message: str) -> None:
    """Have a message printed to standard error should this process be stopped before `leave` or `finish`."""
    command = [sys.executable, "-I", "-S", "-c", _WATCHER, message]
    _watchers().append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))


@cache
def _watchers() -> list[subprocess.Popen[bytes]]:
    """Those of this process, to be told of its end wherever that is."""
    return []


def finish() -> None:
    """End a job that has gone well: wait for the others, so that no one is missed while it still works."""
    processes.barrier()
    _dismiss()


def leave(code: int) -> None:
    """End this process now, where the job has not gone well; the others notice.

    The usual end of Python would wait for the other processes, which wait for this one.
    """
    _dismiss()
    sys.stdout.flush()
    sys.stderr.flush()
    if processes.is_first():
        time.sleep(_GRACE)  # those that were wrong in the same way would be cut off in their message
    os._exit(code)


def _dismiss() -> None:
    while _watchers():
        watcher = _watchers().pop()
        watcher.communicate(b"end\n")


def is_on() -> bool:
    """Whether this process is one of several."""
    return jax.distributed.is_initialized()
