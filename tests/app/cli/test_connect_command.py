"""`ocw connect`: a key is stored only if it belongs there and cannot move money, and is never shown."""

import gc
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control.keys import Kept, connections
from ocw_mcp.adapters.store.book import peek_book
from ocw_mcp.app.settings import KEYS
from ocw_mcp.sandbox.binance.account.keys import made_key
from tests.adapters.store.books import open_book
from tests.support.exchange import served_aside
from tests.support.shell import CommandResult, Ocw
from tests.support.terminal import person

FIRST = ApiKey(made_key("1").key, made_key("1").secret)
SECOND = ApiKey(made_key("2").key, made_key("2").secret)
"""The second key of a sandbox, if one was added."""


class Connecting:
    """Runs `ocw` beside a sandbox exchange."""

    def __init__(self, ocw: Ocw, address: str, desk: Path) -> None:
        self.ocw, self.address, self.desk = ocw, address, desk
        self.said: list[CommandResult] = []

    def __call__(self, *arguments: object) -> CommandResult:
        said = self.ocw(*arguments, "--state", self.desk)
        self.said.append(said)
        return said

    def checks(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        said = self("connect", "--mode", "demo", "--symbols", "BTCUSDT", "--json", *arguments)
        assert said.code == code, said
        return {each["name"]: each for each in json.loads(said.out)["checks"]}

    def post(self, path: str, body: dict[str, Any]) -> None:
        httpx2.post(f"http://{self.address}/sandbox/{path}", json=body, trust_env=False).raise_for_status()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Connecting]:
    monkeypatch.setenv("COLUMNS", "300")
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    with served_aside() as address:
        monkeypatch.setenv("BINANCE_LOOPBACK", f"http://{address}")
        yield Connecting(Ocw(monkeypatch, capsys), address, tmp_path / "desk")


def test_settings_are_checked_then_set_up_and_checked_again(desk: Connecting) -> None:
    found = desk.checks("--sandbox-key", code=1)
    assert [name for name, each in found.items() if each["verdict"] == "problem"] == ["margin type"]
    assert "ocw connect --mode demo --set-up" in found["margin type"]["todo"]
    (stored,) = connections(desk.desk)
    assert (stored.kept, stored.fingerprint) == (Kept.FILE, FIRST.fingerprint)
    found = desk.checks("--set-up")
    assert found["set position mode"]["found"] == "one-way, as it was before"
    assert found["set margin type of BTCUSDT"]["found"] == "now isolated"
    assert {each["verdict"] for each in found.values()} == {"ok"}
    assert "as it was before" in (desk.checks("--set-up"))["set margin type of BTCUSDT"]["found"]
    text = (desk("connect", "--mode", "demo", "--symbols", "BTCUSDT")).out
    assert f"ocw run --mode demo --market binance --product um --state {desk.desk}" in text


def test_symbol_that_the_exchange_does_not_have_is_named(desk: Connecting) -> None:
    said = desk("connect", "--mode", "demo", "--sandbox-key", "--symbols", "NOPEUSDT")
    assert said.code == 1
    assert "the exchange does not have NOPEUSDT" in " ".join(said.out.split())
    assert "not isolated" not in said.out


def test_set_up_changes_nothing_while_a_position_is_open(desk: Connecting) -> None:
    desk.checks("--sandbox-key", code=1)
    desk.post("faults", {"kind": "owner_order", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"})
    said = desk("connect", "--mode", "demo", "--set-up")
    assert (said.code, "open positions (0.01 BTCUSDT)" in said.err, said.out) == (2, True, "")
    assert (desk.checks(code=1))["margin type"]["verdict"] == "problem"


@pytest.mark.parametrize(
    ("permissions", "name", "says"),
    [
        (["reading", "futures", "withdrawals"], "permissions", "the key may withdraw, and such a key is refused"),
        (["reading", "futures", "transfers"], "permissions", "transfer to other users and transfer between wallets"),
        (["reading"], "permissions", "the key may not trade this product"),
    ],
)
def test_key_with_other_permissions_than_trading_is_not_stored(
    desk: Connecting, tmp_path: Path, permissions: list[str], name: str, says: str
) -> None:
    desk.post("keys", {"permissions": permissions})
    (tmp_path / "key").write_text(f"{SECOND.key}\n{SECOND.secret}\n")
    (tmp_path / "key").chmod(0o600)
    found = desk.checks("--key-file", tmp_path / "key", "--set-up", code=1)
    assert says in found[name]["found"]
    assert "set margin type of BTCUSDT" not in found
    assert connections(desk.desk) == []


@pytest.mark.requirement("M03")
def test_key_of_another_mode_is_refused_and_the_error_names_this(desk: Connecting, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECOND.key} {SECOND.secret}")
    (tmp_path / "key").chmod(0o600)
    said = desk("connect", "--mode", "live", "--key-file", tmp_path / "key")
    assert said.code == 2
    assert "refused the key (-2015" in said.err
    assert "a key of the demo trading is not known there" in said.err
    (tmp_path / "key").write_text(f"{FIRST.key} {SECOND.secret}")
    said = desk("connect", "--mode", "live", "--key-file", tmp_path / "key")
    assert "the secret is not that of the key" in said.err
    assert connections(desk.desk) == []


@pytest.mark.requirement("M03")
def test_key_is_used_only_in_the_mode_in_which_it_was_checked(
    desk: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.checks("--sandbox-key", "--set-up")
    monkeypatch.setenv("LIVE_TRADING", "true")
    said = desk("run", "--mode", "live", "--market", "binance", "--for", "1m")
    assert (said.code, "there is no key for live um at a sandbox exchange" in said.err) == (2, True)
    monkeypatch.delenv("BINANCE_LOOPBACK")
    said = desk("run", "--mode", "demo", "--market", "binance", "--for", "1m")
    assert (said.code, "there is no key for demo um at Binance" in said.err) == (2, True)


def test_typed_key_and_secret_are_not_shown(desk: Connecting, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch, "demo", FIRST.key, FIRST.secret) as someone:
        said = desk("connect", "--symbols", "BTCUSDT", "--set-up")
    assert said.code == 0, someone.screen
    assert [each.fingerprint for each in connections(desk.desk)] == [FIRST.fingerprint]
    shown = someone.screen + said.out + said.err
    assert "API key: " in shown
    assert FIRST.key not in shown
    assert FIRST.secret not in shown


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_output_of_any_command_has_the_key(desk: Connecting) -> None:
    desk.checks("--sandbox-key", "--set-up")
    run = ("--market", "binance", "--symbols", "BTCUSDT")
    desk("run", *run, "--mode", "demo", "--for", "1s")
    desk("run", *run, "--for", "1s")
    for command in ("status", "orders", "doctor", "connect --mode demo --json", "trades", "journal verify"):
        desk(*command.split())
    said = "".join(each.out + each.err for each in desk.said)
    files = b"".join(each.read_bytes() for each in desk.desk.rglob("*") if each.is_file() and each.name != "keys.json")
    for secret in (FIRST.key, FIRST.secret):
        assert secret not in said
        assert secret.encode() not in files
    stamp = peek_book(desk.desk).stamp
    (stored,) = connections(desk.desk)
    assert (stamp.mode, stamp.venue, stamp.account) == ("demo", "binance", stored.account)
    assert "made a demo book" not in said
    assert "this command is for paper mode" in said
    gc.collect()  # a socket of the live feed is closed only by the collector, which warns of it


def test_key_of_the_environment_is_checked_and_not_stored(desk: Connecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINANCE_API_KEY", FIRST.key)
    said = desk("connect", "--mode", "demo")
    assert (said.code, "BINANCE_SECRET_KEY is not set" in said.err) == (2, True)
    monkeypatch.setenv("BINANCE_SECRET_KEY", FIRST.secret)
    desk.checks("--set-up")
    (stored,) = connections(desk.desk)
    assert stored.kept is Kept.ENVIRONMENT
    assert FIRST.key not in (desk.desk / "keys.json").read_text()


def test_paper_book_is_not_connected(desk: Connecting, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_book(desk.desk)):
        pass
    said = desk("connect", "--mode", "demo", "--sandbox-key")
    assert (said.code, "is a paper book, and this command is for demo mode" in said.err) == (2, True)
    assert connections(desk.desk) == []


BAD: dict[str, tuple[str, str]] = {
    "paper": ("--mode paper", "paper, which needs no account"),
    "an unknown mode": ("--mode real", "expected one of paper, demo, live"),
    "no terminal": ("", "a mode is chosen by a person at a terminal"),
    "no key": ("--mode demo", "a key is typed by a person at a terminal"),
    "two keys": ("--mode demo --sandbox-key --new-key", "--new-key and --sandbox-key both choose the key"),
    "a demo mandate": ("--mode demo --mandate", "the mode is demo, which needs none"),
    "terms without a mandate": ("--mode live --amount 5", "expected --mandate with them"),
    "a mandate with one setting": ("--mode live --mandate", "LIVE_TRADING is not true"),
    "no key file": ("--mode demo --key-file none", "--key-file none cannot be read"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD.keys())
def test_invalid_options_are_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: str, says: str
) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    said = Ocw(monkeypatch, capsys)("connect", *options.split(), "--state", tmp_path / "desk")
    assert (said.code, said.out, said.err.count("\n"), says in said.err) == (2, "", 1, True), said.err


def test_key_file_that_others_can_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{FIRST.key}\n{FIRST.secret}\n")
    os.chmod(tmp_path / "key", 0o644)
    ocw = Ocw(monkeypatch, capsys)
    call = ("connect", "--mode", "demo", "--state", tmp_path / "desk", "--key-file", tmp_path / "key")
    assert "open to other users" in ocw(*call).err
    (tmp_path / "key").write_text(FIRST.key)
    os.chmod(tmp_path / "key", 0o600)
    said = ocw(*call)
    assert (said.code, "has 1 words; expected two lines" in said.err, FIRST.key in said.err) == (2, True, False)
