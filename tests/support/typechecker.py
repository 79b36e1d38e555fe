"""The checker of argument and return types under test; as in typing, an int is a float.

Its programs take a fiftieth of a second each to write, thousands of times over where a function is defined within
another. So they are written when a function is first called, and only once for functions of one name and signature.
"""

import functools
import inspect

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checkers = {}


def check(function):
    """Check the types of the empty functions that jaxtyping makes for the signature of each real one."""

    @functools.wraps(function)
    def checked(*args, **kwargs):
        nonlocal checker
        if checker is None:
            checker = _shared_checker(function)
        return checker(*args, **kwargs)

    checker = None
    return checked


def _shared_checker(function):
    signature = inspect.signature(function)
    # By what they look like, because annotations of one array are equal to none but themselves.
    arguments = ((one.name, one.kind, repr(one.annotation)) for one in signature.parameters.values())
    key = (function.__module__, function.__qualname__, *arguments, repr(signature.return_annotation))
    if key not in _checkers:
        _checkers[key] = _beartype(function)
    return _checkers[key]
