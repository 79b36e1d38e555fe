"""Families of parameters of which a few are tried in every run, and all of them in the slow one."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_after(n: int, cases: Iterable[Any], n_arguments: int = 1) -> list[Any]:
    """Return the cases of a parametrization, those after the first `n` marked slow; each is `n_arguments` values."""
    cases = list(cases)
    return cases[:n] + [_mark_slow(case, n_arguments) for case in cases[n:]]


def _mark_slow(case: Any, n_arguments: int) -> Any:
    if hasattr(case, "marks"):
        return pytest.param(*case.values, marks=(*case.marks, pytest.mark.slow), id=case.id)
    return pytest.param(*(case if n_arguments > 1 else (case,)), marks=pytest.mark.slow)
