"""Accelerators by name, described to XLA well enough to compile for them without a device."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 4800000000000 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 device_memory_size: 150000000000 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 } registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H200"
"""


@dataclass(frozen=True)
class Target:
    """A kind of device.

    Attributes
    ----------
    platform : {"gpu", "tpu"}
        The plan that probes use on it.
    topology : dict
        What JAX asks XLA's plugin for.
    n_devices : int
    memory : int
        Bytes of one device.
    bandwidth : float
        Bytes that one device reads or writes in a second.
    launch : float
        Seconds that a launch takes; 0 where a program is launched once and runs its loops itself.
    needs : dict
        Module to import, and the package that it is in.
    """

    platform: str
    topology: dict[str, Any]
    n_devices: int
    memory: int
    bandwidth: float
    launch: float
    needs: dict[str, str]

    def devices(self) -> list[Any]:
        """Return the described devices.

        Raises
        ------
        ImportError
            Where a package is missing that compiles for them.
        """
        missing = [package for module, package in self.needs.items() if not is_installed(module)]
        if missing:
            raise ImportError(
                f'expected {", ".join(missing)} to be installed: pip install "dni-jax[accelerators]" '
                "(jax-cuda12-plugin and jax-cuda12-pjrt in the version of jax)"
            )
        from jax.experimental import topologies

        if is_installed("jax_plugins.xla_cuda12"):  # which JAX starts, also where the target is another
            _prepare_cuda()
        if self.platform == "tpu":
            os.environ |= {
                "TPU_SKIP_MDS_QUERY": "1",
                "TPU_ACCELERATOR_TYPE": "v5litepod-4",
                "TPU_WORKER_HOSTNAMES": "localhost",
            }
        return list(topologies.get_topology_desc(**self.topology).devices)[: self.n_devices]


def is_installed(module: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def _prepare_cuda() -> None:
    """Make the plugin start without a driver, and the assembler be found."""
    plugin = importlib.import_module("jax_plugins.xla_cuda12")
    plugin._check_cuda_versions = lambda **_: None
    assembler = find_spec("nvidia.cuda_nvcc")
    for folder in assembler.submodule_search_locations or [] if assembler else []:
        os.environ["PATH"] = f"{Path(folder) / 'bin'}{os.pathsep}{os.environ['PATH']}"


def _h200(n_devices: int) -> Target:
    topology = {
        "platform": "cuda",
        "topology_name": "h200",
        "topology": f"1x1x{n_devices}",
        "target_config": _H200,
    }
    needs = {
        "jax_plugins.xla_cuda12": "jax-cuda12-plugin",
        "nvidia.cuda_nvcc": "nvidia-cuda-nvcc-cu12",
    }
    return Target("gpu", topology, n_devices, 141 * 10**9, 4.8e12, 4e-6, needs)


def _v5e(n_devices: int) -> Target:
    topology = {"platform": "tpu", "topology_name": "v5e:2x2"}
    return Target("tpu", topology, n_devices, 16 * 2**30, 0.82e12, 0.0, {"libtpu": "libtpu"})


TARGETS = {"h200": _h200(1), "8xh200": _h200(8), "v5e": _v5e(1), "4xv5e": _v5e(4)}
