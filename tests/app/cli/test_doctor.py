"""`ocw doctor` checks an installation and a book, and changes nothing."""

import json
import os
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ocw_mcp.adapters.control import commands, passphrase
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.settings import KEYS
from ocw_mcp.app.views import checks
from ocw_mcp.domain.state import MARKET_DATA
from tests.adapters.store.books import alter, open_book, tell
from tests.support.shell import Ocw


class Disk(NamedTuple):
    free: int


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "100")
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr("shutil.disk_usage", lambda place: Disk(50_000_000_000))
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    directory = tmp_path / "book"
    with closing(open_book(directory)) as store:
        tell(store)
    return directory


def examined(ocw: Ocw, *arguments: object, code: int = 0) -> dict[str, Any]:
    said = ocw("doctor", "--json", *arguments)
    assert (said.code, said.err) == (code, "")
    found = json.loads(said.out)
    assert found["ok"] is (code == 0)
    return {check["name"]: check for check in found["checks"]}


def test_doctor_reports_ok_for_a_valid_book_and_changes_no_file(ocw: Ocw, book: Path) -> None:
    before = {each.name: each.stat().st_mtime_ns for each in book.iterdir()}
    found = examined(ocw, "--state", book)
    assert {check["verdict"] for check in found.values()} == {"ok"}
    assert load_policies(None).hash in found["policies"]["found"]
    assert found["settings"]["found"] == "mode paper"
    assert "are consistent" in found["journal"]["found"]
    assert {each.name: each.stat().st_mtime_ns for each in book.iterdir()} == before
    text = ocw("doctor", "--state", book).out
    assert text.splitlines()[-1] == f"0 problem(s), 0 warning(s), {len(found)} ok"
    assert max(map(len, text.splitlines())) <= 100


def test_doctor_without_a_book_checks_the_installation_only(ocw: Ocw) -> None:
    assert {"state", "journal", "commands"}.isdisjoint(examined(ocw))


def test_doctor_reports_that_an_engine_is_running(ocw: Ocw, book: Path) -> None:
    with StateLock(book):
        assert examined(ocw, "--state", book)["engine"]["found"] == f"running as process {os.getpid()}"


def test_doctor_reports_a_changed_journal_as_a_problem(ocw: Ocw, book: Path) -> None:
    alter(book, "UPDATE fills SET price = '1'")
    journal = examined(ocw, "--state", book, code=1)["journal"]
    assert (journal["verdict"], "fills" in journal["found"], "backup" in journal["todo"]) == ("problem", True, True)
    assert "problem  journal" in ocw("doctor", "--state", book).out


@pytest.mark.parametrize("what", ["foreign", "file"])
def test_doctor_reports_a_directory_without_a_book_as_a_problem(ocw: Ocw, tmp_path: Path, what: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "diary.txt").write_text("dear diary")
    (tmp_path / "file").write_text("")
    found = examined(ocw, "--state", tmp_path / what, code=1)
    assert found["state"]["verdict"] == "problem"
    assert "journal" not in found


def test_doctor_warns_of_a_missing_directory_and_does_not_make_it(ocw: Ocw, tmp_path: Path) -> None:
    found = examined(ocw, "--state", tmp_path / "later")
    assert found["state"]["verdict"] == "warning"
    assert os.listdir(tmp_path) == []


def test_doctor_warns_of_an_env_file_or_book_that_others_can_read(ocw: Ocw, tmp_path: Path) -> None:
    ocw("init", "--state", tmp_path / "desk")
    found = examined(ocw, "--state", tmp_path / "desk")
    assert (found["settings file"]["verdict"], found["journal"]["found"][:11]) == ("ok", "no book yet")
    (tmp_path / "desk" / ".env").chmod(0o644)
    assert examined(ocw, "--state", tmp_path / "desk")["settings file"]["verdict"] == "warning"
    (tmp_path / "desk").chmod(0o755)
    state = examined(ocw, "--state", tmp_path / "desk")["state"]
    assert (state["verdict"], state["todo"]) == ("warning", f"chmod 700 {tmp_path / 'desk'}")


def test_doctor_reports_settings_and_policies_that_prevent_a_start(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "typo.toml").write_text("name = 3")
    found = examined(ocw, "--policies", tmp_path / "typo.toml", "--env", tmp_path / "none", code=1)
    assert (found["policies"]["verdict"], found["settings"]["verdict"]) == ("problem", "problem")
    monkeypatch.setenv("OCW_MODE", "live")
    assert "LIVE_TRADING is not true" in examined(ocw, code=1)["settings"]["found"]
    monkeypatch.setenv("LIVE_TRADING", "true")
    assert examined(ocw)["settings"]["found"] == "mode live"


def test_doctor_names_the_mode_of_a_book_that_the_settings_do_not(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCW_MODE", "demo")
    assert examined(ocw, "--state", book)["settings"]["found"] == "mode demo; the book here is a paper one"


def test_doctor_warns_of_waiting_and_of_refused_commands(ocw: Ocw, book: Path) -> None:
    commands.write_command(book, "halt", "ann", "c1", 1)
    assert examined(ocw, "--state", book)["commands"]["verdict"] == "warning"
    with StateLock(book):
        assert examined(ocw, "--state", book)["commands"]["found"] == "1 waiting"
    (book / "commands" / "refused").mkdir()
    (book / "commands" / "refused" / "noise").write_text("")
    assert "1 file(s)" in examined(ocw, "--state", book)["commands"]["found"]


def test_doctor_warns_of_a_halt_file_and_names_an_action(ocw: Ocw, book: Path) -> None:
    (book / "HALT").touch()
    halt = examined(ocw, "--state", book)["halt file"]
    assert (halt["verdict"], halt["todo"]) == ("warning", "delete it, then ocw resume")


def told_by_its_engine(book: Path, **summary: Any) -> None:
    with closing(open_book(book)) as store:
        store.commit(summarise=lambda: {"at": 2_000, "state": "ACTIVE", "positions": []} | summary)


HELD = {"symbol": "BTCUSDT", "quantity": "0.03", "average_price": "60002.5", "mark": "60100", "unrealised": "2.9"}


def test_doctor_reports_an_unprotected_position_without_an_engine(ocw: Ocw, book: Path) -> None:
    told_by_its_engine(book, positions=[HELD | {"stop": "59000", "protected": True}])
    assert examined(ocw, "--state", book)["positions"]["found"] == "1 open, each with a stop"
    told_by_its_engine(book, positions=[HELD | {"stop": None, "protected": False}])
    bare = examined(ocw, "--state", book, code=1)["positions"]
    assert (bare["verdict"], "BTCUSDT UNPROTECTED" in bare["found"]) == ("problem", True)
    assert "start the engine again" in bare["todo"]
    with StateLock(book):
        assert examined(ocw, "--state", book)["positions"]["verdict"] == "warning"


@pytest.mark.parametrize("state", ["HALTED", "REDUCING"])
def test_doctor_warns_of_a_halted_book_with_cause_and_action(ocw: Ocw, book: Path, state: str) -> None:
    told_by_its_engine(book)
    assert examined(ocw, "--state", book)["trading state"]["verdict"] == "ok"
    told_by_its_engine(book, state=state, lowered={"by": "ann", "at": 1_000, "why": "the news"})
    found = examined(ocw, "--state", book)["trading state"]
    assert (found["verdict"], found["found"]) == ("warning", f"{state} by ann at 1970-01-01 00:00:01 UTC: the news")
    assert found["todo"] == f"once you know why: ocw resume --state {book}"


def test_doctor_asks_nobody_to_resume_a_book_without_market_data(ocw: Ocw, book: Path) -> None:
    told_by_its_engine(book, state="REDUCING", lowered={"by": MARKET_DATA, "at": 1_000, "why": "silent"})
    todo = examined(ocw, "--state", book)["trading state"]["todo"]
    assert todo == "wait, or check the network: it ends when the data return"


def test_doctor_reports_a_passphrase_file_that_others_can_read(ocw: Ocw, book: Path) -> None:
    assert "ocw passphrase set" in examined(ocw, "--state", book)["passphrase"]["found"]
    passphrase.keep(book, "correct horse battery", passphrase.Cost(n=16))
    assert examined(ocw, "--state", book)["passphrase"]["found"] == "set, readable by its owner only"
    (book / "passphrase").chmod(0o644)
    told = examined(ocw, "--state", book, code=1)["passphrase"]
    assert (told["verdict"], "chmod 600" in told["found"]) == ("problem", True)


@pytest.mark.parametrize(
    ("free", "verdict"), [(5_000_000_000, "ok"), (500_000_000, "warning"), (50_000_000, "problem")]
)
def test_doctor_warns_of_little_disk_space_and_reports_too_little(
    ocw: Ocw, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: Disk(free))
    assert examined(ocw, code=verdict == "problem")["disk"]["verdict"] == verdict


@pytest.mark.parametrize("now", [-5e9, 0.0, 1_600_000_000.0, 5e9, 1e30])
def test_doctor_reports_an_implausible_system_clock_as_a_problem(
    ocw: Ocw, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: now))
    assert examined(ocw, code=1)["clock"]["verdict"] == "problem"


@pytest.mark.parametrize(("behind_s", "verdict"), [(0, "ok"), (3_600, "warning")])
def test_doctor_warns_if_the_clock_is_before_the_last_journal_write(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch, behind_s: int, verdict: str
) -> None:
    now = (book / "journal.db").stat().st_mtime - behind_s
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: now))
    assert examined(ocw, "--state", book)["clock"]["verdict"] == verdict


def test_doctor_names_the_extra_that_provides_a_missing_module(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = {"no_such_module": ("moon", "the moon"), "json": ("moon", "the moon")}
    monkeypatch.setattr(checks, "EXTRAS", extras)
    found = examined(ocw)
    assert "ocw-mcp[moon]" in found["no_such_module"]["found"]
    assert found["json"]["found"].startswith("installed")
