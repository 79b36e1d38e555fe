"""Several processes that share one job: which one this is, its shard of the work, and exchange between all.

Every process runs the same program with the same settings and makes the same calls in the same order. Work that can
be split is split inside the calls, and every call returns the whole result in every process. A single process counts
as the first of one, at no cost.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Value = TypeVar("Value")

_BYTES_PER_CALL = 64 * 2**20  # that all processes together send over the network in one call
_alone: ContextVar[bool] = ContextVar("alone", default=False)


def count() -> int:
    """Return the number of processes that share the job."""
    return jax.process_count() if jax.distributed.is_initialized() and not _alone.get() else 1


def index() -> int:
    """Return the index of this process, starting at 0."""
    return jax.process_index() if jax.distributed.is_initialized() else 0


def is_first() -> bool:
    """Return whether this process is the one that writes files and prints."""
    return index() == 0


@contextmanager
def single_process() -> Iterator[None]:
    """Run the block in this process only: inside it, `count` is 1 and nothing is split.

    Examples
    --------
    >>> with single_process():
    ...     count()
    1
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def shard(n: int) -> slice:
    """Return this process's shard of n items.

    All shards have the same size, so that one compiled program serves every process. If n does not divide evenly, the
    last shards overlap the ones before them. `all_gather` puts the shards together.

    Examples
    --------
    >>> shard(5)
    slice(0, 5, None)
    """
    return _shard(n, index() if count() > 1 else 0, count())


def _shard(n: int, index: int, count: int) -> slice:
    size = -(-n // count)
    start = max(min(index * size, n - size), 0)
    return slice(start, start + size)


def all_gather(part: np.ndarray, n: int, axis: int = 0) -> np.ndarray:
    """Concatenate the shards of all processes along an axis.

    Parameters
    ----------
    part
        This process's `shard` of the array.
    n
        Length of the whole axis.
    axis
        The axis that was split.

    Returns
    -------
    The same array in every process, with length n along the axis. Values are not changed in any bit.
    """
    if count() == 1:
        return part
    first = np.moveaxis(part, axis, 0)
    result = np.empty((n, *first.shape[1:]), part.dtype)
    for process, values in enumerate(gather_list(first)):
        result[_shard(n, process, count())] = values
    return np.moveaxis(result, 0, axis)


def gather_list(own: np.ndarray) -> list[np.ndarray]:
    """Return the arrays of all processes, ordered by process. They must have one shape and dtype.

    Arrays are sent as bytes, so that no value changes, in messages of 64 MiB.
    """
    if count() == 1:
        return [own]
    flat = np.ascontiguousarray(own).reshape(-1).view(np.uint8)
    result = np.empty((count(), flat.size), np.uint8)
    size = min(max(_BYTES_PER_CALL // count(), 1), max(flat.size, 1))
    for first in range(0, flat.size, size):
        chunk = flat[first : first + size]
        padded = np.pad(chunk, (0, size - len(chunk)))  # equal sizes need only one compiled program
        result[:, first : first + size] = _exchange(padded)[:, : len(chunk)]
    return [row.view(own.dtype).reshape(own.shape) for row in result]


def _exchange(own: np.ndarray) -> np.ndarray:
    mesh = _one_device_each()
    row = NamedSharding(mesh, P("processes"))
    whole = jax.make_array_from_process_local_data(row, own[None], (count(), own.size))
    return np.asarray(_replicate(whole, mesh).addressable_data(0))


def _replicate(whole: jax.Array, mesh: Mesh) -> jax.Array:
    return jax.jit(jnp.copy, out_shardings=NamedSharding(mesh, P()))(whole)


@cache
def _one_device_each() -> Mesh:
    firsts = {device.process_index: device for device in reversed(jax.devices())}
    devices = [firsts[process] for process in sorted(firsts)]
    return Mesh(np.asarray(devices), ("processes",), axis_types=(AxisType.Auto,))


def broadcast(make: Callable[[], Value]) -> Value:
    """Call a function in the first process only, and return its result in every process.

    Parameters
    ----------
    make
        Its result is sent with pickle. If it raises, every process raises the same exception.

    Examples
    --------
    >>> broadcast(lambda: 1 + 1)
    2
    """
    if count() == 1:
        return make()
    packed = b""
    if is_first():
        with single_process():
            packed = _pickle_result(make)
    size = int(gather_list(np.asarray([len(packed)], np.int64))[0][0])
    padded = np.frombuffer(packed.ljust(size, b"\0"), np.uint8) if is_first() else np.zeros(size, np.uint8)
    value, error = pickle.loads(gather_list(padded)[0].tobytes())
    if error is not None:
        raise error
    return value


def _pickle_result(make: Callable[[], Any]) -> bytes:
    """Pickle a result or an exception. Nothing may escape here: the other processes would wait forever."""
    try:
        return pickle.dumps((make(), None))
    except Exception as error:
        try:
            packed = pickle.dumps((None, error))
            pickle.loads(packed)
        except Exception:  # some exceptions cannot be pickled, or not be unpickled
            packed = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
        return packed


def barrier() -> None:
    """Wait until every process has made this call."""
    gather_list(np.zeros(1, np.uint8))


def to_host(tree: Any) -> Any:
    """Convert the JAX arrays of a tree to whole NumPy arrays in every process, wherever their shards are."""
    return jax.tree.map(_to_host, tree)


def _to_host(array: Any) -> Any:
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return jax.device_get(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    sharding = array.sharding
    assert isinstance(sharding, NamedSharding)
    return np.asarray(_replicate(array, sharding.mesh).addressable_data(0))  # type: ignore[arg-type]


def place(tree: Any, specs: Any, mesh: Mesh) -> Any:
    """Place arrays that are the same in every process on a mesh. Each process copies only its own devices' shards.

    Parameters
    ----------
    tree
        Arrays on the host.
    specs
        A `jax.sharding.PartitionSpec` for each branch of the tree, as in `jax.shard_map`.
    mesh
        The devices. If all of them belong to this process, the tree is returned as it is, and the compiled program
        copies the arrays.
    """
    if not spans_processes(mesh):
        return tree
    return jax.tree.map(lambda spec, branch: _place(branch, NamedSharding(mesh, spec)), specs, tree, is_leaf=_is_spec)


def spans_processes(mesh: Mesh) -> bool:
    """Return whether a mesh has devices of other processes."""
    return any(device.process_index != jax.process_index() for device in mesh.devices.flat)


def _is_spec(value: Any) -> bool:
    return isinstance(value, P)


def _place(branch: Any, sharding: NamedSharding) -> Any:
    def put(array: Any) -> jax.Array:
        if isinstance(array, jax.Array) and not array.is_fully_addressable:
            return array
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, branch)


def local_part(array: Any) -> np.ndarray:
    """Return the values of an array that this process holds: all of them, or its first shard."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(array.addressable_data(0))
