"""Finding an engine, or starting one."""

import asyncio
from pathlib import Path

import pytest

from ocw_mcp.adapters.control.address import Address, write_address
from ocw_mcp.adapters.store.lock import StateLock
from ocw_mcp.app import attach
from ocw_mcp.app.attach import LOG, PAPER, Attachment, Child
from ocw_mcp.domain.errors import AttachError
from tests.support.shell import Ocw

HERE = Address("http://127.0.0.1:1", "ocw_here", 1)
THERE = Address("http://127.0.0.1:2", "ocw_there", 2)


class Engine:
    """A process that was started, and may have ended."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code


def never(directory: Path) -> Child:
    raise AssertionError("no engine is to be started")


async def test_an_engine_that_tells_its_address_is_taken(tmp_path: Path) -> None:
    write_address(tmp_path, HERE)
    assert await Attachment(tmp_path, never)() == HERE


async def test_without_an_engine_one_is_started_and_waited_for(tmp_path: Path) -> None:
    started: list[Path] = []

    def spawn(directory: Path) -> Child:
        started.append(directory)
        write_address(directory, THERE)
        return Engine()

    attachment = Attachment(tmp_path, spawn)
    assert await attachment() == THERE
    assert await attachment() == THERE
    assert started == [tmp_path]


async def test_what_a_dead_engine_left_is_not_believed_twice(tmp_path: Path) -> None:
    def spawn(directory: Path) -> Child:
        write_address(directory, THERE)
        return Engine()

    write_address(tmp_path, HERE)
    attachment = Attachment(tmp_path, spawn)
    assert await attachment() == HERE
    assert await attachment(silent=HERE) == THERE


async def test_an_engine_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    def spawn(directory: Path) -> Child:
        (directory / LOG).write_text("ocw: the book was made for another market\n\n")
        return Engine(2)

    with pytest.raises(AttachError, match="ended: ocw: the book was made for another market"):
        await Attachment(tmp_path, spawn)()


async def test_an_engine_that_is_not_served_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "UNSERVED_S", 0.05)
    with StateLock(tmp_path), pytest.raises(AttachError, match="is not served; a person starts it with --serve"):
        await Attachment(tmp_path, never)()


async def test_nobody_is_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "PATIENCE_S", 0.1)
    with pytest.raises(AttachError, match="did not come within"):
        await Attachment(tmp_path, lambda directory: Engine())()


def test_an_engine_on_paper_is_given_no_key() -> None:
    assert not [name for name in attach.KEPT if "KEY" in name or "TOKEN" in name or name.startswith(("BINANCE", "AN"))]


@pytest.mark.parametrize("ran", [{"agent": "none"}, {"policy": "conservative"}])
def test_a_book_that_ran_with_other_limits_or_for_another_agent_is_a_persons_to_start(
    tmp_path: Path, ran: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book"
    options = [part for name, value in ran.items() for part in (f"--{name}", value)]
    assert Ocw(monkeypatch, capsys)("run", "--market", "sim", "--for", "1h", "--state", book, *options).code == 0
    with pytest.raises(AttachError, match="a person starts it again as it was"):
        asyncio.run(Attachment(book, never)())


def test_a_book_that_ran_as_a_start_would_run_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book"
    assert Ocw(monkeypatch, capsys)("run", "--market", "sim", "--for", "1h", "--state", book).code == 0

    def spawn(directory: Path) -> Child:
        write_address(directory, THERE)
        return Engine()

    assert asyncio.run(Attachment(book, spawn)()) == THERE


def test_the_log_of_an_engine_that_is_started_for_a_client_is_for_people() -> None:
    assert "--json" not in PAPER
