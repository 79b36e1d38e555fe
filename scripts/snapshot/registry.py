"""The registry of cases, and how their results become arrays and texts."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import names
import numpy as np
import pandas as pd
import xarray as xr
from storing import Snapshot, chosen, read_snapshot, write_snapshot

CASES: dict[str, Callable[[], Any]] = {}


def case(name: str, *each: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a case, or as one case for each value: it is then called with that value."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for value in each or (None,):
            key = f"{name}/{value}" if each else name
            if key in CASES:
                raise ValueError(f"expected each case once, got {key!r} twice")
            CASES[key] = (lambda value=value: function(value)) if each else function
        return function

    return register


def save_snapshot(folder: Path, only: str, skip: str, scratch: Path) -> int:
    """Run the chosen cases one by one in an empty folder, and save what they return.

    With a pattern, the folder's other cases are kept.
    """
    asked = chosen(CASES, only, skip)
    arrays, texts, log = _kept(folder, asked) if only else ({}, {}, {})
    work = scratch / "work"
    work.mkdir()
    with contextlib.chdir(work):
        for name in asked:
            began = time.perf_counter(), time.process_time()
            error = _run(name, arrays, texts)
            wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
            log[name] = {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "error": error}
            print(f"{wall:6.1f} s {cpu:6.1f} s CPU  {name}" + (f"  FAILED: {error}" if error else ""), flush=True)
    write_snapshot(folder, arrays, texts, log)
    failed = [name for name in asked if log[name]["error"]]
    wall, cpu = (sum(log[name][unit] for name in asked) for unit in ("seconds", "cpu_seconds"))
    print(f"{len(asked)} cases in {wall:.0f} s ({cpu:.0f} s of CPU time); {len(failed)} failed")
    return 1 if failed else 0


def _kept(folder: Path, asked: list[str]) -> Snapshot:
    """What a folder holds of other cases than those that are asked for."""
    if not (folder / "cases.json").is_file():
        return {}, {}, {}
    arrays, texts, log = (
        {key: value for key, value in part.items() if key.partition("|")[0] not in asked}
        for part in read_snapshot(folder)
    )
    return arrays, texts, log


def _run(name: str, arrays: dict[str, np.ndarray], texts: dict[str, Any]) -> str:
    """Run one case; a failure is the last line of its error, and stops nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = dict(flatten(CASES[name](), name))
    except Exception as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc(limit=-3, file=sys.stdout)
        return f"{type(error).__name__}: {error}"
    for key, value in parts.items():
        (arrays if isinstance(value, np.ndarray) else texts)[key] = value
    return ""


def flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Take a result apart into numeric arrays and texts, each with a path."""
    if isinstance(value, xr.Dataset):
        value = _dataset_parts(value)
    elif isinstance(value, pd.DataFrame):
        value = {"rows": len(value), **{str(name): column.to_numpy() for name, column in value.items()}}
    if isinstance(value, (list, tuple)) and not all(isinstance(part, (str, int, float, np.generic)) for part in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from flatten(part, f"{path}|{_former(name)}")
    elif isinstance(value, str) or value is None:
        yield path, value
    else:
        yield from _leaf(value, path)


def _leaf(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """An array or a number, or a list of numbers or of texts."""
    array = np.asarray(value)
    if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16":
        yield path, array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    elif array.dtype.kind in "UST":
        yield path, [_former(one) for one in array.ravel().tolist()]
    elif array.dtype.kind == "O" and array.ndim:
        known = np.where(pd.isna(array), None, array)  # NaN would differ from itself
        yield path, json.loads(json.dumps(known.tolist(), default=_plain))
    else:
        raise TypeError(f"expected numbers and texts, got {type(value).__name__} at {path}")


def _dataset_parts(dataset: xr.Dataset) -> dict[str, Any]:
    """The variables, coordinates and plain attributes of a dataset."""
    attrs = {name: value for name, value in dataset.attrs.items() if isinstance(value, (str, int, float, tuple))}
    dims = {str(name): list(variable.dims) for name, variable in dataset.data_vars.items()}
    return {
        **{str(name): variable.values for name, variable in dataset.variables.items()},
        "dims": dims,
        "attrs": attrs,
    }


def _former(name: Any) -> str:
    """The name that older snapshots have for this."""
    return names.RENAMED.get(str(name), str(name))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
