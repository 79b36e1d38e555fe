"""Everything that a Lark parser's trees depend on, as text: the key of parsed texts in the cache."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lark import Lark
from lark.indenter import Indenter

_PLACES = ("source_path", "import_paths")


def fingerprint(lark: Lark, options: Mapping[str, Any], *more: Any) -> str | None:
    """Return a text that changes whenever the grammar, its options or anything in `more` does.

    The compiled grammar covers the grammar's text and everything that it imports. An option that is an object is
    represented by the source of its class. If the source cannot be read, the result is None: without a key nothing is
    cached, but a key that does not change with the code would return wrong trees.

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
    # The compiled grammar has what was imported, wherever it was found.
    settings_text = {name: _to_text(value) for name, value in options.items() if name not in _PLACES}
    if None in settings_text.values():
        return None
    return "\n".join(map(repr, [sorted(terminals), rules, ignored, settings, sorted(settings_text.items()), *more]))


def _to_text(value: Any) -> str | None:
    """Return a text for a setting that is the same in every process, or None."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, list | tuple):
        texts = [_to_text(one) for one in value]
        return None if None in texts else repr(texts)
    if isinstance(value, Mapping):
        pairs = [(str(key), _to_text(one)) for key, one in value.items()]
        return None if any(one is None for _, one in pairs) else repr(sorted(pairs))
    if getattr(value, "__dict__", None) and not inspect.isclass(value) and not inspect.isfunction(value):
        # Where Lark's Indenter is in a text it has parsed, or failed to, is no setting.
        running = ("paren_level", "indent_level") if isinstance(value, Indenter) else ()
        kept = {name: one for name, one in vars(value).items() if not name.startswith("_") and name not in running}
        state = _to_text(kept)
    else:
        state = ""
    source = _source(value)
    return None if source is None or state is None else source + state


def _source(value: Any) -> str | None:
    """Return the source of a function, or of an object's class and its base classes."""
    if inspect.isfunction(value):
        return None if value.__closure__ else _lines(value)
    described = value if inspect.isclass(value) else type(value)
    texts = [_lines(one) for one in described.__mro__[:-1] if one.__module__ not in ("abc", "typing")]
    return None if None in texts else "\n".join(one for one in texts if one)


def _lines(value: Any) -> str | None:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return None
