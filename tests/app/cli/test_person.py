"""Passphrases and confirmations that only a person at a terminal can type."""

import io
import json
import os
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app import cli
from ocw_mcp.domain.state import MARKET_DATA, Fall, Mode
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN
from tests.adapters.store.books import BOOK, STAMP, open_book, tell
from tests.support.shell import Ocw
from tests.support.terminal import GONE, person

WORD = "correct horse battery"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setattr(passphrase, "USUAL", passphrase.Cost(n=16))
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book on paper."""
    with closing(open_book(tmp_path / "book")) as store:
        tell(store)
    return tmp_path / "book"


@pytest.fixture
def guarded(book: Path) -> Path:
    """The same with a passphrase."""
    passphrase.keep(book, WORD, passphrase.Cost(n=16))
    return book


def waiting(book: Path) -> list[str]:
    folder = book / "commands"
    return [json.loads(each.read_bytes())["verb"] for each in folder.iterdir()] if folder.exists() else []


def test_a_passphrase_is_typed_twice_and_never_shown(ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, WORD, WORD) as someone:
        said = ocw("passphrase", "set", "--state", book)
    assert (said.code, said.out.startswith("the passphrase is set")) == (0, True)
    assert "the same once more: " in someone.screen
    assert "horse" not in someone.screen + said.out
    assert passphrase.matches(book, WORD)


def test_echo_is_off_only_while_a_passphrase_is_checked(
    ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bool] = []
    matches = passphrase.matches

    def checked(directory: Path, word: str) -> bool:
        shown.append(bool(termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO))
        return matches(directory, word)

    monkeypatch.setattr(passphrase, "matches", checked)
    with person(monkeypatch, "wrong", WORD, "another word", "another word"):
        assert ocw("passphrase", "set", "--state", guarded).code == 0
        assert termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO
    assert shown == [False, False]


@pytest.mark.parametrize(
    "arguments", [("resume",), ("approve", "a1"), ("deny", "a1"), ("agent", "resume"), ("passphrase", "set")]
)
def test_echo_is_off_before_a_passphrase_command_is_imported(
    ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    shown: list[bool] = []
    monkeypatch.setattr(
        cli, "dispatch", lambda: shown.append(bool(termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO))
    )
    with person(monkeypatch):
        ocw(*arguments, "--state", guarded)
        ocw("status", "--state", guarded)
    assert shown == [False, True]


def test_new_passphrase_needs_the_current_one(ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, "not the old one", WORD, "another word", "another word") as someone:
        assert ocw("passphrase", "set", "--state", guarded).code == 0
    assert "wrong passphrase; 2 more tries" in someone.screen
    assert passphrase.matches(guarded, "another word")
    with person(monkeypatch, WORD, WORD, WORD, "too late", "too late") as someone:
        assert ocw("passphrase", "set", "--state", guarded).code == 1
    assert someone.unasked == 2
    assert passphrase.matches(guarded, "another word")


@pytest.mark.parametrize(
    ("answers", "told"),
    [(("short",), "expected 8 to"), ((WORD, f"{WORD}!"), "the two passphrases differ"), ((GONE,), "was closed")],
)
def test_invalid_passphrase_is_refused_and_not_set(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...], told: str
) -> None:
    with person(monkeypatch, *answers) as someone:
        assert ocw("passphrase", "set", "--state", book).code == 2
    assert told in someone.screen
    assert not passphrase.is_set(book)


def test_passphrase_can_be_set_before_the_first_run(ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, WORD, WORD) as someone:
        assert ocw("passphrase", "set", "--state", tmp_path / "desk").code == 2
    assert "ocw init" in someone.screen
    (tmp_path / "desk").mkdir()
    with person(monkeypatch, WORD, WORD):
        assert ocw("passphrase", "set", "--state", tmp_path / "desk").code == 0
    open_book(tmp_path / "desk").close()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "diary.txt").write_text("dear diary")
    with person(monkeypatch, WORD, WORD):
        assert ocw("passphrase", "set", "--state", tmp_path / "foreign").code == 2
    assert os.listdir(tmp_path / "foreign") == ["diary.txt"]


def test_passphrase_is_read_only_from_a_terminal(ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (("passphrase", "set"), ("resume",)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{WORD}\n{WORD}\n"))
        said = ocw(*call, "--state", guarded)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert "by a person at a terminal, and standard input is not a terminal" in said.err
        assert ("a paper book also accepts --paper" in said.err) is (call == ("resume",))
    assert waiting(guarded) == []


def test_resume_needs_the_right_passphrase(ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, "a guess", "a guess", "a guess", WORD) as someone:
        assert ocw("resume", "--state", guarded).code == 1
    assert someone.screen.count("wrong passphrase") == 3
    assert "nothing was changed" in someone.screen
    assert (someone.unasked, waiting(guarded)) == (1, [])
    with person(monkeypatch, "a guess", WORD) as someone:
        assert ocw("resume", "--state", guarded).code == 0
    assert "to let this paper book take new risk again" in someone.screen
    assert waiting(guarded) == ["resume"]


def test_paper_option_resumes_a_paper_book(ocw: Ocw, guarded: Path) -> None:
    assert ocw("resume", "--state", guarded, "--paper").code == 0
    assert waiting(guarded) == ["resume"]


def test_resume_error_names_the_paper_option_and_passphrase_command(ocw: Ocw, book: Path) -> None:
    said = ocw("resume", "--state", book)
    assert (said.code, "--paper" in said.err, "ocw passphrase set" in said.err) == (2, True, True)


def test_live_book_resumes_only_with_the_passphrase(ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = type(STAMP)(Mode.LIVE, "binance", "a1", STAMP.product, STAMP.market)
    SqliteStore.open(tmp_path / "live", live, book_id=BOOK, created_at=0).close()
    said = ocw("resume", "--state", tmp_path / "live", "--paper")
    assert (said.code, "--paper" in said.err, "ocw passphrase set" in said.err) == (2, False, True)
    passphrase.keep(tmp_path / "live", WORD, passphrase.Cost(n=16))
    with person(monkeypatch, WORD) as someone:
        assert ocw("resume", "--state", tmp_path / "live", "--paper").code == 0
    assert "this live book" in someone.screen


def test_halt_file_forbids_every_resume(ocw: Ocw, guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (guarded / "HALT").touch()
    assert json.loads(ocw("status", "--state", guarded, "--json").out)["halt_file"] is True
    assert "the file HALT exists" in ocw("status", "--state", guarded).out
    said = ocw("resume", "--state", guarded, "--paper")
    assert (said.code, f"the file HALT in {guarded}" in said.err, "delete it first" in said.err) == (2, True, True)
    with person(monkeypatch, WORD) as someone:
        assert ocw("resume", "--state", guarded).code == 2
    assert someone.unasked == 1
    (guarded / "HALT").unlink()
    assert ocw("resume", "--state", guarded, "--paper").code == 0
    assert waiting(guarded) == ["resume"]


@pytest.fixture
def fallen(guarded: Path) -> Path:
    """A guarded book that was halted by a fall of 12 %."""
    fall = Fall(Decimal(8_800), Decimal(10_000), Decimal("0.12"), Decimal("0.1"), beyond=True)
    with closing(SqliteStore.open(guarded, STAMP, book_id=BOOK, created_at=0)) as store:
        store.commit(summarise=lambda: {"state": "HALTED", "drawdown": msgspec.to_builtins(fall)})
    return guarded


FALL = "equity fell by 12.00% (1,200.00, from 10,000.00 to 8,800.00), and the limit is 10.00%"


def test_resume_beyond_drawdown_limit_needs_accept_drawdown_option(ocw: Ocw, fallen: Path) -> None:
    said = ocw("resume", "--state", fallen, "--paper")
    assert (said.code, FALL in said.err, "--accept-drawdown" in said.err) == (2, True, True)
    assert waiting(fallen) == []
    said = ocw("resume", "--state", fallen, "--paper", "--accept-drawdown")
    assert (said.code, FALL in said.out) == (0, True)
    (command,) = CommandFiles(fallen).waiting()
    assert (command.verb, command.subject) == ("resume", "")


def test_typed_yes_after_the_passphrase_accepts_the_drawdown(
    ocw: Ocw, fallen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer, code in (("no", 2), ("", 2), ("Yes", 0)):
        with person(monkeypatch, WORD, answer) as someone:
            assert ocw("resume", "--state", fallen).code == code
        assert FALL in someone.screen
    assert waiting(fallen) == ["resume"]


def test_accept_drawdown_option_alone_does_not_resume(ocw: Ocw, fallen: Path) -> None:
    assert ocw("resume", "--state", fallen, "--accept-drawdown").code == 2
    assert waiting(fallen) == []


def test_resume_command_says_that_drawdown_is_within_the_limit(ocw: Ocw, book: Path) -> None:
    assert ocw("resume", "--state", book, "--paper").code == 0
    (command,) = CommandFiles(book).waiting()
    assert command.subject == WITHIN_DRAWDOWN


@pytest.mark.parametrize(
    ("summary", "todo"),
    [
        ({"state": "HALTED"}, "HALTED, no open position; resume again"),
        (
            {"state": "REDUCING", "lowered": {"by": MARKET_DATA, "at": 1_000, "why": "silent"}},
            "REDUCING, no open position; it takes new risk when the market data return",
        ),
    ],
)
def test_resume_prints_that_a_book_takes_no_new_risk(ocw: Ocw, book: Path, summary: dict[str, Any], todo: str) -> None:
    with closing(SqliteStore.open(book, STAMP, book_id=BOOK, created_at=0)) as store:
        store.commit(summarise=lambda: summary)

    def engine() -> None:
        box = CommandFiles(book)
        looks = (box.waiting() for _ in range(1_000_000))
        box.done(next(left[0] for left in looks if left))

    with StateLock(book), ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine)
        said = ocw("resume", "--state", book, "--paper")
        running.result()
    assert said.out.strip() == f"resume: the engine has taken the command, but still takes no new risk: {todo}"
