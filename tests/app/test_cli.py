"""The command line: runs, replays, commands of the operator, and errors of input."""

import json
import math
import os
import re
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app.cli import operate
from tests.support.markets import path
from tests.support.shell import Ocw
from tests.support.tapes import write_csv, write_zip

HOURS = [100.0 + math.sin(index / 40) * 3 + index / 300 for index in range(600)]


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    for name in list(os.environ):
        if name.startswith(("BINANCE_", "ANTHROPIC_", "CLAUDE_", "FRED_", "LIVE_", "LOG_")):
            monkeypatch.delenv(name)
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return write_zip(tmp_path, path(HOURS))


def test_a_replay_prints_its_report_alone_as_json(ocw: Ocw, tape: Path) -> None:
    said = ocw("replay", tape, "--json")
    assert said.code == 0
    report = json.loads(said.out)
    assert list(report)[:8] == [
        "symbols", "candles", "from", "to", "wall_s", "candles_per_s", "max_rss_mb", "evaluations",
    ]  # fmt: skip
    assert {
        "skip_rate", "wakes", "decisions", "orders", "fills", "refusals", "holes", "equity_start", "equity_end",
        "return", "buy_and_hold", "max_drawdown", "sharpe", "fees", "funding", "thinking_usd", "fingerprint",
        "realised", "unrealised", "positions", "orders_waiting", "ended", "unprotected_ms",
    } <= report.keys()  # fmt: skip
    assert report["symbols"] == ["BTCUSDT"]
    assert report["candles"] == report["evaluations"] == len(HOURS)
    assert report["to"] - report["from"] == len(HOURS) * 60_000
    assert report["sharpe"] is None
    assert report["buy_and_hold"] == pytest.approx(HOURS[-1] / HOURS[0] * (1 - 0.0005) - 1)
    woken = [wake for wake in report["wakes"] if wake["symbol"]]
    assert report["skip_rate"] == pytest.approx(1 - len(woken) / report["evaluations"])
    assert all((wake["t"] - report["from"]) % 60_000 == 0 for wake in report["wakes"])


def test_replay_and_run_of_a_tape_give_the_same_fingerprint(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    first = json.loads(ocw("replay", tape, "--json").out)
    second = json.loads(ocw("replay", tape, "--json", "--state", tmp_path / "book").out)
    third = json.loads(ocw("run", "--market", tape, "--json").out)
    assert first["fingerprint"] == second["fingerprint"] == third["fingerprint"]


def test_cli_run_in_parts_has_the_fingerprint_of_the_whole(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    whole = json.loads(ocw("replay", tape, "--json").out)
    ran = 0
    for hours in ("1h", "2h", "2h"):
        part = json.loads(ocw("run", "--market", tape, "--json", "--for", hours, "--state", tmp_path / "book").out)
        ran += int(hours[:-1])
        assert part["candles"] == ran * 60
    rest = json.loads(ocw("run", "--market", tape, "--json", "--state", tmp_path / "book").out)
    assert rest["fingerprint"] == whole["fingerprint"]
    timeless = {"wall_s", "candles_per_s", "max_rss_mb"}
    assert {key: rest[key] for key in rest.keys() - timeless} == {key: whole[key] for key in whole.keys() - timeless}


def test_run_on_the_simulated_market_prints_its_trades(ocw: Ocw) -> None:
    said = ocw("run", "--market", "sim", "--interval", "15m", "--for", "6d", "--seed", "1")
    assert said.code == 0
    assert "decision  rules: " in said.out
    assert ": stop at" in said.out
    assert "fingerprint" in said.out


def test_replay_with_agent_none_counts_wakes_and_never_trades(ocw: Ocw, tape: Path) -> None:
    report = json.loads(ocw("replay", tape, "--json", "--agent", "none").out)
    assert report["decisions"] > 0
    assert report["orders"] == report["fills"] == 0
    assert report["equity_end"] == report["equity_start"]


def test_status_shows_a_book_and_changes_no_file(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    report = json.loads(ocw("replay", tape, "--json", "--state", book).out)
    before = {each.name: each.stat().st_mtime_ns for each in book.iterdir()}
    view = json.loads(ocw("status", "--state", book, "--json").out)
    assert {each.name: each.stat().st_mtime_ns for each in book.iterdir()} == before
    assert view["fingerprint"] == report["fingerprint"]
    assert view["running"] is False
    assert view["summary"]["state"] == "ACTIVE"
    assert view["summary"]["candles"] == len(HOURS)
    text = ocw("status", "--state", book).out
    assert "paper" in text
    assert re.search(r"equity 1?[0-9],[0-9]{3}\.[0-9]{2} · day (loss|gain) [0-9]\.[0-9]{2}%", text), text
    assert view["chain_head"] in text


@pytest.mark.parametrize("written", ["btc", "BTC/USDT", "btcusdt", "BTC-USDT", " btc_usdt ", "BTC/USDT:USDT"])
def test_symbols_are_accepted_in_any_usual_spelling(ocw: Ocw, tape: Path, written: str) -> None:
    for market in (("replay", tape), ("run", "--market", "sim", "--interval", "15m")):
        said = ocw(*market, "--symbols", written, "--for", "15m", "--agent", "none", "--json")
        assert json.loads(said.out)["symbols"] == ["BTCUSDT"], said.err


def test_halt_and_resume_without_an_engine_act_at_its_next_start(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
    said = ocw("halt", "--state", book)
    assert (said.code, "next start" in said.out) == (0, True)
    assert json.loads(ocw("status", "--state", book, "--json").out)["waiting_commands"] == 1
    ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
    status = json.loads(ocw("status", "--state", book, "--json").out)
    assert (status["summary"]["state"], status["waiting_commands"]) == ("HALTED", 0)
    assert f"HALTED by {status['summary']['lowered']['by']} at 2026-" in ocw("status", "--state", book).out

    refused = ocw("resume", "--state", book)
    assert (refused.code, "--paper" in refused.err) == (2, True)
    assert ocw("resume", "--state", book, "--paper").code == 0
    ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
    assert json.loads(ocw("status", "--state", book, "--json").out)["summary"]["state"] == "ACTIVE"
    assert "ocw resume" not in ocw("status", "--state", book).out

    report = json.loads(ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json").out)
    spent = report["time_in_state"]
    assert spent["HALTED"] > 0
    assert sum(spent.values()) == report["to"] - report["from"]
    assert "HALTED " in ocw("run", "--market", tape, "--for", "1h", "--state", book).out


def test_file_halt_keeps_a_book_halted_until_deleted_and_resumed(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.mkdir()
    (book / "HALT").touch()
    for _ in range(2):
        ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
        assert json.loads(ocw("status", "--state", book, "--json").out)["summary"]["state"] == "HALTED"
    with closing(sqlite3.connect(book / "journal.db")) as journal:
        taken = journal.execute("SELECT payload FROM events WHERE kind = 'command.taken'").fetchall()
    assert [json.loads(each)["by"] for (each,) in taken] == ["the file HALT"]
    (book / "HALT").unlink()
    assert ocw("resume", "--state", book, "--paper").code == 0
    report = json.loads(ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json").out)
    assert report["time_in_state"]["ACTIVE"] > 0
    assert ocw("journal", "verify", "--state", book).code == 0


def test_halt_after_the_end_of_a_tape_acts_at_the_next_start(
    ocw: Ocw, tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "TAKEN_WITHIN_S", 0.0)
    book = tmp_path / "book"
    ocw("replay", tape, "--state", book, "--json")
    said = ocw("halt", "--state", book)
    assert said.out == (
        "halt: the command waits, since no engine runs on this book; "
        "at the next start no new risk is taken, and stops stay\n"
    )
    with StateLock(book):
        assert "has not within" in ocw("halt", "--state", book).out
    assert "2 command(s) waiting" in ocw("status", "--state", book).out
    assert ocw("replay", tape, "--state", book, "--json").code == 0
    view = json.loads(ocw("status", "--state", book, "--json").out)
    assert (view["summary"]["state"], view["waiting_commands"]) == ("HALTED", 0)
    assert ocw("journal", "verify", "--state", book).code == 0


@pytest.mark.parametrize("flag", ["--json", "--speed=max"])
def test_run_reports_unreadable_commands_and_continues(ocw: Ocw, tape: Path, tmp_path: Path, flag: str) -> None:
    book = tmp_path / "book"
    book.mkdir()
    (book / "commands").write_text("in the way")
    said = ocw("run", "--market", tape, "--for", "2h", "--state", book, flag)
    assert said.code == 0
    assert said.err.count("cannot be read: Not a directory") == 1
    assert "neither halted nor resumed" in said.err
    assert json.loads(ocw("status", "--state", book, "--json").out)["waiting_commands"] is None
    assert "waiting commands are not readable by this user" in ocw("status", "--state", book).out


def test_verify_accepts_a_valid_journal_and_rejects_a_wrong_head_hash(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
    early = json.loads(ocw("journal", "verify", "--state", book, "--json").out)
    assert early["ok"] is True
    assert ocw("journal", "verify", "--state", book, "--head", early["head"]).code == 0
    wrong = ocw("journal", "verify", "--state", book, "--head", "0" * 64)
    assert wrong.code == 1
    assert "is NOT consistent" in wrong.out


def test_init_makes_a_private_env_file_and_never_overwrites(ocw: Ocw, tmp_path: Path) -> None:
    assert ocw("init", "--state", tmp_path / "desk").code == 0
    env = tmp_path / "desk" / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    env.write_text("LOG_LEVEL=ERROR\n")
    again = ocw("init", "--state", tmp_path / "desk")
    assert again.code == 2
    assert env.read_text() == "LOG_LEVEL=ERROR\n"


def test_an_env_file_of_the_current_directory_is_never_read(
    ocw: Ocw, tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=loud\n")
    monkeypatch.chdir(tmp_path)
    assert ocw("replay", tape, "--json", "--for", "1h").code == 0
    assert ocw("replay", tape, "--json", "--for", "1h", "--env", ".env").code == 2


def test_second_engine_on_a_book_is_refused(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    ocw("run", "--market", tape, "--for", "1h", "--state", book, "--json")
    with StateLock(book):
        said = ocw("run", "--market", tape, "--state", book, "--json")
        assert json.loads(ocw("status", "--state", book, "--json").out)["running"] is True
    assert said.code == 2
    assert str(os.getpid()) in said.err
    assert said.out == ""


BAD_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such tape": (("replay", "{dir}/nothing.zip"), "nothing.zip"),
    "a tape that is a text": (("replay", "{dir}/notes.csv"), "notes.csv"),
    "a truncated zip": (("replay", "{dir}/torn-BTCUSDT-1m.zip"), "torn-BTCUSDT-1m.zip"),
    "a NaN price": (("replay", "{dir}/BTCUSDT-1m-2026-01-02.csv", "--json"), "line 3"),
    "an absurd price": (("replay", "{dir}/BTCUSDT-1m-2026-01-03.csv", "--json"), "line 3"),
    "an unknown agent": (("replay", "{tape}", "--agent", "oracle"), "of rules, claude, attached, reckless, none"),
    "an invalid span": (("replay", "{tape}", "--for", "soon"), "--for"),
    "an unknown product": (("replay", "{tape}", "--product", "swap"), "spot or um"),
    "a policy with a typo": (("replay", "{tape}", "--policies", "{dir}/typo.toml"), "max_notional"),
    "a policy that is absent": (("replay", "{tape}", "--policy", "brave"), "brave"),
    "a missing env file": (("replay", "{tape}", "--env", "{dir}/no.env"), "no.env"),
    "two modes": (("run", "--market", "sim", "--mode", "demo", "--env", "{dir}/both.env"), "BINANCE_PAPER"),
    "live with one setting": (("run", "--market", "binance", "--mode", "live"), "LIVE_TRADING is not true"),
    "a live tape": (("run", "--market", "{tape}", "--env", "{dir}/live.env"), "expected --market binance"),
    "a demo simulation": (("run", "--market", "sim", "--mode", "demo"), "expected --market binance"),
    "a demo book that is not kept": (("run", "--market", "binance", "--mode", "demo"), "no state directory is given"),
    "a state directory that is a file": (("replay", "{tape}", "--state", "{dir}/both.env"), "both.env"),
    "a foreign state directory": (("replay", "{tape}", "--state", "{dir}"), "--state"),
    "status without a book": (("status", "--state", "{dir}/none"), "holds no book"),
    "halt without a book": (("halt", "--state", "{dir}/none"), "holds no book"),
    "verify without a book": (("journal", "verify", "--state", "{dir}/none"), "holds no book"),
    "invalid symbols": (("run", "--market", "sim", "--symbols", "BTC?USDT"), "--symbols"),
    "a symbol that sim does not have": (("run", "--market", "sim", "--symbols", "nosuch"), "some of ADAUSDT, "),
    "a symbol that a tape does not have": (("replay", "{tape}", "--symbols", "sol"), "it has BTCUSDT"),
    "a limit that is no number": (("trades", "--state", "{dir}/none", "--limit", "abc"), "--limit is abc; expected 1"),
    "too many rows": (("orders", "--state", "{dir}/none", "--limit", "10001"), "expected 1 to 10,000 rows"),
    "an empty market": (("replay", "", "--json"), "empty text"),
    "an interval that sim does not have": (("run", "--market", "sim", "--interval", "7s"), "5s to 1h"),
    "an invalid interval": (("run", "--market", "sim", "--interval", "often"), "--interval"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "hint"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_input_gives_one_sentence_exit_2_and_no_files(
    ocw: Ocw, tape: Path, tmp_path: Path, call: tuple[str, ...], hint: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "notes.csv").write_text("dear diary,\n")
    (folder / "torn-BTCUSDT-1m.zip").write_bytes(tape.read_bytes()[:100])
    write_csv(folder, path([100.0, 100.0, math.nan, 100.0]), "BTCUSDT-1m-2026-01-02.csv")
    write_csv(folder, path([100.0, 100.0, 1e12, 100.0]), "BTCUSDT-1m-2026-01-03.csv")
    (folder / "typo.toml").write_text(
        Path(__file__).parents[2].joinpath("policies/default.toml").read_text().replace("max_notional", "max_notionall")
    )
    (folder / "both.env").write_text("BINANCE_PAPER=true\nLIVE_TRADING=true\n")
    (folder / "live.env").write_text("OCW_MODE=live\nLIVE_TRADING=true\n")
    before = sorted(each.name for each in folder.iterdir())
    said = ocw(*(part.format(dir=folder, tape=tape) for part in call))
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.startswith("ocw: ")
    assert hint in said.err
    assert "Traceback" not in said.err
    assert sorted(each.name for each in folder.iterdir()) == before


@pytest.mark.parametrize("arguments", [(), ("--help",), ("run", "--help"), ("journal", "--help")])
def test_help_prints_the_usage(ocw: Ocw, arguments: tuple[str, ...]) -> None:
    said = ocw(*arguments)
    assert "Usage" in said.out + said.err


def test_run_refuses_to_continue_a_book_with_another_market(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    ocw("replay", tape, "--state", book, "--json")
    said = ocw("run", "--market", "sim", "--interval", "15m", "--for", "1h", "--state", book)
    assert said.code == 2
    assert "--state" in said.err


def test_policy_that_wakes_on_an_unknown_timeframe_is_refused(ocw: Ocw, tape: Path, tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("policies/default.toml").read_text()
    (tmp_path / "late.toml").write_text(text.replace("close_wakes = []", 'close_wakes = ["2h"]'))
    said = ocw("replay", tape, "--json", "--policies", tmp_path / "late.toml")
    assert said.code == 2
    assert "2h" in said.err
    assert "4h" in said.err


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_invalid_speed_is_refused(ocw: Ocw, tape: Path, speed: str) -> None:
    said = ocw("run", "--market", tape, "--json", "--speed", speed)
    assert (said.code, "--speed" in said.err) == (2, True)


def test_paced_run_has_the_fingerprint_of_a_fast_one(ocw: Ocw, tape: Path) -> None:
    hurried = json.loads(ocw("run", "--market", tape, "--json").out)
    paced = json.loads(ocw("run", "--market", tape, "--json", "--speed", "500000").out)
    assert paced["fingerprint"] == hurried["fingerprint"]
    assert paced["wall_s"] >= round((paced["to"] - paced["from"]) / 1_000 / 500_000, 3)


def test_sandbox_claude_error_lists_the_known_model_characters(ocw: Ocw) -> None:
    said = ocw("sandbox", "claude", "--character", "nobody")
    assert said.code == 2
    assert "'nobody'; expected one of trader, hallucinator, victim" in said.err


def test_sandbox_on_a_used_port_is_refused(ocw: Ocw) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        said = ocw("sandbox", "claude", "--port", str(taken.getsockname()[1]))
    assert said.code == 2
    assert "cannot listen on" in said.err
