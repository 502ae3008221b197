"""The command line in a terminal of a hundred columns."""

import pytest

from tests.support.shell import Ocw


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "100")
    return Ocw(monkeypatch, capsys)
