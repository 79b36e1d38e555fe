"""C before the parser sees it: comments, preprocessor lines and dead branches turned into spaces, length unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]

_QUOTED = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'"
_COMMENT_OR_QUOTED = re.compile(rf"(//(?:[^\\\n]|\\.)*|/\*.*?(?:\*/|\Z))|{_QUOTED}", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*([A-Za-z]*)((?:[^\\\n]|\\[^\n]|\\\n)*)", re.MULTILINE)
_NOT_NEWLINE = re.compile(r"[^\n]")
_NEVER = re.compile(r"[\s(]*0(?:[\s)]*$|\s*&&)")
_CPLUSPLUS = re.compile(r"[\s(]*(?:defined\s*\(?\s*)?__cplusplus\b")


@dataclass(frozen=True)
class Blanked:
    """A C text without what is not C proper.

    Attributes
    ----------
    text
        As long as the original, with the same line breaks; spaces in place of everything in the spans below.
    comments, directives, dead
        Where comments stand, preprocessor lines (with their continuations), and branches that are not compiled:
        ``#else`` and ``#elif`` behind a branch that was taken, ``#if 0``, ``#ifdef __cplusplus``; from the end of the
        directive that kills to the start of the one that revives.
    """

    text: str
    comments: tuple[Span, ...]
    directives: tuple[Span, ...]
    dead: tuple[Span, ...]


def blank(text: str) -> Blanked:
    r"""Turn comments, preprocessor lines and dead branches into spaces.

    Examples
    --------
    >>> blank("int a; /* x */\n#define A 1\nint b;").text
    'int a;        \n           \nint b;'
    """
    comments = tuple(match.span() for match in _COMMENT_OR_QUOTED.finditer(text) if match.group(1) is not None)
    # A comment's line breaks do not end a preprocessor line.
    joined = _replaced(text, comments, lambda part: " " * len(part))
    found = [
        (match.start(), match.end(), match.group(1), match.group(2))
        for match in _DIRECTIVE.finditer(joined)
        if match.group(1) or not match.group(2).strip() or "#" not in match.group(2)
    ]
    directives = tuple((first, last) for first, last, _, _ in found)
    dead = tuple(_dead_branches(found, len(text)))
    return Blanked(_blanked(text, [*comments, *directives, *dead]), comments, directives, dead)


def _replaced(text: str, spans: Iterable[Span], by: object) -> str:
    parts, place = [], 0
    for first, last in spans:
        parts += [text[place:first], by(text[first:last])]  # type: ignore[operator]
        place = last
    return "".join([*parts, text[place:]])


def _blanked(text: str, spans: Iterable[Span]) -> str:
    return _replaced(text, merged(spans), lambda part: _NOT_NEWLINE.sub(" ", part))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap or touch; sorted.

    Examples
    --------
    >>> merged([(5, 7), (0, 3), (2, 4)])
    [(0, 4), (5, 7)]
    """
    result: list[Span] = []
    for first, last in sorted(spans):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def _dead_branches(directives: Iterable[tuple[int, int, str, str]], length: int) -> Iterator[Span]:
    """Follow the conditional directives; give what lies between a directive that kills and the one that ends it."""
    stack: list[list[bool]] = []  # for each open #if: whether a branch was taken, whether the current one is live
    since = -1
    for first, last, name, condition in directives:
        was_live = all(live for _, live in stack)
        if name in ("if", "ifdef", "ifndef"):
            live = _may_hold(name, condition)
            stack.append([live, live])
        elif not stack:
            continue
        elif name in ("elif", "else"):
            taken = stack[-1][0]
            live = not taken and (name == "else" or _may_hold("if", condition))
            stack[-1] = [taken or live, live]
        elif name == "endif":
            stack.pop()
        is_live = all(live for _, live in stack)
        if was_live and not is_live:
            since = last
        elif is_live and not was_live:
            yield since, first
    if since >= 0 and not all(live for _, live in stack):
        yield since, length


def _may_hold(name: str, condition: str) -> bool:
    """Whether a condition is anything but known to be false: 0, or being C++."""
    if name == "ifndef":
        return True
    if name == "ifdef":
        return not _CPLUSPLUS.match(condition)
    return not (_NEVER.match(condition) or _CPLUSPLUS.match(condition))
