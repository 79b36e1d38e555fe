"""A griffe extension for the API reference: how docstrings and imports are written in this package.

- numpydoc reads a line under Returns as a type, with its description indented below. Where a docstring writes sentences
  there instead, they become the description, and the signature gives the type.
- ``from dni_jax.inspection._inspect import inspect`` makes ``dni_jax.inspection._inspect`` the function, as in Python;
  griffe would take the module of that name.
"""

import re
from collections.abc import Iterator
from typing import Any

import griffe

_RETURNS = re.compile(r"^Returns\n-{3,}\n(?P<text>.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)


def described(docstring: str, kind: str) -> str:
    """Put prose under Returns below a type."""

    def indented(match: re.Match[str]) -> str:
        lines = match["text"].rstrip().split("\n")
        if len(lines) > 1 and all(line.startswith("    ") or not line for line in lines[1:]):
            return match[0]
        body = "\n".join(f"    {line}" if line else "" for line in lines)
        return f"Returns\n-------\n{kind}\n{body}\n\n"

    return _RETURNS.sub(indented, docstring)


class House(griffe.Extension):
    """Both of the above."""

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Read prose under Returns as a description."""
        if func.docstring:
            func.docstring.value = described(func.docstring.value, str(func.returns or "result"))

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Put functions in the place of modules with their names."""
        modules = list(_modules(pkg))
        imported = {path: meant for module in modules for path, meant in _hidden(module)}
        meant = {path: pkg[target.removeprefix(f"{pkg.path}.")] for path, target in imported.items()}
        for module in modules:
            for name, member in list(module.members.items()):
                path = member.target_path if member.is_alias else member.path
                if path in meant:
                    module.members[name] = griffe.Alias(name, meant[path], parent=module)


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for member in module.members.values():
        if not member.is_alias and member.is_module:
            yield from _modules(member)


def _hidden(module: griffe.Module) -> Iterator[tuple[str, str]]:
    """Submodules whose name the module imports something else by: their path, and that thing's."""
    for name, member in module.members.items():
        if not member.is_alias and member.is_module and module.imports.get(name, member.path) != member.path:
            yield member.path, module.imports[name]
