"""`replay`: the example of the README runs, and each invalid argument gives one sentence."""

import asyncio
import json
import math
import os
import signal
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp import (
    BookError,
    Decision,
    Leg,
    OcwError,
    ReplayResult,
    SettingsError,
    Snapshot,
    StrategyError,
    TapeError,
    replay,
)
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.resources import shipped
from ocw_mcp.domain.snapshot import WakeKind
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from tests.support.markets import START, path
from tests.support.shell import Ocw
from tests.support.tapes import write_zip

PRICES = [100.0 + math.sin(index / 40) * 3 for index in range(480)]


def decide(snapshot: Snapshot) -> Decision | None:
    eth = snapshot.symbols["ETHUSDT"]
    if not snapshot.positions and eth.last:
        return Decision(legs=(Leg("ETHUSDT", "BUY", size="0.1", stop=eth.last * 0.97),))
    return None


def turn(snapshot: Snapshot) -> Decision:
    """Buy if the position is flat, else sell."""
    btc = snapshot.symbols["BTCUSDT"]
    if btc.position or not btc.last:
        return Decision([Leg("BTCUSDT", "SELL")])
    return Decision([Leg("BTCUSDT", "BUY", size=0.05, stop=btc.last * 0.97)])


def hold(snapshot: Snapshot) -> None:
    """Do nothing."""


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    folder = tmp_path / "tape"
    folder.mkdir()
    write_zip(folder, path(PRICES))
    return folder


@pytest.fixture(scope="module")
def result() -> ReplayResult:
    return replay("sim", strategy=decide, every="15m", days=2)


def test_a_replay_of_the_simulated_market_trades(result: ReplayResult) -> None:
    assert len(result.decisions) == 2 * 96
    assert result.report["equity_end"] != result.report["equity_start"]
    assert result.trades[0].symbol == "ETHUSDT"
    assert {each.principal for each in result.orders} == {f"strategy:{__name__}:decide", "guard"}
    assert result.fingerprint == result.report["fingerprint"]
    assert (result.why, result.warnings) == ("its time is up", ())


def test_replay_rounds_float_prices_to_the_tick(result: ReplayResult) -> None:
    stops = [each.trigger_price for each in result.orders if each.purpose == "stop"]
    assert stops
    assert all(stop is not None and stop % Decimal("0.01") == 0 for stop in stops)


def test_refused_order_of_a_strategy_is_in_the_replay_result(result: ReplayResult) -> None:
    assert {each.code for each in result.refusals} == {"REENTRY"}
    assert (
        sum(each.refusals for each in result.decisions) == len(result.refusals) == result.report["refusals"]["REENTRY"]
    )


def test_replay_equity_has_a_point_at_each_strategy_call_and_the_end(result: ReplayResult) -> None:
    times = [each.at for each in result.equity]
    assert times == sorted(set(times))
    assert times[1:] == [START + number * 15 * MINUTE for number in range(1, 2 * 96 + 1)]
    assert float(result.equity[-1].equity) == result.report["equity_end"]
    assert result.equity[0].equity == 10_000


def test_repr_of_a_replay_result_is_one_line(result: ReplayResult) -> None:
    shown = repr(result)
    assert shown.startswith("<ReplayResult BTCUSDT, ETHUSDT, SOLUSDT: equity 10,000.00 to ")
    assert f"{len(result.trades)} trades, {len(result.orders)} orders, {len(result.refusals)} refusals" in shown
    assert shown.endswith(f"fingerprint {result.fingerprint[:12]}>")


def test_same_inputs_give_the_same_fingerprint(tape: Path) -> None:
    first, again = (replay(tape, strategy=turn, every="30m") for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert (first.orders, first.trades, first.equity) == (again.orders, again.trades, again.equity)
    assert replay(tape, strategy=turn, every="1h").fingerprint != first.fingerprint


def test_strategy_is_called_by_the_gate_if_every_is_not_given(tape: Path) -> None:
    result = replay(tape, strategy=turn)
    kinds = {reason.kind for each in result.decisions for woken in each.reasons for reason in woken.reasons}
    assert kinds > {WakeKind.CLOSE}


def test_replay_command_and_function_give_the_same_fingerprint(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "same_strategy.py").write_text(
        "from ocw_mcp import Decision, Leg\n"
        "def decide(snapshot):\n"
        "    last = snapshot.symbols['BTCUSDT'].last\n"
        "    return Decision([Leg('BTCUSDT', 'BUY', size=0.05, stop=last * 0.97)])\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    called = replay(tape, strategy="same_strategy:decide", every="30m")
    ocw = Ocw(monkeypatch, capsys)
    said = ocw("replay", tape, "--strategy", "same_strategy:decide", "--every", "30m", "--json")
    printed = json.loads(said.out)
    timeless = {"wall_s", "candles_per_s", "max_rss_mb"}
    assert {key: printed[key] for key in printed.keys() - timeless} == {
        key: called.report[key] for key in called.report.keys() - timeless
    }


def test_replay_in_two_parts_has_the_fingerprint_of_one_replay(tape: Path, tmp_path: Path) -> None:
    whole = replay(tape, strategy=turn, every="30m")
    book = tmp_path / "book"
    part = replay(tape, strategy=turn, every="30m", days=0.125, state=book)
    assert part.report["to"] - part.report["from"] == 3 * HOUR
    rest = replay(tape, strategy=turn, every="30m", state=str(book))
    assert rest.fingerprint == whole.fingerprint
    assert rest.trades == whole.trades


def test_replay_without_state_leaves_no_file_behind(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert len(replay(tape, strategy=hold, every="1h").decisions) == 8
    assert os.listdir(tmp_path / "temporary") == []
    assert capfd.readouterr() == ("", "")


def test_exception_of_the_strategy_is_raised_unchanged(tape: Path) -> None:
    def fails(snapshot: Snapshot) -> None:
        raise LookupError(f"at {snapshot.at}")

    with pytest.raises(LookupError, match=f"at {START + HOUR}") as raised:
        replay(tape, strategy=fails, every="1h")
    assert raised.traceback[-1].name == "fails"


def test_strategy_that_returns_no_decision_raises_an_error(tape: Path) -> None:
    with pytest.raises(
        StrategyError, match="returned a value of type str, 'BUY'; expected a Decision, or None to hold"
    ):
        replay(tape, strategy=lambda snapshot: "BUY", every="1h")  # type: ignore[arg-type, return-value]


def test_size_beyond_a_limit_is_refused_with_the_largest_size(tape: Path) -> None:
    def greedy(snapshot: Snapshot) -> Decision | None:
        last = snapshot.symbols["BTCUSDT"].last
        return Decision([Leg("BTCUSDT", "BUY", size=1, stop=last * 0.97)]) if last else None

    refused = replay(tape, strategy=greedy, every="4h").refusals[0]
    assert refused.code == "ORDER_NOTIONAL"
    assert refused.largest > 0


def test_order_for_an_unknown_symbol_is_refused_and_others_execute(tape: Path) -> None:
    def mistaken(snapshot: Snapshot) -> Decision | None:
        last = snapshot.symbols["BTCUSDT"].last
        legs = [Leg("DOGEUSDT", "BUY", 0.05, 1), Leg("btc/usdt", "BUY", 0.05, last * 0.97)] if last else []
        return Decision(legs)

    result = replay(tape, strategy=mistaken, every="6h")
    assert [(each.symbol, each.code) for each in result.refusals] == [("DOGEUSDT", "UNKNOWN_SYMBOL")]
    assert result.orders[0].symbol == "BTCUSDT"


def test_replay_accepts_policies_by_name_by_path_or_loaded(tape: Path, tmp_path: Path) -> None:
    lab = shipped("policies") / "lab.toml"
    given = ("lab", lab, str(lab), load_policies(None, "lab"))
    shown = {replay(tape, strategy=hold, policies=each, days=0.01).fingerprint for each in given}
    assert len(shown) == 1
    assert replay(tape, strategy=hold, policies="default", days=0.01).fingerprint not in shown
    with pytest.raises(SettingsError, match=r"there is no policy 'labs' in .*; did you mean lab\?"):
        replay(tape, strategy=hold, policies="labs")
    with pytest.raises(SettingsError, match=r"mine\.toml"):
        replay(tape, strategy=hold, policies="mine.toml")


def test_replay_argument_symbols_selects_a_part_of_the_market() -> None:
    result = replay("sim", strategy=decide, every="6h", days=0.5, symbols=["ethusdt"], seed=7)
    assert result.report["symbols"] == ["ETHUSDT"]
    assert replay("sim", strategy=hold, days=0.01, symbols="BTCUSDT, SOLUSDT").report["symbols"] == [
        "BTCUSDT",
        "SOLUSDT",
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "why"),
    [
        (
            {"days": None},
            SettingsError,
            "the simulated market has no end; give the number of days to replay, such as days=5",
        ),
        ({"days": 0}, SettingsError, "days is 0; expected a number above 0, such as 5 or 0.5"),
        ({"days": "5"}, SettingsError, "days is '5'; expected a number above 0"),
        ({"days": math.inf}, SettingsError, "days is inf; expected a number above 0"),
        ({"every": "often"}, SettingsError, "every: 'often' is not a span of time"),
        ({"every": "90s"}, SettingsError, "expected a multiple of 1m"),
        ({"symbols": ["FOOUSDT"]}, SettingsError, "'FOOUSDT', which the simulated market does not have"),
        ({"product": "option"}, SettingsError, "product is 'option'; expected spot or um"),
        ({"strategy": 7}, StrategyError, "is 7, which cannot be called; expected a function"),
        ({"strategy": "no_such_module_at_all:decide"}, StrategyError, "there is no module 'no_such_module_at_all'"),
        ({"market": ""}, SettingsError, "the market is an empty text; expected sim, or the path of a tape"),
        ({"market": "no/such/tape"}, TapeError, "tape does not exist; expected a directory or a file"),
    ],
)
def test_invalid_replay_argument_is_refused_in_one_sentence(
    changes: dict[str, Any], kind: type[OcwError], why: str
) -> None:
    wanted: dict[str, Any] = {"market": "sim", "strategy": hold, "days": 1} | changes
    with pytest.raises(kind) as refused:
        replay(wanted.pop("market"), **wanted)
    assert why in str(refused.value)


def test_unknown_replay_argument_is_named_in_the_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'capital'"):
        replay("sim", strategy=hold, days=1, capital=100_000)  # type: ignore[call-arg]


def test_replay_refuses_the_book_of_another_market(tape: Path, tmp_path: Path) -> None:
    replay(tape, strategy=hold, days=0.01, state=tmp_path / "book")
    with pytest.raises(BookError):
        replay("sim", strategy=hold, days=0.01, state=tmp_path / "book")


async def test_replay_works_inside_a_running_event_loop(tape: Path, tmp_path: Path) -> None:
    """As a notebook does."""
    result = replay(tape, strategy=turn, every="1h")
    assert len(result.decisions) == 8
    assert result.picture(tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert asyncio.get_running_loop().is_running()


async def test_ctrl_c_stops_a_replay_inside_a_running_event_loop() -> None:
    """The replay runs in a thread of its own, and Python delivers Ctrl-C to the main thread only."""
    main = threading.main_thread().ident
    assert main is not None
    called: list[int] = []

    def interrupted(snapshot: Snapshot) -> None:
        called.append(snapshot.at)
        if len(called) == 1:
            signal.pthread_kill(main, signal.SIGINT)

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            replay("sim", strategy=interrupted, every="15m", days=100_000)
    finally:
        signal.signal(signal.SIGINT, usual)


def test_replay_picture_needs_a_valid_path_and_a_closed_candle(tape: Path, tmp_path: Path) -> None:
    result = replay(tape, strategy=turn, every="1h")
    assert result.picture(str(tmp_path / "run.png")) == tmp_path / "run.png"
    with pytest.raises(SettingsError, match="cannot be a file"):
        result.picture(tmp_path / "nowhere" / "run.png")
    with pytest.raises(SettingsError, match="no candle closed"):
        replay(tape, strategy=turn, days=0.0001).picture(tmp_path / "none.png")


def test_skipped_rows_of_a_tape_are_reported_as_warnings(tape: Path) -> None:
    file = tape / "BTCUSDT-1m-2026-01-02.csv"
    moment = START + DAY
    file.write_text(f"{moment},1,2,3,4,5,{moment + 59_999},0,0,0,0,0\n")
    result = replay(tape, strategy=hold, every="1h")
    assert len(result.warnings) >= 1
    assert "2026-01-02" in " ".join(result.warnings)
