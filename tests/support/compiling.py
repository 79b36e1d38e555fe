"""Programs that compile quickly: most of the tests' time is XLA's compiler, and none of them measures speed."""

import mmap
import os
from pathlib import Path

import jaxlib

_FLAGS = {
    "xla_backend_optimization_level": "0",
    "xla_llvm_disable_expensive_passes": "true",
    "xla_cpu_use_fusion_emitters": "false",
    "xla_cpu_parallel_codegen_split_count": "1",  # more parts are more work, and the cores have other tests to run
}


def compile_quickly() -> None:
    """Turn off XLA's optimizations, before JAX is first used; flags that are set already stay as they are."""
    given = os.environ.get("XLA_FLAGS", "")
    library = next(Path(jaxlib.__file__).parent.glob("libjax_common*"), None)
    if library is None:
        return
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # XLA ends the process where it does not know a flag, and some come and go. The names of those that are gone
        # stay in the library, but not as strings of their own.
        known = [name for name in _FLAGS if name not in given and content.find(f"\0{name}\0".encode()) >= 0]
    os.environ["XLA_FLAGS"] = " ".join([given, *(f"--{name}={_FLAGS[name]}" for name in known)]).strip()
