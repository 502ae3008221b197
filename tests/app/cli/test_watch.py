"""`ocw watch` draws a book from its store until it is interrupted."""

import contextlib
import io
import json
import os
import pty
import shutil
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app.cli.watch import watch
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.state import MARKET_DATA
from tests.adapters.store.books import STORY, open_book, tell
from tests.support.books import BOOK
from tests.support.shell import Ocw

CLEAR = "\x1b[?1049l"
"""What gives the terminal back as it was."""


def a_terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=40, highlight=False, markup=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Waits:
    """Passes the time by the next thing of a script: something that happens, or keys; Ctrl-C when it is over."""

    def __init__(self, *things: object) -> None:
        self._things = list(things)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> str:
        self.waited.append(seconds)
        if not self._things:
            raise KeyboardInterrupt
        thing = self._things.pop(0)
        if isinstance(thing, str):
            return thing
        assert callable(thing)
        thing()
        return ""


@pytest.mark.parametrize("once", [("--once",), ()])
def test_watch_draws_once_without_a_terminal(ocw: Ocw, desk: Path, once: tuple[str, ...]) -> None:
    before = {each.name: each.stat().st_mtime_ns for each in desk.iterdir()}
    said = ocw("watch", "--state", desk, *once)
    assert (said.code, said.err) == (0, "")
    for part in (f"book {BOOK}", "not running", "ACTIVE", "equity", "day ", "Decisions", "Fills", "gate: ", "quiet"):
        assert part in said.out
    assert max(map(len, said.out.splitlines())) <= 100
    assert {each.name: each.stat().st_mtime_ns for each in desk.iterdir()} == before


def test_watch_shows_a_book_with_and_without_events(ocw: Ocw, tmp_path: Path) -> None:
    with StateLock(tmp_path), closing(open_book(tmp_path)) as store:
        assert "engine running · no event yet" in ocw("watch", "--state", tmp_path).out
        tell(store)
        assert ocw("watch", "--state", tmp_path).code == 0


def test_watch_draws_each_second_until_interrupted(tmp_path: Path) -> None:
    console = a_terminal()
    with closing(open_book(tmp_path)) as store:
        waits = Waits(lambda: tell(store), lambda: store.commit(summarise=lambda: SUMMARY))
        watch(tmp_path, console, once=False, wait=waits)
    assert waits.waited == [1.0, 1.0, 1.0]
    begun, _, ended = shown(console).rpartition(CLEAR)
    assert "no event yet" in begun
    assert "12,345.67" in begun
    # What was seen last stays in the terminal.
    assert "12,345.67" in ended
    assert "HALTED by ann at 1970-01-01 00:00:01 UTC: the news; ocw resume ends it" in ended
    assert "limit: no entries today" in ended


def test_watch_shows_that_missing_data_end_by_themselves(ocw: Ocw, tmp_path: Path) -> None:
    lowered = {"by": MARKET_DATA, "at": 1_000, "why": "silent"}
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(summarise=lambda: SUMMARY | {"state": "REDUCING", "lowered": lowered})
    assert "silent; it ends when the data return" in ocw("watch", "--state", tmp_path, "--once").out


SUMMARY = {
    "at": 2_000, "state": "HALTED", "equity": "12345.67", "day": "2026-01-01", "daily_loss": "0.05",
    "daily_loss_reached": True, "positions": [], "candles": 2, "evaluations": 2, "skips": {"quiet": 1},
    "lowered": {"by": "ann", "at": 1_000, "why": "the news"},
}  # fmt: skip


def test_watch_keeps_its_last_screen_if_a_book_becomes_unreadable(tmp_path: Path) -> None:
    console, book, away = a_terminal(), tmp_path / "book", tmp_path / "away"
    with closing(open_book(book)) as store:
        tell(store, STORY)
        store.commit(summarise=lambda: SUMMARY)
    watch(book, console, once=False, wait=Waits(lambda: shutil.move(book, away), lambda: None, lambda: None))
    last = shown(console).rpartition(CLEAR)[2]
    assert last.count("cannot be read now") == 1
    assert "12,345.67" in last.partition("cannot be read now")[2]


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal as standard input: its outer and its inner end."""
    outside, inside = pty.openpty()
    with open(inside, closefd=False) as stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        yield outside, inside
    os.close(outside)
    os.close(inside)


def test_watch_quits_only_on_q(tmp_path: Path) -> None:
    console = a_terminal()
    open_book(tmp_path).close()
    waits = Waits("x", "", "Q", lambda: pytest.fail("it went on"))
    watch(tmp_path, console, once=False, wait=waits)
    assert len(waits.waited) == 3
    begun, _, ended = shown(console).rpartition(CLEAR)
    assert "q quits" in begun
    assert "no event yet" in ended
    assert "q quits" not in ended


def test_q_is_read_from_the_terminal_without_a_newline(tmp_path: Path, keyboard: tuple[int, int]) -> None:
    outside, inside = keyboard
    usual = termios.tcgetattr(inside)
    open_book(tmp_path).close()
    os.write(outside, b"q")
    watch(tmp_path, a_terminal(), once=False)
    assert termios.tcgetattr(inside) == usual


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "end",
    [
        "q",
        fail,
        *(lambda number=number: os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)),
        *(lambda number=number: os.kill(os.getpid(), number) for number in (signal.SIGHUP, signal.SIGQUIT)),
    ],
    ids=["q", "an error", "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"],
)
def test_watch_restores_the_terminal_however_it_ends(tmp_path: Path, keyboard: tuple[int, int], end: object) -> None:
    _, inside = keyboard
    usual, modes = termios.tcgetattr(inside), []
    open_book(tmp_path).close()
    waits = Waits(lambda: modes.append(termios.tcgetattr(inside)[3]), end, lambda: None)
    console = a_terminal()
    with contextlib.suppress(ZeroDivisionError):
        watch(tmp_path, console, once=False, wait=waits)
    assert not modes[0] & (termios.ICANON | termios.ECHO)
    assert termios.tcgetattr(inside) == usual
    assert CLEAR in shown(console)


def test_watch_without_a_book_restores_the_terminal(tmp_path: Path, keyboard: tuple[int, int]) -> None:
    _, inside = keyboard
    usual = termios.tcgetattr(inside)
    with pytest.raises(BookError):
        watch(tmp_path / "none", a_terminal(), once=False)
    assert termios.tcgetattr(inside) == usual


def test_watch_shows_prices_and_equity_of_a_flat_book(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        store.commit(summarise=lambda: SUMMARY | {"prices": {"BTCUSDT": "65210.1", "ETHUSDT": "3412.5"}})
    said = ocw("watch", "--state", tmp_path).out
    assert "BTCUSDT 65210.1 · ETHUSDT 3412.5\n" in said
    assert "equity 12,345.67" in said
    assert " · flat" in said


def test_summary_of_a_book_has_prices_of_all_symbols(ocw: Ocw, desk: Path) -> None:
    prices = json.loads(ocw("status", "--json", "--state", desk).out)["summary"]["prices"]
    assert list(prices) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert all(Decimal(price) > 0 for price in prices.values())


def test_watch_into_a_pipe_draws_once_even_with_forced_colours(
    ocw: Ocw, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert CLEAR not in ocw("watch", "--state", desk).out


def test_signal_ends_watch_and_restores_the_terminal(tmp_path: Path) -> None:
    console = a_terminal()
    open_book(tmp_path).close()
    watch(tmp_path, console, once=False, wait=Waits(lambda: os.kill(os.getpid(), signal.SIGTERM), lambda: None))
    assert CLEAR in shown(console)
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler


def test_watch_without_a_book_prints_one_sentence(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("watch", "--state", tmp_path / "none")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    with pytest.raises(BookError):
        watch(tmp_path / "none", a_terminal(), once=False)
