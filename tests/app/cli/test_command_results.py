"""`--json` of the commands that change a book prints one document with the result."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app.cli import operate
from tests.adapters.store.books import open_book, tell
from tests.support.shell import Ocw


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    with closing(open_book(tmp_path / "book")) as store:
        tell(store)
        store.commit(summarise=lambda: {"state": "ACTIVE", "positions": [{"symbol": "BTCUSDT", "quantity": "0.03"}]})
    return tmp_path / "book"


def document(ocw: Ocw, *arguments: object) -> dict[str, Any]:
    said = ocw(*arguments, "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("arguments", "command", "subject"),
    [
        (("halt",), "halt", None),
        (("flatten",), "flatten", None),
        (("resume", "--paper"), "resume", None),
        (("settle", "12-e-0", "gone", "--paper"), "settle", "12-e-0 gone"),
        (("settle", "12-e-0", "filled", "99.5", "2", "--paper"), "settle", "12-e-0 filled 99.5 2"),
        (("agent", "pause"), "agent-pause", None),
        (("agent", "takeover", "ethusdt"), "takeover", "ETHUSDT"),
        (("agent", "resume", "--paper"), "agent-resume", None),
        (("agent", "resume", "BTCUSDT", "--paper"), "agent-resume", "BTCUSDT"),
    ],
)
def test_operator_command_waits_if_no_engine_runs(
    ocw: Ocw, book: Path, arguments: tuple[str, ...], command: str, subject: str | None
) -> None:
    done = document(ocw, *arguments, "--state", book)
    assert done["message"].startswith(f"{command}: the command waits, since no engine runs on this book")
    (left,) = CommandFiles(book).waiting()
    assert done | {"message": ""} == {
        "command": command, "id": left.command_id, "subject": subject, "result": "waiting", "state": "ACTIVE",
        "positions": {"BTCUSDT": "0.03"}, "message": "",
    }  # fmt: skip


def test_operator_command_to_a_running_engine_is_taken(ocw: Ocw, book: Path) -> None:
    def engine() -> None:
        box = CommandFiles(book)
        looks = (box.waiting() for _ in range(1_000_000))
        box.done(next(left[0] for left in looks if left))

    with StateLock(book), ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine)
        assert document(ocw, "halt", "--state", book)["result"] == "taken"
        running.result()


def test_operator_command_not_yet_taken_by_the_engine_is_pending(
    ocw: Ocw, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "TAKEN_WITHIN_S", 0.0)
    with StateLock(book):
        assert document(ocw, "halt", "--state", book)["result"] == "pending"


def test_refused_command_with_json_prints_one_sentence(ocw: Ocw, book: Path) -> None:
    said = ocw("resume", "--state", book, "--json")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_token_commands_print_json(ocw: Ocw, book: Path) -> None:
    made = document(ocw, "token", "new", "--scope", "trade", "--name", "phone", "--state", book)
    assert made["token"].startswith("ocw_")
    row = {name: made[name] for name in ("name", "scope", "created_at")}
    assert (row["name"], row["scope"]) == ("phone", "trade")
    assert document(ocw, "token", "list", "--state", book) == {"tokens": [row]}
    assert document(ocw, "token", "revoke", "phone", "--state", book) == {"revoked": "phone"}
    assert document(ocw, "token", "list", "--state", book) == {"tokens": []}


@pytest.mark.parametrize("arguments", [("new",), ("list",), ("revoke", "phone")])
def test_token_commands_refuse_a_missing_directory(ocw: Ocw, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    said = ocw("token", *arguments, "--state", tmp_path / "none")
    assert (said.code, said.out) == (2, "")
    assert "none does not exist; give the directory of a book, or make one first: ocw init" in said.err
