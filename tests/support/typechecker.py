"""Types and shapes under test, by jaxtyping and beartype; as in typing, an int is a float.

Of each function the first hundred calls are checked, then one in a hundred: to check each call of a parser's smallest
functions takes longer than the parsing. For the same reason, what checks a function is made when it is first called.
"""

import functools
import inspect
from collections import Counter

import jaxtyping
from beartype import BeartypeConf, beartype

_ALL, _ONE_IN = 100, 100

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked_always = jaxtyping.jaxtyped
_calls = Counter()  # by where a function is defined: within another one it is made anew with every call of that


def _checked_at_times(function=None, *, typechecker):
    """Check arguments and results of some of a function's calls, or whenever an object of a dataclass is made."""
    if function is None:
        return functools.partial(_checked_at_times, typechecker=typechecker)
    if not inspect.isfunction(function):
        return _checked_always(function, typechecker=typechecker)
    place = (function.__module__, function.__qualname__, function.__code__.co_firstlineno)
    checked = None

    @functools.wraps(function)
    def called(*args, **kwargs):
        nonlocal checked
        __tracebackhide__ = True
        _calls[place] += 1
        if _calls[place] > _ALL and _calls[place] % _ONE_IN:
            return function(*args, **kwargs)
        if checked is None:
            checked = _checked_always(function, typechecker=typechecker)
        return checked(*args, **kwargs)

    return called


jaxtyping.jaxtyped = _checked_at_times  # which is what the import hook of --jaxtyping-packages decorates with
