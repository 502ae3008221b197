"""Coverage of the requirement cards, checked both ways over the source of the tests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS, marker_problems

TESTS = Path(__file__).parent


def _mark_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls of `pytest.mark.requirement` in an expression, those inside `parametrize` included."""
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func) == "pytest.mark.requirement":
            yield child


def _never_runs(decorators: list[ast.expr]) -> bool:
    return any(ast.unparse(one).startswith(("pytest.mark.skip(", "pytest.mark.xfail")) for one in decorators)


def carried_ids(source: str) -> set[str]:
    """The requirement ids that the tests in a source file answer; a test that never runs or may fail answers none."""
    marks: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if is_test or (isinstance(node, ast.ClassDef) and node.name.startswith("Test")):
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            marks += [] if _never_runs(node.decorator_list) else node.decorator_list
        elif isinstance(node, ast.Assign) and "pytestmark" in [ast.unparse(target) for target in node.targets]:
            marks.append(node.value)
    arguments = [argument for mark in marks for call in _mark_calls(mark) for argument in call.args]
    return {one.value for one in arguments if isinstance(one, ast.Constant) and isinstance(one.value, str)}


@cache
def all_carried_ids() -> frozenset[str]:
    sources = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    return frozenset().union(*(carried_ids(source) for source in sources if "requirement" in source))


def test_each_requirement_has_a_test_or_a_reason_to_be_postponed() -> None:
    idle = {name for name, one in REQUIREMENTS.items() if one.waits_for is None} - all_carried_ids()
    assert not idle, f"no test carries {sorted(idle)}; write one, or name in tests/requirements.py what it waits for"


def test_tested_requirement_has_no_reason_to_be_postponed() -> None:
    both = {name for name, one in REQUIREMENTS.items() if one.waits_for is not None} & all_carried_ids()
    assert not both, f"{sorted(both)} no longer waits; remove waits_for in tests/requirements.py"


def test_requirement_marks_have_known_ids_only() -> None:
    assert all_carried_ids() <= REQUIREMENTS.keys()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('@pytest.mark.requirement("E01", "E02")\ndef test_a() -> None: ...', {"E01", "E02"}),
        ('@pytest.mark.requirement("E01")\nasync def test_a() -> None: ...', {"E01"}),
        ('@pytest.mark.requirement("E01")\nclass TestMachine: ...', {"E01"}),
        ('pytestmark = [pytest.mark.slow, pytest.mark.requirement("E01")]', {"E01"}),
        (
            '@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("E01"))])\n'
            "def test_a(x: int) -> None: ...",
            {"E01"},
        ),
        ('@pytest.mark.requirement("E01")\ndef helper() -> None: ...', set()),
        ('@pytest.mark.skip("later")\n@pytest.mark.requirement("E01")\ndef test_a() -> None: ...', set()),
        ('@pytest.mark.xfail\n@pytest.mark.requirement("E01")\ndef test_a() -> None: ...', set()),
        ('# pytest.mark.requirement("E01")', set()),
    ],
)
def test_requirement_marks_count_only_on_tests_that_run(source: str, expected: set[str]) -> None:
    assert carried_ids(source) == expected


def test_unknown_requirement_id_is_refused_at_collection() -> None:
    marks = [pytest.mark.requirement("E01", "E99").mark, pytest.mark.requirement().mark]
    unknown, empty = marker_problems("test_x", marks)
    assert "'E99' is unknown" in unknown
    assert "names ids" in empty
