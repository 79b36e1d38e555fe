"""The devices that computations run on: meshes, CPU cores as devices, and the cache of compiled programs."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh

from dni_jax import processes

_MEMORY = 8 * 2**30  # of an accelerator that does not say
_CONTROL_GROUP = Path("/sys/fs/cgroup")
_MIN_LANES = 8  # with fewer lanes per device, overhead costs more than the second device gains


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_platform() -> str:
    """Return the kind of JAX's default devices: "cpu", "gpu" or "tpu"."""
    backend = jax.default_backend()
    return {"cuda": "gpu", "rocm": "gpu"}.get(backend, backend)


def get_memory() -> int:
    """Return the bytes that are free on the first device; 8 GiB where it does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return max(stats["bytes_limit"] - stats.get("bytes_in_use", 0), 2**28) if "bytes_limit" in stats else _MEMORY


def get_host_memory() -> int:
    """Return the bytes of the machine's memory that are free.

    Returns
    -------
    Linux's estimate of what is available without swapping, or less if the control group (a container) allows less; on
    other systems half of all memory.
    """
    known = [found for found in (_available(), _left_in_control_group()) if found is not None]
    return min(known) if known else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _left_in_control_group() -> int | None:
    try:
        limit, used = (
            (_CONTROL_GROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current")
        )
    except OSError:
        return None
    return None if limit == "max" else max(int(limit) - int(used), 0)


def use_all_cores() -> None:
    """Make every CPU core a separate JAX device, unless JAX is already initialized.

    XLA's own threads gain little on the small matrix products of a character network, while two CPU devices are
    almost twice as fast as one. JAX accepts the setting only before its first computation. Later calls change nothing
    and warn once.
    """
    if os.environ.get("XLA_FLAGS", "").find("host_platform_device_count") >= 0:
        return
    try:
        if jax.config.values["jax_num_cpu_devices"] < 1:
            jax.config.update("jax_num_cpu_devices", count_cores())
    except RuntimeError:
        if jax.default_backend() == "cpu" and count_cores() > jax.local_device_count():
            _warn_once()


@cache
def _warn_once() -> None:
    warnings.warn(
        f"JAX was initialized before dni_jax and uses {count_cores()} CPU cores as {jax.local_device_count()} device: "
        "training and recording will be slower. To use all cores, call dni_jax.devices.use_all_cores() (or "
        'jax.config.update("jax_num_cpu_devices", ...)) before the first JAX computation',
        stacklevel=4,
    )


def use_compilation_cache(folder: Path) -> None:
    """Cache compiled programs in a folder for later processes, unless JAX already has a cache folder.

    If the folder is not writable, nothing is cached.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # Cache small programs too: there are many, and together they take as long to compile as a large one.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def make_mesh(axis: str, size: int = 0, on_host: bool = False) -> Mesh:
    """Return a one-dimensional mesh of local devices.

    Parameters
    ----------
    axis
        Name of the mesh axis.
    size
        Length of the array axis to split. The mesh has the largest number of devices that divides it. With 0, the
        default, the mesh has all devices and the caller pads the array.
    on_host
        Whether to use the CPU, even where there is an accelerator.
    """
    use_all_cores()
    return _mesh({axis: (size, 1)}, jax.local_devices(backend="cpu") if on_host else jax.local_devices())


def make_grid(models: int, lanes: int) -> Mesh:
    """Return a mesh of local devices with the axes ``models`` and ``lanes``.

    Models are split first; the lanes of each model are split over the remaining devices.
    """
    use_all_cores()
    return _mesh({"models": (models, 1), "lanes": (lanes, _MIN_LANES)}, jax.local_devices())


def make_global_grid(models: int, lanes: int) -> Mesh:
    """Return a mesh as `make_grid` does, over equally many devices of every process.

    If there are too few models and lanes for all processes, the mesh has the devices of this process only, and every
    process does the same work.
    """
    use_all_cores()
    n_processes = processes.count()
    if n_processes == 1:
        return make_grid(models, lanes)
    axes = {"models": (models, 1), "lanes": (lanes, _MIN_LANES)}
    by_process: dict[int, list[Any]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    for n in range(min(map(len, by_process.values())), 0, -1):
        devices = [device for process in sorted(by_process) for device in by_process[process][:n]]
        mesh = _mesh(axes, devices)
        if mesh.size == len(devices):
            return mesh
    return make_grid(models, lanes)


def is_accelerated(mesh: Mesh | None = None) -> bool:
    """Return whether a mesh, by default JAX's default devices, is of accelerators."""
    return (jax.default_backend() if mesh is None else mesh.devices.flat[0].platform) != "cpu"


def is_slow_in_loops(function: Callable[..., Any], *args: Any) -> bool:
    """Return whether compiled loops would slow a function down: on CPUs, if it convolves.

    XLA's compiler for CPUs prepares convolutions for its fast kernels only outside of loops. Inside, those of gradients
    take ten to fifty times as long (JAX issue 12868).
    """
    return not is_accelerated() and "conv_general_dilated" in str(jax.make_jaxpr(function)(*args))


def map_models(
    function: Callable[..., Any], mesh: Mesh | None = None, at_once: int | None = None, *, unrolled: bool = False
) -> Callable[..., Any]:
    """Map a function over the leading axis of its arguments, which counts models or sets of neurons.

    On CPUs the calls run one after another, because batched small matrix products are 35 to 40 % slower there; with
    `unrolled`, without a loop (see `is_slow_in_loops`). On accelerators, `at_once` calls run in parallel (None: all).
    """
    if unrolled:
        return lambda *args: _stack([function(*_row(args, number)) for number in range(_length(args))])
    if not is_accelerated(mesh):
        return lambda *args: jax.lax.map(lambda each: function(*each), args)
    if at_once is None:
        return jax.vmap(function)
    return lambda *args: jax.lax.map(lambda each: function(*each), args, batch_size=at_once)


def scan(step: Callable[..., Any], state: Any, xs: Any, *, unrolled: bool = False) -> tuple[Any, Any]:
    """Scan as `jax.lax.scan` does; with `unrolled`, without a loop (see `is_slow_in_loops`)."""
    if not unrolled:
        return jax.lax.scan(step, state, xs)
    outputs = []
    for number in range(_length(xs)):
        state, output = step(state, _row(xs, number))
        outputs.append(output)
    return state, _stack(outputs)


def _length(tree: Any) -> int:
    return int(jax.tree.leaves(tree)[0].shape[0])


def _row(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], tree)


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _mesh(axes: dict[str, tuple[int, int]], devices: list[Any]) -> Mesh:
    """Split each axis as often as its size allows: into equal parts, none shorter than its minimum."""
    shape: list[int] = []
    for size, minimum in axes.values():
        remaining = len(devices) // math.prod(shape)
        fits = (n for n in range(remaining, 1, -1) if size % n == 0 and not 0 < size < n * minimum)
        shape.append(next(fits, 1))
    used = devices[: math.prod(shape)]
    return jax.make_mesh(tuple(shape), tuple(axes), devices=used, axis_types=(AxisType.Auto,) * len(axes))
