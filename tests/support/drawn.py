"""Tests on drawn examples: a few in every run, and many in the slow one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings


def few_of_many(few: int, many: int, *strategies: Any, **options: Any) -> Callable[[Callable], Callable]:
    """Make a check a test that hypothesis runs on `few` examples and, marked slow, on `many`; options of `settings`."""

    def decorate(check: Callable) -> Callable:
        @pytest.mark.parametrize("n_examples", [few, pytest.param(many, marks=pytest.mark.slow)])
        def test(n_examples: int) -> None:
            settings(max_examples=n_examples, deadline=None, **options)(given(*strategies)(check))()

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate
