"""Packages whose names are imported when they are first used, so that importing the package takes no time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def import_on_use(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`.

    Parameters
    ----------
    package
        Its ``__name__``.
    homes
        The module that each name is imported from; a name whose home is `package` is a module of it.

    Examples
    --------
    >>> get, _ = import_on_use("dni_jax.text", {"Corpus": "dni_jax.text"})
    >>> get("corpse")
    Traceback (most recent call last):
    AttributeError: module 'dni_jax.text' has no attribute 'corpse'
    """

    def get(name: str) -> Any:
        """Import a name when it is first used."""
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        value = import_module(f"{home}.{name}") if home == package else getattr(import_module(home), name)
        setattr(sys.modules[package], name, value)  # the next use finds it there
        return value

    return get, lambda: list(sys.modules[package].__all__)
