"""What a Lark parser's trees depend on, as text: the key under which parsed files are kept."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lark import Lark


def fingerprint(lark: Lark, options: Mapping[str, Any], *more: Any) -> str | None:
    """Write down a compiled grammar, its options, and whatever else takes part.

    The compiled grammar stands for the text and everything that it imports. An option that is an object stands for
    its class's source; where there is none to be had, the answer is None: better no key than one that does not change.

    Examples
    --------
    >>> text = 'start: "a" start | "b"'
    >>> fingerprint(Lark(text), {}) == fingerprint(Lark(text + "  // the same"), {})
    True
    >>> fingerprint(Lark(text), {}) == fingerprint(Lark(text.replace("b", "c")), {})
    False
    """
    terminals = [f"{one.name}: {one.pattern!r} {one.pattern.flags} {one.priority}" for one in lark.terminals]
    rules = [f"{rule!r} {rule.alias} {rule.order} {rule.options!r}" for rule in lark.rules]
    ignored = sorted(lark.ignore_tokens)
    settings = [lark.options.parser, lark.options.lexer, lark.options.start, lark.options.ambiguity]
    written = {name: _written(value) for name, value in options.items()}
    if None in written.values():
        return None
    return "\n".join(map(repr, [sorted(terminals), rules, ignored, settings, sorted(written.items()), *more]))


def _written(value: Any) -> str | None:
    """Write a setting down so that another program would write the same."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, list | tuple):
        parts = [_written(part) for part in value]
        return None if None in parts else repr(parts)
    if isinstance(value, Mapping):
        pairs = [(str(key), _written(part)) for key, part in value.items()]
        return None if any(part is None for _, part in pairs) else repr(sorted(pairs))
    if getattr(value, "__dict__", None) and not inspect.isclass(value) and not inspect.isfunction(value):
        state = _written({name: part for name, part in vars(value).items() if not name.startswith("_")})
    else:
        state = ""
    source = _source(value)
    return None if source is None or state is None else source + state


def _source(value: Any) -> str | None:
    """The source of a function, or of an object's class and the classes above it."""
    if inspect.isfunction(value):
        return None if value.__closure__ else _lines(value)
    described = value if inspect.isclass(value) else type(value)
    parts = [_lines(one) for one in described.__mro__[:-1] if one.__module__ not in ("abc", "typing")]
    return None if None in parts else "\n".join(part for part in parts if part)


def _lines(value: Any) -> str | None:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return None
