"""Tests of many cases run some of them in `make test`, and all of them among the slow tests."""

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support import examples as cases


def marks_of(test: Callable[..., object]) -> list[str]:
    return [mark.name for mark in getattr(test, "pytestmark", [])]


def tried(test: Callable[[], object], tries: list[int]) -> int:
    tries.clear()
    test()
    return len(tries)


@pytest.mark.parametrize(("among_slow", "count", "marks"), [(False, 3, []), (True, 9, ["slow"])])
def test_decorated_test_tries_few_examples_or_all(
    among_slow: bool, count: int, marks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "among_slow", among_slow)
    tries: list[int] = []

    @cases.examples(3, slow=9, database=None, phases=[Phase.generate])
    @given(st.integers())
    def test(number: int) -> None:
        tries.append(number)

    assert tried(test, tries) == count
    assert marks_of(test) == marks


def test_mutation_testing_tries_as_many_examples_as_slow_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "MUTATION", settings.get_current_profile_name())
    tries: list[int] = []

    @cases.examples(3, slow=9, database=None, phases=[Phase.generate])
    @given(st.integers())
    def test(number: int) -> None:
        tries.append(number)

    assert tried(test, tries) == 9
    assert marks_of(test) == []


def test_some_values_reach_from_the_first_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(cases.some(range(100), 4)) == [0, 33, 66, 99]
    assert list(cases.some(range(3), 4)) == [0, 1, 2]
    monkeypatch.setattr(cases, "among_slow", True)
    assert list(cases.some(range(100), 4)) == list(range(100))


@pytest.mark.parametrize(("among_slow", "marks"), [(False, []), (True, ["slow"])])
def test_decorated_test_runs_again_among_the_slow_tests(
    among_slow: bool, marks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "among_slow", among_slow)

    @cases.again_among_slow
    def test() -> None: ...

    assert marks_of(test) == marks


def test_values_after_the_first_few_are_marked_as_slow() -> None:
    first, *later = cases.slow_after(1, [1, 2, (3, 4)])
    assert first == 1
    assert [each.values for each in later] == [(2,), (3, 4)]  # type: ignore[attr-defined]
    assert [[mark.name for mark in each.marks] for each in later] == [["slow"], ["slow"]]  # type: ignore[attr-defined]
