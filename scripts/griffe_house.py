"""A griffe extension for the API reference: sentences under Returns are a description, the signature gives the type.

numpydoc reads a line there as a type, with its description indented below.
"""

import re
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
    """Docstrings as this package writes them."""

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Read prose under Returns as a description."""
        if func.docstring:
            func.docstring.value = described(func.docstring.value, str(func.returns or "result"))
