"""The devices a computation is spread over."""

from __future__ import annotations

import os

import jax
from jax.sharding import AxisType, Mesh


def use_all_cores() -> None:
    """Make every CPU core a device of its own, unless JAX has started already.

    XLA's own threads gain little on the small products of a character network; two host devices gain nearly a factor
    of two. JAX takes the setting only before its first computation; afterwards this does nothing, and everything
    still runs, on the devices there are.
    """
    if os.environ.get("XLA_FLAGS", "").find("host_platform_device_count") >= 0:
        return
    try:
        if jax.config.values["jax_num_cpu_devices"] < 1:
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    except RuntimeError:
        pass  # the backend has started: its devices are what they are


def mesh(axis: str, size: int = 0) -> Mesh:
    """Give a one-dimensional mesh of as many local devices as divide an axis evenly (all of them, without a length).

    Parameters
    ----------
    axis
        The mesh axis' name.
    size
        The length of the array axis that is to be split; 0, the default, where it will be padded: all devices.
    """
    use_all_cores()
    devices = jax.local_devices()
    count = next(n for n in range(len(devices), 0, -1) if size % n == 0)
    return jax.make_mesh((count,), (axis,), devices=devices[:count], axis_types=(AxisType.Auto,))
