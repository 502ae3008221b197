"""The command line in a terminal of a hundred columns, and a book that commands can show."""

import asyncio
from pathlib import Path

import pytest

from tests.support.books import write_book
from tests.support.shell import Ocw


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("desk") / "book"
    asyncio.run(write_book(directory))
    return directory


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "100")
    return Ocw(monkeypatch, capsys)
