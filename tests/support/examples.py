"""Tests of many cases: some of the cases in `make test`, and all of them among the slow tests."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings

Value = TypeVar("Value")
Test = TypeVar("Test", bound=Callable[..., object])

MUTATION = "mutation"
"""The profile of Hypothesis in mutation testing, which runs no slow tests."""

among_slow = False
"""Whether the slow tests run. tests/conftest.py sets it before it collects tests."""


def examples(few: int, *, slow: int, **options: Any) -> Callable[[Test], Test]:
    """Return a decorator: a test tries `few` examples, or `slow` examples where it runs as one of the slow tests.

    The options are those of `hypothesis.settings`. Mutation testing tries as many as the slow tests.
    """

    def decorate(test: Test) -> Test:
        every = among_slow or settings.get_current_profile_name() == MUTATION
        decorated = settings(max_examples=slow if every else few, **options)(test)
        return pytest.mark.slow(decorated) if among_slow else decorated

    return decorate


def again_among_slow(test: Test) -> Test:
    """Let a test run in `make test` and again as one of the slow tests, where `some` leaves nothing out."""
    return pytest.mark.slow(test) if among_slow else test


def some(values: Sequence[Value], few: int = 6) -> Sequence[Value]:
    """Return `few` of the values, evenly from the first to the last, or all of them in a test among the slow ones."""
    last = len(values) - 1
    if among_slow or last < few:
        return values
    return [values[number * last // (few - 1)] for number in range(few)]


def slow_after(few: int, values: Iterable[object]) -> list[object]:
    """Return the values of a parameter, where each after the first `few` runs only among the slow tests."""
    plain = list(values)
    later = [value if isinstance(value, tuple) else (value,) for value in plain[few:]]
    return plain[:few] + [pytest.param(*each, marks=pytest.mark.slow) for each in later]
