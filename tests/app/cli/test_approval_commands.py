"""`ocw approve`, `ocw deny` and `ocw agent`: commands that a person gives to a book."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Command
from tests.support.deciders import Scripted
from tests.support.facades import FacadeRun
from tests.support.legs import entry
from tests.support.runs import Commands, policies
from tests.support.shell import Ocw
from tests.support.terminal import person

WORD = "correct horse battery"
WATCHED = policies(
    gate={"close_wakes": ["1h"], "outlier_moves": {}}, approval={"above_notional": 500, "modes": [], "answer_s": 86_400}
)


class WantsOne(Scripted):
    """Buys at its first wake, with a stop that the policy takes."""

    async def decide(self, request: DecisionRequest) -> Decision:
        view = next(iter(request.snapshot.symbols.values()))
        assert isinstance(view.last, float)
        if request.wake_id > 1:
            return Decision(cause=Cause(CauseKind.NOTHING_TO_DO))
        return entry(Action.BUY, f"{view.last * 0.97:.0f}", "0.1", symbol=view.symbol)


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setattr(passphrase, "USUAL", passphrase.Cost(n=16))
    return Ocw(monkeypatch, capsys)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book on which an order waits for a person."""
    book = tmp_path_factory.mktemp("hands") / "book"
    desk = FacadeRun(book, WantsOne({}), policy=WATCHED)
    asyncio.run(desk.go(3))
    desk.store.close()
    passphrase.keep(book, WORD, passphrase.Cost(n=16))
    return book


@pytest.fixture
def book(written: Path) -> Path:
    """The same, with no command in it."""
    for command in CommandFiles(written).waiting():
        CommandFiles(written).done(command)
    return written


async def answered(book: Path, verb: str) -> None:
    """The engine continues, and executes the answer to a pending approval."""
    box = Commands([Command("c1", verb, "ben", subject="a1")])
    desk = FacadeRun(book, WantsOne({}), policy=WATCHED, commands=box)
    await desk.go(4)
    desk.store.close()


def test_approved_order_is_shown_with_its_approval(
    ocw: Ocw, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    book = shutil.copytree(written, tmp_path / "book")
    (row,) = json.loads(ocw("orders", "--json", "--state", book).out)["approvals"]
    assert (row["id"], row["outcome"], row["order"]) == ("a1", "waits", None)
    assert "see approval a1 below" in ocw("orders", "--state", book).out
    asyncio.run(answered(book, "approve"))
    (row,) = json.loads(ocw("orders", "--json", "--state", book).out)["approvals"]
    assert (row["outcome"], row["by"], row["order"], row["status"]) == ("approved", "ben", "1-e-0", "filled")
    assert "1-e-0 filled" in ocw("orders", "--state", book).out


def test_denied_order_is_shown_with_its_approval(ocw: Ocw, written: Path, tmp_path: Path) -> None:
    book = shutil.copytree(written, tmp_path / "book")
    asyncio.run(answered(book, "deny"))
    (row,) = json.loads(ocw("orders", "--json", "--state", book).out)["approvals"]
    assert (row["outcome"], row["by"], row["order"], row["status"]) == ("denied", "ben", None, None)


def waiting(book: Path) -> list[tuple[str, str]]:
    return [(each.verb, each.subject) for each in CommandFiles(book).waiting()]


def test_status_shows_pending_approvals(ocw: Ocw, book: Path) -> None:
    said = ocw("status", "--state", book).out
    assert "approval a1 is pending until 2026-01-02T" in said
    assert "(market time): BUY (buy) 0.0" in said
    assert "requested by scripted" in said
    assert "ocw approve a1 or ocw deny a1" in said
    assert "ocw approve a1 or ocw deny a1" in " ".join(ocw("watch", "--once", "--state", book).out.split())


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_approval_is_answered_with_passphrase_at_a_terminal(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    with person(monkeypatch, WORD) as someone:
        said = ocw(verb, "a1", "--state", book)
    assert said.code == 0, someone.screen
    assert f"the passphrase, to {verb} it: " in someone.screen
    assert said.out.startswith("approval a1 is pending until ")
    assert waiting(book) == [(verb, "a1")]


def test_approve_with_json_prints_the_order_on_standard_error(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with person(monkeypatch, WORD) as someone:
        said = ocw("approve", "a1", "--json", "--state", book)
    assert "approval a1 is pending until " in someone.screen
    done = json.loads(said.out)
    assert (said.code, done["command"], done["subject"], done["result"]) == (0, "approve", "a1", "waiting")
    assert waiting(book) == [("approve", "a1")]


def test_approval_needs_the_passphrase_at_a_terminal(ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, "a guess", "a guess", "a guess"):
        assert ocw("approve", "a1", "--state", book).code == 1
    assert "standard input is not a terminal" in ocw("approve", "a1", "--state", book).err
    assert waiting(book) == []


def test_unknown_approval_error_lists_pending_approvals(ocw: Ocw, book: Path) -> None:
    said = ocw("approve", "a9", "--state", book)
    assert (said.code, "pending approvals: a1" in said.err) == (2, True)
    assert waiting(book) == []


def test_approval_without_a_set_passphrase_is_refused(ocw: Ocw, book: Path) -> None:
    kept = (book / passphrase.PASSPHRASE).rename(book / "aside")
    try:
        said = ocw("approve", "a1", "--state", book)
    finally:
        kept.rename(book / passphrase.PASSPHRASE)
    assert (said.code, "ocw passphrase set" in said.err) == (2, True)


def test_pause_and_takeover_need_no_confirmation(ocw: Ocw, book: Path) -> None:
    assert ocw("agent", "pause", "--state", book).code == 0
    assert ocw("agent", "takeover", "ethusdt", "--state", book).code == 0
    assert waiting(book) == [("agent-pause", ""), ("takeover", "ETHUSDT")]
    unknown = ocw("agent", "takeover", "DOGEUSDT", "--state", book)
    assert (unknown.code, "expected one of BTCUSDT, ETHUSDT, SOLUSDT" in unknown.err) == (2, True)


def test_settle_needs_a_persons_confirmation(ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ocw("settle", "12-e-0", "gone", "--state", book).code == 2
    with person(monkeypatch, WORD):
        assert ocw("settle", "12-e-0", "gone", "--state", book).code == 0
    assert waiting(book) == [("settle", "12-e-0 gone")]


@pytest.mark.parametrize(
    "words", [("12-e-0", "perhaps"), ("12", "gone"), ("12-e-0", "filled", "99"), ("1-e-0", "gone", "x")]
)
def test_settle_without_an_outcome_writes_no_command(ocw: Ocw, book: Path, words: tuple[str, ...]) -> None:
    said = ocw("settle", *words, "--paper", "--state", book)
    assert (said.code, "expected REF gone, or REF filled PRICE QUANTITY" in said.err) == (2, True)
    assert waiting(book) == []


def test_agent_resume_needs_a_persons_confirmation(ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ocw("agent", "resume", "--state", book).code == 2
    assert ocw("agent", "resume", "--paper", "--state", book).code == 0
    with person(monkeypatch, WORD):
        assert ocw("agent", "resume", "btcusdt", "--state", book).code == 0
    assert waiting(book) == [("agent-resume", ""), ("agent-resume", "BTCUSDT")]
