"""The report's figures on closed trades, compared with an oracle that reads only the fills of the journal."""

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.domain.figures import ClosedTrade
from ocw_mcp.engine.report import trade_statistics
from tests.support.examples import slow_after
from tests.support.shell import Ocw

D = Decimal
Trade = tuple[str, int, int, Decimal, str, int]
"""Symbol, first fill, last fill, result, exit reason, number of orders that closed it."""


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def reason_of(intent: dict[str, Any] | None, rule: str, *, maker: bool) -> str:
    """Return the exit reason of a trade from the order that closed it, by the type of that order."""
    if intent is None:
        return "outside"
    if intent["type"] == "stop_market" and not maker:
        return "stop"
    if intent["type"] in ("stop_market", "take_profit_market"):
        return "target"
    return rule if intent["principal"] == "guard" else str(intent["principal"])


def trades_of(book: Path) -> tuple[list[Trade], dict[str, int]]:
    """Return the closed trades from the cash of each symbol, and the time since which other positions are open."""
    with closing(sqlite3.connect(book / "journal.db")) as db:
        rows = [(at, json.loads(payload)) for at, payload in db.execute("SELECT at, payload FROM events ORDER BY row")]
    held, cash = defaultdict[str, Decimal](D), defaultdict[str, Decimal](D)
    since, last_exit, closed_by = dict[str, int](), dict[str, str](), defaultdict[str, set[str]](set)
    intents, found = dict[str, dict[str, Any]](), list[Trade]()
    for at, event in rows:
        kind, symbol = event["kind"], event.get("symbol", "")
        if kind == "order.intended":
            intents[json.dumps(event["ref"])] = event["intent"]
        elif kind == "exit.decided":
            last_exit[symbol] = event["rule"]
        elif kind == "funding.booked" and held[symbol]:
            cash[symbol] += D(event["amount"])
        elif kind in ("order.filled", "outside.filled"):
            signed = D(event["quantity"]) * (1 if event["side"] == "buy" else -1)
            since.setdefault(symbol, at)
            if held[symbol] * signed < 0:
                closed_by[symbol].add(json.dumps(event.get("ref", event.get("fill_id"))))
            held[symbol] += signed
            cash[symbol] -= signed * D(event["price"]) + D(event["fee"])
            if not held[symbol]:
                intent = intents[json.dumps(event["ref"])] if kind == "order.filled" else None
                rule = last_exit.pop(symbol, "guard")
                reason = reason_of(intent, rule, maker=event.get("maker", False))
                found.append((symbol, since.pop(symbol), at, cash.pop(symbol), reason, len(closed_by.pop(symbol))))
    return found, since


def figures_of(trades: list[Trade], open_since: dict[str, int], since: int, until: int) -> dict[str, Any]:
    """Return the report's figures, computed in another way: the exposure minute by minute."""
    results = [trade[3] for trade in trades]
    won, lost = [each for each in results if each > 0], [each for each in results if each < 0]
    spans = [trade[1:3] for trade in trades] + [(opened, until) for opened in open_since.values()]
    exposed = {minute for begins, ends in spans for minute in range(max(begins, since), min(ends, until), 60_000)}
    return {
        "count": len(trades), "won": len(won), "lost": len(lost), "pnl": sum(results, D(0)),
        "scaled_out": sum(trade[5] > 1 for trade in trades),
        "win_rate": len(won) / len(results) if results else None,
        "gross_profit": sum(won, D(0)), "gross_loss": -sum(lost, D(0)),
        "profit_factor": sum(won, D(0)) / -sum(lost) if lost else None,
        "average_win": sum(won) / len(won) if won else None, "average_loss": sum(lost) / len(lost) if lost else None,
        "expectancy": sum(results) / len(results) if results else None,
        "exit_reasons": Counter(trade[4] for trade in trades),
        "exposure_ms": 60_000 * len(exposed), "exposure": 60_000 * len(exposed) / (until - since),
    }  # fmt: skip


def same(told: dict[str, Any], expected: dict[str, Any]) -> bool:
    return all(
        told[name] == (pytest.approx(float(value)) if isinstance(value, Decimal | float) else value)
        for name, value in expected.items()
    ) and {*told} - {"by_symbol"} == {*expected}


@pytest.mark.parametrize(
    ("agent", "seed", "span"), slow_after(1, [("reckless", 5, "3d"), ("reckless", 1, "3d"), ("rules", 3, "6d")])
)
def test_trade_statistics_equal_those_computed_from_the_fills(
    ocw: Ocw, tmp_path: Path, agent: str, seed: int, span: str
) -> None:
    book = tmp_path / "book"
    said = ocw(
        "run",
        "--market",
        "sim",
        "--interval",
        "15m",
        "--agent",
        agent,
        "--seed",
        seed,
        "--for",
        span,
        "--state",
        book,
        "--json",
    )
    report = json.loads(said.out)
    told, (trades, open_since) = report["trades"], trades_of(book)
    assert trades, "a run without a trade shows nothing"
    assert same(told, figures_of(trades, open_since, report["from"], report["to"])), told
    assert sorted(told["by_symbol"]) == sorted({*open_since, *(trade[0] for trade in trades)})
    for symbol, each in told["by_symbol"].items():
        mine = [trade for trade in trades if trade[0] == symbol]
        still = {name: at for name, at in open_since.items() if name == symbol}
        assert same(each, figures_of(mine, still, report["from"], report["to"])), each


def test_run_without_trades_has_no_win_rate_and_no_averages() -> None:
    told = trade_statistics([], {}, None, None)
    assert {name for name, value in told.items() if value is None} == {
        "win_rate", "profit_factor", "average_win", "average_loss", "expectancy", "exposure",
    }  # fmt: skip
    assert (told["count"], told["exit_reasons"], told["by_symbol"]) == (0, {}, {})


def test_a_profit_factor_without_a_loss_is_unknown() -> None:
    even = ClosedTrade("BTCUSDT", 0, 10, D(0), "stop")
    won = ClosedTrade("BTCUSDT", 10, 20, D("2.5"), "target")
    told = trade_statistics([even, won], {}, 0, 100)
    assert (told["profit_factor"], told["average_loss"], told["win_rate"]) == (None, None, 0.5)
    assert told["expectancy"] == 1.25


def test_time_with_two_open_positions_counts_once_in_exposure_time() -> None:
    first, second = ClosedTrade("BTCUSDT", 10, 50, D(1), "stop"), ClosedTrade("ETHUSDT", 40, 60, D(1), "stop")
    told = trade_statistics([first, second], {"SOLUSDT": 90}, 0, 100)
    assert (told["exposure_ms"], told["exposure"]) == (60, 0.6)
    assert {symbol: each["exposure_ms"] for symbol, each in told["by_symbol"].items()} == {
        "BTCUSDT": 40, "ETHUSDT": 20, "SOLUSDT": 10,
    }  # fmt: skip
