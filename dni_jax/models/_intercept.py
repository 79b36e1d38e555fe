"""The outputs of a Flax module's submodules, captured while it runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from flax import linen, nnx
from flax.core import unfreeze
from flax.traverse_util import flatten_dict

# Classes belong to the whole process; a module may itself record another one.
_PATCHING = threading.RLock()
ROOT = "."


@dataclass
class Outputs:
    """What was captured in one run.

    Attributes
    ----------
    values
        The outputs by path, one per call, in the order of first calls; leaves are NumPy arrays.
    paths
        Every path of a submodule that can be called.
    """

    values: dict[str, list[Any]] = field(default_factory=dict)
    paths: dict[str, None] = field(default_factory=dict)

    def note(self, path: str, output: Any) -> None:
        """Keep one call's output, unless its values exist only inside a transformation."""
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(output)):
            self.values.setdefault(path, []).append(jax.tree_util.tree_map_with_path(_array_of(path), output))


def run_nnx(
    module: nnx.Module, args: tuple[Any, ...], options: dict[str, Any], wants: Callable[[str], bool]
) -> Outputs:
    """Call a copy of an NNX module, so that its statistics and random streams stay as they are."""
    copy = nnx.clone(module)
    caught = Outputs()
    path_of: dict[int, str] = {}
    owners: list[type] = []
    for path, part in sorted(nnx.iter_modules(copy), key=_from_the_root):
        owner = next((base for base in type(part).__mro__ if "__call__" in vars(base)), None)
        if owner is not None:
            path_of[id(part)] = _joined(path)
            owners.append(owner)
    caught.paths = dict.fromkeys(path_of.values())
    if ROOT not in caught.paths:
        raise ValueError(
            f"expected a module with __call__, got {type(module).__name__} without: "
            "hold it in a small module whose __call__ calls the method you mean"
        )
    calling: list[int] = []

    def call(original: Any, part: Any, *args: Any, **kwargs: Any) -> Any:
        bound = original.__get__(part, type(part))
        again = bool(calling) and calling[-1] == id(part)  # super().__call__ is not a second call
        path = path_of.get(id(part))
        if path is None or again:
            return bound(*args, **kwargs)
        calling.append(id(part))
        try:
            output = bound(*args, **kwargs)
        finally:
            calling.pop()
        if wants(path):
            caught.note(path, output)
        return output

    with _replaced_calls(owners, call):
        copy(*args, **options)
    return caught


def run_linen(
    module: linen.Module, variables: Any, args: tuple[Any, ...], options: dict[str, Any], wants: Callable[[str], bool]
) -> Outputs:
    """Apply a Linen module, with the intermediates of the wanted paths."""
    caught = Outputs()

    def keeps(part: linen.Module, method: str) -> bool:
        if method != "__call__":
            return False
        path = _joined(part.path)
        caught.paths[path] = None
        return wants(path)

    given = {name: values for name, values in unfreeze(variables).items() if name != "intermediates"}
    _, state = module.apply(given, *args, capture_intermediates=keeps, mutable=["intermediates"], **options)
    for path, outputs in flatten_dict(unfreeze(state).get("intermediates", {})).items():
        if path[-1] == "__call__":
            for output in outputs:
                caught.note(_joined(path[:-1]), output)
    return caught


@contextmanager
def _replaced_calls(owners: list[type], call: Callable[..., Any]) -> Iterator[None]:
    """Replace the classes' own ``__call__`` by `call` for a while (Python looks it up on classes only)."""
    with _PATCHING:
        originals = {owner: vars(owner)["__call__"] for owner in dict.fromkeys(owners)}
        try:
            for owner, original in originals.items():
                type.__setattr__(owner, "__call__", _wrap(original, call))
            yield
        finally:
            for owner, original in originals.items():
                type.__setattr__(owner, "__call__", original)


def _wrap(original: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(original, self, *args, **kwargs)

    return wrapper


def _from_the_root(item: tuple[tuple[Any, ...], Any]) -> list[str]:
    return [f"{part:09}" if isinstance(part, int) else str(part) for part in item[0]]


def _joined(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path)) or ROOT


def _array_of(path: str) -> Callable[[Any, Any], np.ndarray]:
    def convert(place: Any, leaf: Any) -> np.ndarray:
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex)):
            name = path + jax.tree_util.keystr(place)
            raise ValueError(f"expected outputs made of arrays, got {type(leaf).__name__} from {name!r}: select others")
        return np.asarray(leaf)

    return convert
