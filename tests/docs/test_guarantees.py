"""Each guarantee names requirements and tests that exist, and none that still waits for its test is named as proved."""

import re
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (.+?)\n(.+?)(?=^##? |^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_page_has_guarantees() -> None:
    assert len(SECTIONS) >= 7


@pytest.mark.parametrize("name", SECTIONS)
def test_guarantee_names_tests_that_exist(name: str) -> None:
    files = re.findall(r"`(tests/[^`]+)`", SECTIONS[name])
    assert files, f"{name}: a guarantee without a test is none"
    assert [each for each in files if not (ROOT / each).is_file()] == []


@pytest.mark.parametrize("name", SECTIONS)
def test_guarantee_names_requirements_that_exist(name: str) -> None:
    (ids,) = re.findall(r"^- Ids: (.+?)\.$", SECTIONS[name], re.MULTILINE)
    assert set(ids.split(", ")) <= REQUIREMENTS.keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_guarantee_says_which_requirements_still_wait(name: str) -> None:
    (ids,) = re.findall(r"^- Ids: (.+?)\.$", SECTIONS[name], re.MULTILINE)
    waiting = {each for each in ids.split(", ") if REQUIREMENTS[each].waits_for is not None}
    said = re.findall(r"^- Not proved yet: (.+?)\.$", SECTIONS[name], re.MULTILINE)
    assert waiting <= {each for line in said for each in line.split(", ")}
