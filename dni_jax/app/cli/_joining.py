"""A command as one of several processes that do one run together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dni_jax import processes
from dni_jax.app import distributed
from dni_jax.app.config import Hosts, RunConfig


@contextmanager
def joined(config: RunConfig) -> Iterator[None]:
    """Find the other processes, if there are any, and leave together with them.

    Raises
    ------
    ValueError
        Where they are not found, or were started with other settings.
    """
    config.hosts.check()
    if not config.hosts.distributed:
        yield
        return
    _keep_to_itself()
    distributed.start(config.hosts)
    distributed.watch(f"dni: {lost()}\n")
    distributed.check_same(repr(replace(config, hosts=Hosts())))
    yield
    distributed.finish()


def lost() -> str:
    """What is said where a process ends before the run does."""
    return (
        f"process {processes.index()} of {processes.count()} ended before the run did: another process was lost or "
        "did not answer, or this one was stopped. What was done is kept in the run's folder; the same command with "
        "--resume goes on from there, with any number of processes"
    )


def _keep_to_itself() -> None:
    """Let C++ libraries, which tell of their connections, write to nowhere; Python's own output stays."""
    sys.stdout.flush()
    own, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = open(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, buffering=1)  # noqa: SIM115
