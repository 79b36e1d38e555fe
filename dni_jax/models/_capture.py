"""Intermediate values of any Flax module, by path."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax
import numpy as np
from flax import linen, nnx

from dni_jax.models._intercept import ROOT, Outputs, run_linen, run_nnx

Pattern = str | re.Pattern[str]
_Run = Callable[[tuple[Any, ...]], dict[str, np.ndarray]]


def record_module(
    module: Any,
    inputs: Any,
    select: Pattern | Sequence[Pattern] | None = None,
    *,
    variables: Any = None,
    batch: int | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Run a Flax module and return the outputs of its submodules.

    Parameters
    ----------
    module
        A Flax NNX module, or a Linen one with its `variables`. It is not changed: an NNX module is copied first
        (its arrays are shared), so running averages and random streams stay where they are.
    inputs
        What the module is called with: a tuple is taken as several arguments, anything else as the one argument.
    select
        Paths of submodules, such as ``"encoder/layers/0/mlp"``; a path with ``*``, ``?``, ``[...]`` as in
        `fnmatch.fnmatchcase` (``*`` goes across ``/``); a compiled regular expression, searched in the path; or
        several of these. ``"."`` is the module itself. None: all.
    variables
        A Linen module's variables, as ``module.init`` returns them.
    batch
        How many rows of the inputs' leading axis to run at a time; the outputs, kept in main memory, are
        concatenated along theirs. Each part starts from the module as it was passed. None: all at once.
    options
        Keyword arguments of the call, the same for every part (``train=False``).

    Returns
    -------
    A dict of NumPy arrays with the shapes and dtypes of the submodules' outputs. Its names are the paths, followed by

    - ``#0``, ``#1``, ... where a submodule is called several times in one run;
    - the place in the output where that is not one array: ``cell[0][1]``, ``cell[1]`` for a cell that returns
      ``(c, h), y``.

    A submodule that is held in two places has the first path of `nnx.iter_modules`.

    Raises
    ------
    ValueError
        For a module that is not Flax's, a pattern that no path fits (the paths are listed), a pattern that fits only
        submodules whose values exist inside a transformation (a cell in ``nnx.RNN``: select the RNN), or, with
        `batch`, an output that does not have the inputs' leading axis.

    Notes
    -----
    Only calls of the modules themselves are kept (``__call__``), not of their other methods.
    Where a pattern fits several submodules, those that run inside ``scan``, ``vmap``, ``jit`` or ``remat``, and those
    that do not run, are left out. (A Linen transformation that carries ``"intermediates"`` along keeps its own.)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> rngs = nnx.Rngs(0)
    >>> module = nnx.Sequential(nnx.RNN(nnx.LSTMCell(3, 8, rngs=rngs)), nnx.Linear(8, 2, rngs=rngs))
    >>> values = record_module(module, jnp.ones((5, 7, 3)), "layers/*", batch=2)
    >>> {path: value.shape for path, value in values.items()}
    {'layers/0': (5, 7, 8), 'layers/1': (5, 7, 2)}
    """
    patterns = _patterns(select)
    run = _runner(module, variables, patterns, options)
    args = inputs if type(inputs) is tuple else (inputs,)
    return run(args) if batch is None else _in_parts(run, args, batch)


def _patterns(select: Pattern | Sequence[Pattern] | None) -> tuple[Pattern, ...]:
    patterns = ("*",) if select is None else (select,) if isinstance(select, (str, re.Pattern)) else tuple(select)
    if not patterns or not all(isinstance(pattern, (str, re.Pattern)) for pattern in patterns):
        raise ValueError(f"expected select to be a path, a pattern, several of them or None, got {select!r}")
    return patterns


def _runner(module: Any, variables: Any, patterns: tuple[Pattern, ...], options: dict[str, Any]) -> _Run:
    def wants(path: str) -> bool:
        return any(_fits(pattern, path) for pattern in patterns)

    if isinstance(module, nnx.Module) and variables is not None:
        raise ValueError("expected variables=None with an NNX module, got some: it holds its own")
    if isinstance(module, linen.Module) and variables is None:
        raise ValueError("expected variables= with a Linen module, got None: pass what module.init returned")
    if not isinstance(module, (nnx.Module, linen.Module)):
        raise ValueError(
            f"expected a Flax NNX or Linen module, got {type(module).__name__}: "
            "record other networks' states yourself, and pass them to dni.from_arrays"
        )

    def run(args: tuple[Any, ...]) -> dict[str, np.ndarray]:
        if isinstance(module, nnx.Module):
            caught = run_nnx(module, args, options, wants)
        else:
            caught = run_linen(module, variables, args, options, wants)
        for pattern in patterns:
            _refuse_without_values(pattern, caught)
        return _named(caught)

    return run


def _fits(pattern: Pattern, path: str) -> bool:
    if isinstance(pattern, str):
        return path == pattern or fnmatchcase(path, pattern)
    return pattern.search(path) is not None


def _refuse_without_values(pattern: Pattern, caught: Outputs) -> None:
    if any(_fits(pattern, path) for path in caught.values):
        return
    text = pattern if isinstance(pattern, str) else pattern.pattern
    fitting = [path for path in caught.paths if _fits(pattern, path)]
    if fitting:
        around = dict.fromkeys(path.rpartition("/")[0] or ROOT for path in fitting)
        others = [path for path in around if path in caught.paths and path not in fitting]
        raise ValueError(
            f"expected a submodule with values of its own for {text!r}, got {_listed(fitting)}, which did not run, or "
            "ran only inside scan, vmap, jit or remat, where values are symbols: "
            + (f"select the module around it ({_listed(others)})" if others else "call record_module outside of them")
        )
    close = get_close_matches(text, list(caught.paths), n=3, cutoff=0.5)
    hint = f"; did you mean {_listed(close)}?" if close else ""
    raise ValueError(f"expected a path among {_listed(list(caught.paths))}, got {text!r}, which fits none{hint}")


def _listed(paths: list[str], most: int = 40) -> str:
    more = f", ... ({len(paths):,} in all)" if len(paths) > most else ""
    return ", ".join(map(repr, paths[:most])) + more


def _named(caught: Outputs) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for path, calls in caught.values.items():
        for number, output in enumerate(calls):
            call = f"{path}#{number}" if len(calls) > 1 else path
            for place, value in jax.tree_util.tree_leaves_with_path(output):
                named[call + jax.tree_util.keystr(place)] = value
    return named


def _n_rows(args: tuple[Any, ...]) -> int:
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(args)]
    if not shapes or () in shapes or len({shape[0] for shape in shapes}) != 1 or shapes[0][0] == 0:
        raise ValueError(
            f"expected inputs that share a leading axis, to be run in parts of it, got shapes {shapes}: "
            "pass what is the same for all parts as keyword arguments"
        )
    return shapes[0][0]


def _in_parts(run: _Run, args: tuple[Any, ...], batch: int) -> dict[str, np.ndarray]:
    if isinstance(batch, bool) or batch < 1:
        raise ValueError(f"expected batch to be None or a whole number >= 1, got {batch!r}")
    n_rows = _n_rows(args)
    kept: dict[str, np.ndarray] = {}
    for first in range(0, n_rows, batch):
        rows = slice(first, min(first + batch, n_rows))
        values = run(jax.tree.map(lambda leaf, rows=rows: leaf[rows], args))
        kept = kept or {name: np.empty((n_rows, *value.shape[1:]), value.dtype) for name, value in values.items()}
        if kept.keys() != values.keys():
            raise ValueError(
                f"expected the same outputs of every part, got {_listed(sorted(kept.keys() ^ values.keys()))} in some "
                "only: leave batch out"
            )
        for name, value in values.items():
            expected = (rows.stop - rows.start, *kept[name].shape[1:])
            if value.shape != expected:
                raise ValueError(
                    f"expected the output of {name!r} to have the leading axis of its inputs, shape {expected}, "
                    f"got {value.shape}: select others, or leave batch out"
                )
            kept[name][rows] = value
    return kept
