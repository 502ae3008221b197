"""A position that is reduced in steps is one trade with its parts, in every view of a book."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from ocw_mcp import Decision, Leg, ReplayResult, Snapshot, replay
from tests.support.markets import path
from tests.support.shell import Ocw
from tests.support.tapes import write_zip

D = Decimal
SYMBOL = "BTCUSDT"
PRICES = [100.0 + index / 80 for index in range(420)] + [105.25 - index / 10 for index in range(60)]
"""A slow rise and a fall."""


class Scaled(NamedTuple):
    """A replay with one trade: entered, protected, halved, trailed, and stopped."""

    result: ReplayResult
    book: Path


class _Scales:
    """A strategy that takes one step at each call."""

    def __init__(self) -> None:
        self.script: list[Leg] = []
        self.calls = 0

    def decide(self, snapshot: Snapshot) -> Decision | None:
        """Return the next step."""
        last = snapshot.symbols[SYMBOL].last
        if not isinstance(last, float):
            return None
        steps = [
            Leg(SYMBOL, "BUY", size="0.1", stop=last * 0.98, target=120, reasoning="it rises"),
            Leg(SYMBOL, "PROTECT", stop=f"{last * 0.99:.2f}", target=130, reasoning="not a loss"),
            Leg(SYMBOL, "REDUCE", share="0.5", reasoning="half is taken"),
            Leg(SYMBOL, "PROTECT", trail="0.01", reasoning="the rest may run"),
        ]
        self.calls += 1
        return Decision((steps[self.calls - 1],)) if self.calls <= len(steps) else None


@pytest.fixture(scope="module", params=["um", "spot"])
def scaled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scaled:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "tape").mkdir()
    write_zip(folder / "tape", path(PRICES))
    book = folder / "book"
    result = replay(folder / "tape", strategy=_Scales().decide, every="15m", product=request.param, state=book)
    return Scaled(result, book)


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "120")
    return Ocw(monkeypatch, capsys)


def test_scaled_out_trade_is_one_trade_with_its_parts(scaled: Scaled) -> None:
    (trade,) = scaled.result.trades
    assert [(each.kind, each.reason) for each in trade.parts][:3] == [
        ("entry", "BUY"), ("exit", "REDUCE"), ("exit", "stop"),
    ]  # fmt: skip
    entry, half, _ = trade.parts[:3]
    assert (entry.thesis, half.thesis) == ("it rises", "half is taken")
    assert entry.wake_id is not None
    assert half.wake_id == entry.wake_id + 2
    assert entry.by == half.by == scaled.result.decisions[0].decider
    assert entry.share == 1
    assert half.share == pytest.approx(D("0.5"), abs=D("0.01"))
    exits = [each for each in trade.parts if each.kind == "exit"]
    assert sum(each.quantity for each in exits) == trade.quantity
    assert sum(each.share for each in exits) == pytest.approx(1, abs=D("0.0002"))


def test_result_is_the_cash_of_all_fills_and_the_sum_of_the_parts(scaled: Scaled) -> None:
    (trade,) = scaled.result.trades
    held = cash = fees = funding = D(0)
    with closing(sqlite3.connect(scaled.book / "journal.db")) as db:
        happened = [json.loads(payload) for (payload,) in db.execute("SELECT payload FROM events ORDER BY row")]
    for event in happened:
        if event["kind"] == "order.filled":
            bought = event["side"] == "buy"
            net = D(event["quantity"]) - D(event["base_fee"])
            held += net if bought else -net
            cash -= (net if bought else -net) * D(event["price"])
            fees += D(event["fee"])
        elif event["kind"] == "funding.booked":
            funding += D(event["amount"])
    parts = sum((each.realised for each in trade.parts), D(0))
    assert trade.pnl == parts - trade.fees + trade.funding
    assert (trade.fees, trade.funding) == (fees, funding)
    left = [each for each in trade.parts if each.reason == "dust"]
    assert [each.quantity for each in left] == ([held] if held else [])
    # The value of a remainder that cannot be sold is no cash.
    assert parts == pytest.approx(cash + held * (trade.exit_price or 0), abs=D("0.01"))
    assert held or parts == cash


def test_scaled_out_trade_counts_once_in_the_report(scaled: Scaled) -> None:
    trades = scaled.result.report["trades"]
    assert (trades["count"], trades["won"], trades["scaled_out"]) == (1, 1, 1)
    assert trades["win_rate"] == 1


def test_trades_command_lists_the_parts_of_a_scaled_out_trade(ocw: Ocw, scaled: Scaled) -> None:
    text = ocw("trades", "--state", scaled.book).out
    assert "Parts of trades with several entries or exits" in text
    (half,) = [line for line in text.splitlines() if "REDUCE" in line]
    assert half.split()[2:4] == ["out", "50%"]
    assert "dust" not in text
    assert "1 won, 0 lost" in text


def test_export_has_the_parts_of_each_trade(ocw: Ocw, scaled: Scaled) -> None:
    (row,) = csv.DictReader(io.StringIO(ocw("export", "trades", "--state", scaled.book).out))
    parts = json.loads(row["parts"])
    assert (int(row["entries"]), int(row["exits"])) == (1, len(parts) - 1)
    assert [each["reason"] for each in parts][:2] == ["BUY", "REDUCE"]
    assert sum(D(each["realised"]) for each in parts) - D(row["fees"]) + D(row["funding"]) == D(row["pnl"])


def test_explain_shows_moved_stops_in_order_and_the_parts(ocw: Ocw, scaled: Scaled) -> None:
    (trade,) = scaled.result.trades
    first = trade.parts[0].wake_id or 0
    text = " ".join(ocw("explain", f"order:{trade.order}", "--state", scaled.book).out.split())
    (set_stop,) = {each.split(" -> ")[0] for each in text.split("BTCUSDT stop ")[1:2]}
    story = [
        f"BTCUSDT stop {set_stop} -> ", f"target 120 -> 130 by {trade.parts[0].by} at wake {first + 1}",
        f"at wake {first + 2}", f"trailing 1% by {trade.parts[0].by} at wake {first + 3}", "trailing moves",
        "BTCUSDT closed", f"trade order:{trade.order}, long BTCUSDT", "half is taken", "before fees, fees",
    ]  # fmt: skip
    places = [text.find(part) for part in story]
    assert -1 not in places, story[places.index(-1)]
    assert places[:7] == sorted(places[:7])


def test_explain_of_a_protecting_wake_shows_the_move(ocw: Ocw, scaled: Scaled) -> None:
    wake = (scaled.result.trades[0].parts[0].wake_id or 0) + 1
    story = json.loads(ocw("explain", f"wake:{wake}", "--state", scaled.book, "--json").out)
    first = story["steps"][0]
    assert (first["event"]["kind"], first["event"]["wake_id"]) == ("protection.set", wake)
    assert D(first["before"]["stop"]) < D(first["event"]["stop"])
    assert (first["before"]["target"], first["event"]["target"]) == ("120", "130")
    assert [each["order"] for each in story["trades"]] == [scaled.result.trades[0].order]


def test_journal_and_its_tables_agree(ocw: Ocw, scaled: Scaled) -> None:
    assert "the journal is consistent" in ocw("journal", "verify", "--state", scaled.book).out
