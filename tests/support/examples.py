"""Tests of random examples: a few of them in `make test`, and all among the slow tests."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import settings

Test = TypeVar("Test", bound=Callable[..., object])

among_slow = False
"""Whether the slow tests run. tests/conftest.py sets it before it collects tests."""


def examples(few: int, *, slow: int, **options: Any) -> Callable[[Test], Test]:
    """Return a decorator: a test tries `few` examples, or `slow` examples where it runs as one of the slow tests.

    The options are those of `hypothesis.settings`.
    """

    def decorate(test: Test) -> Test:
        decorated = settings(max_examples=slow if among_slow else few, **options)(test)
        return pytest.mark.slow(decorated) if among_slow else decorated

    return decorate
