"""The devices a computation is spread over."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from dni_jax import processes

_LANES = 8  # a device with fewer lanes spends its time on anything but products


def count_cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_all_cores() -> None:
    """Make every CPU core a device of its own, unless JAX has started already.

    XLA's own threads gain little on the small products of a character network; two host devices gain nearly a factor
    of two. JAX takes the setting only before its first computation; afterwards everything still runs, on the devices
    there are, and a notice says so once.
    """
    if os.environ.get("XLA_FLAGS", "").find("host_platform_device_count") >= 0:
        return
    try:
        if jax.config.values["jax_num_cpu_devices"] < 1:
            jax.config.update("jax_num_cpu_devices", count_cores())
    except RuntimeError:
        if jax.default_backend() == "cpu" and count_cores() > jax.local_device_count():
            _notice_once()


@cache
def _notice_once() -> None:
    warnings.warn(
        f"JAX computed something before dni_jax was asked to, and holds {count_cores()} cores as "
        f"{jax.local_device_count()} device: training and recording will be slower. To use all cores, call "
        'dni_jax.devices.use_all_cores() (or jax.config.update("jax_num_cpu_devices", ...)) before the first JAX computation',
        stacklevel=4,
    )


def use_compilation_cache(folder: Path) -> None:
    """Keep compiled programs in a folder from one process to the next, unless the user has given JAX a folder.

    Where the folder cannot be written, programs are compiled anew.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # Many small programs take as long as a large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def make_mesh(axis: str, size: int = 0) -> Mesh:
    """Give a one-dimensional mesh of as many local devices as divide an axis evenly (all of them, without a length).

    Parameters
    ----------
    axis
        The mesh axis' name.
    size
        The length of the array axis that is to be split; 0, the default, where it will be padded: all devices.
    """
    use_all_cores()
    return _mesh({axis: (size, 1)}, jax.local_devices())


def make_grid(models: int, lanes: int) -> Mesh:
    """Give a mesh with the axes ``models`` and ``lanes``: models are spread first, each one's lanes over the rest."""
    use_all_cores()
    return _mesh({"models": (models, 1), "lanes": (lanes, _LANES)}, jax.local_devices())


def make_global_grid(models: int, lanes: int) -> Mesh:
    """Give a `make_grid` over the devices of all processes, as many of each.

    Where models and lanes are too few for all processes, the grid is of this process' own devices: then every process
    does the same work.
    """
    use_all_cores()
    n_processes = processes.count()
    if n_processes == 1:
        return make_grid(models, lanes)
    axes = {"models": (models, 1), "lanes": (lanes, _LANES)}
    of_each: dict[int, list[Any]] = {}
    for device in jax.devices():
        of_each.setdefault(device.process_index, []).append(device)
    for n in range(min(map(len, of_each.values())), 0, -1):
        devices = [device for process in sorted(of_each) for device in of_each[process][:n]]
        found = _mesh(axes, devices)
        if found.size == len(devices):
            return found
    return make_grid(models, lanes)


def map_models(function: Callable[..., Any], at_once: int | None = None) -> Callable[..., Any]:
    """Map a function over the leading axis of its arguments.

    One model (or set of neurons) after the other on a CPU, where batches of small matrix products cost 35 to 40 %;
    elsewhere `at_once` of them in parallel, or all.
    """
    if jax.default_backend() == "cpu":
        return lambda *args: jax.lax.map(lambda each: function(*each), args)
    if at_once is None:
        return jax.vmap(function)
    return lambda *args: jax.lax.map(lambda each: function(*each), args, batch_size=at_once)


def _mesh(axes: dict[str, tuple[int, int]], devices: list[Any]) -> Mesh:
    """Split each axis, of a size, into parts that are equal and not below a least one."""
    shape: list[int] = []
    for size, least in axes.values():
        left = len(devices) // math.prod(shape)
        shape.append(next(n for n in range(left, 0, -1) if n == 1 or (size % n == 0 and not 0 < size < n * least)))
    used = devices[: math.prod(shape)]
    return jax.make_mesh(tuple(shape), tuple(axes), devices=used, axis_types=(AxisType.Auto,) * len(axes))
