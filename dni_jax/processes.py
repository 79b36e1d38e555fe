"""Several processes that do one job together: which one this is, its share of the work, and what all of them have.

Every process runs the same program on the same settings and makes the same calls in the same order. Work that can be
split is split inside the calls, and each call gives every process the whole result. One process alone is the first of
one, and nothing here costs it anything.
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

_AT_A_TIME = 64 * 2**20  # bytes of all processes that go over the network in one call
_alone: ContextVar[bool] = ContextVar("alone", default=False)


def count() -> int:
    """How many processes work together."""
    return jax.process_count() if jax.distributed.is_initialized() and not _alone.get() else 1


def index() -> int:
    """Which of the processes this is, from 0."""
    return jax.process_index() if jax.distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes files and speaks for all."""
    return index() == 0


@contextmanager
def single_process() -> Iterator[None]:
    """Do what is in the block without the other processes; nothing in it is split.

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
    """Give this process' part of n things.

    All parts have the same size, so that one compiled program serves all processes; where n does not divide evenly,
    parts of the last processes overlap with those before. `all_gather` puts the parts together.

    Examples
    --------
    >>> shard(5)
    slice(0, 5, None)
    """
    return _shard(n, index() if count() > 1 else 0, count())


def _shard(n: int, number: int, count: int) -> slice:
    size = -(-n // count)
    first = max(min(number * size, n - size), 0)
    return slice(first, first + size)


def all_gather(part: np.ndarray, n: int, axis: int = 0) -> np.ndarray:
    """Put together what every process has made of its `share` of n things, along an axis.

    Parameters
    ----------
    part
        Array whose axis has the length of this process' share.
    n
        How many things there are.
    axis
        The things' axis.

    Returns
    -------
    The same array in every process, with n along the axis; each value is some process' own, to the bit.
    """
    if count() == 1:
        return part
    first = np.moveaxis(part, axis, 0)
    result = np.empty((n, *first.shape[1:]), part.dtype)
    for place, own in enumerate(gather_list(first)):
        result[_shard(n, place, count())] = own
    return np.moveaxis(result, 0, axis)


def gather_list(own: np.ndarray) -> list[np.ndarray]:
    """Give every process the arrays of all, in the processes' order; they must have one shape and type.

    Bytes travel, so that no value changes; 64 MiB of all processes at a time.
    """
    if count() == 1:
        return [own]
    flat = np.ascontiguousarray(own).reshape(-1).view(np.uint8)
    result = np.empty((count(), flat.size), np.uint8)
    size = min(max(_AT_A_TIME // count(), 1), max(flat.size, 1))
    for first in range(0, flat.size, size):
        some = flat[first : first + size]
        padded = np.pad(some, (0, size - len(some)))  # one program serves all parts
        result[:, first : first + size] = _exchanged(padded)[:, : len(some)]
    return [row.view(own.dtype).reshape(own.shape) for row in result]


def _exchanged(own: np.ndarray) -> np.ndarray:
    mesh = _one_device_each()
    row = NamedSharding(mesh, P("processes"))
    whole = jax.make_array_from_process_local_data(row, own[None], (count(), own.size))
    return np.asarray(_replicated(whole, mesh).addressable_data(0))


def _replicated(whole: jax.Array, mesh: Mesh) -> jax.Array:
    return jax.jit(jnp.copy, out_shardings=NamedSharding(mesh, P()))(whole)


@cache
def _one_device_each() -> Mesh:
    firsts = {device.process_index: device for device in reversed(jax.devices())}
    devices = [firsts[process] for process in sorted(firsts)]
    return Mesh(np.asarray(devices), ("processes",), axis_types=(AxisType.Auto,))


def broadcast(make: Callable[[], Value]) -> Value:
    """Let the first process alone make something, and give it to all; so is what goes wrong there.

    Parameters
    ----------
    make
        Called in the first process; its result, or the exception it raises, must be one that pickle can hold.

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
            packed = _packed(make)
    size = int(gather_list(np.asarray([len(packed)], np.int64))[0][0])
    mine = np.frombuffer(packed.ljust(size, b"\0"), np.uint8) if is_first() else np.zeros(size, np.uint8)
    value, error = pickle.loads(gather_list(mine)[0].tobytes())
    if error is not None:
        raise error
    return value


def _packed(make: Callable[[], Any]) -> bytes:
    """What was made, or what went wrong; whatever it is, all processes must hear of it, or they would wait for ever."""
    try:
        return pickle.dumps((make(), None))
    except Exception as error:
        try:
            packed = pickle.dumps((None, error))
            pickle.loads(packed)
        except Exception:  # an exception that pickle cannot hold
            packed = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
        return packed


def barrier() -> None:
    """Wait until every process is here."""
    gather_list(np.zeros(1, np.uint8))


def to_host(tree: Any) -> Any:
    """Give arrays as NumPy's, whole in every process, wherever their parts lie."""
    return jax.tree.map(_whole, tree)


def _whole(array: Any) -> Any:
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return jax.device_get(array)
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0))
    sharding = array.sharding
    assert isinstance(sharding, NamedSharding)
    return np.asarray(_replicated(array, sharding.mesh).addressable_data(0))  # type: ignore[arg-type]


def place(tree: Any, specs: Any, mesh: Mesh) -> Any:
    """Lay out arrays, the same in every process, over a mesh; each process moves only the parts of its own devices.

    Parameters
    ----------
    tree
        Arrays on the host.
    specs
        A partition for each branch of the tree, as `jax.shard_map` takes them.
    mesh
        The devices; where they are all of this process, nothing is done, and the program moves the arrays.
    """
    if not spans_processes(mesh):
        return tree
    return jax.tree.map(lambda spec, branch: _placed(branch, NamedSharding(mesh, spec)), specs, tree, is_leaf=_is_spec)


def spans_processes(mesh: Mesh) -> bool:
    """Whether a mesh has devices of other processes."""
    return any(device.process_index != jax.process_index() for device in mesh.devices.flat)


def _is_spec(value: Any) -> bool:
    return isinstance(value, P)


def _placed(branch: Any, sharding: NamedSharding) -> Any:
    def put(array: Any) -> jax.Array:
        if isinstance(array, jax.Array) and not array.is_fully_addressable:
            return array
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, branch)


def local_part(array: Any) -> np.ndarray:
    """What of an array's values lies here: all, or this process' first shard."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(array.addressable_data(0))
