"""A symbol whose candles end while others go on: its position is closed or kept by policy, and the report says so."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ocw_mcp.adapters.feeds.tape.feed import TapeFeed
from ocw_mcp.app.report_view import show
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.figures import JournalFigures
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.report import report
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, short
from tests.support.markets import START, path
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore
from tests.support.tapes import write_csv

D = Decimal
NOTHING = JournalFigures([], 0, 0, 0, {}, 0, D(0), D(0), [])
SHORTER = [100.0, 100.0, 100.0, 101.0, 102.0]
LONGER = [50.0] * 12
KEEP = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, data={"on_end": "keep"})


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """BTCUSDT ends after five minutes at 102, ETHUSDT goes on for seven more."""
    write_csv(tmp_path, path(SHORTER))
    write_csv(tmp_path, path(LONGER, symbol="ETHUSDT"), "ETHUSDT-1m-2026-01-01.csv")
    return tmp_path


def run(
    tape: Path,
    decision: Decision,
    on_end: str = "close",
    product: Product = Product.UM,
    store: MemoryStore | None = None,
    later: Decision | None = None,
) -> Run:
    feed = TapeFeed.open(tape, product)
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, data={"on_end": on_end})
    script = {1: decision} | ({6: later} if later is not None else {})
    return Run(feed, Scripted(script), policy=policy, store=store)


def figures(done: Run) -> dict[str, Any]:
    made = report(done.engine, NOTHING, D("0.0005"), "f00")
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def text(shown: dict[str, Any]) -> str:
    console = Console(width=200, file=io.StringIO(), highlight=False)
    show(shown | {"candles_per_s": 1, "max_rss_mb": 1}, "it was time", console)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(" ".join(line.split()) for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize(
    ("decision", "product"), [(buy("97"), Product.UM), (short("104"), Product.UM), (buy("97"), Product.SPOT)]
)
async def test_position_in_an_ended_symbol_is_closed_at_its_last_price(
    tape: Path, decision: Decision, product: Product
) -> None:
    done = await run(tape, decision, product=product).go()
    (ended,) = done.timed(events.SymbolEnded)
    assert ended == (START + 5 * MINUTE, events.SymbolEnded("BTCUSDT", START + 5 * MINUTE))
    (closed,) = done.events(events.OutsideFilled)
    assert (closed.price, closed.cause, closed.position) == (D(102), "the end of its market", 0)
    # An oracle by plain sums: what was paid, what was got, and the fees of both.
    entry = done.events(events.OrderFilled)[0]
    way = 1 if entry.side == "buy" else -1
    size = closed.quantity
    assert closed.fee == size * 102 * D("0.0005" if product is Product.UM else "0.001")
    expected = way * size * (102 - entry.price) - entry.fee - closed.fee
    assert abs(done.engine.account.ledger.equity() - 10_000 - expected) < D("0.02")
    assert done.engine.account.trading_state is TradingState.ACTIVE
    assert not list(done.engine.orders.live())
    assert done.venue.orders == []
    assert done.events(events.Incident) == []
    shown = figures(done)
    assert shown["ended"] == [{"symbol": "BTCUSDT", "last": START + 5 * MINUTE}]
    assert shown["positions"] == []
    assert "ended early BTCUSDT, last candle at 2026-01-01T00:05:00Z" in text(shown)


@pytest.mark.parametrize("product", Product)
async def test_an_open_position_of_an_ended_symbol_has_its_marks_age(tape: Path, product: Product) -> None:
    done = await run(tape, buy("97"), "keep", product).go()
    (held,) = figures(done)["positions"]
    assert (held["symbol"], held["mark"], held["mark_age_ms"], held["ended"]) == ("BTCUSDT", 102, 7 * MINUTE, True)
    assert done.events(events.OutsideFilled) == []
    assert "mark 102, 7m old" in text(figures(done))
    assert "its market has ended" in text(figures(done))


async def test_the_report_has_realised_unrealised_and_open_positions(tape: Path) -> None:
    done = await run(tape, buy("97")).go(for_ms=4 * MINUTE)
    shown, ledger = figures(done), done.engine.account.ledger
    (held,) = shown["positions"]
    position = ledger.positions["BTCUSDT"]
    assert (held["quantity"], held["stop"], held["mark_age_ms"]) == (float(position.quantity), 97, 0)
    assert held["unrealised"] == shown["unrealised"] == float(position.unrealised(ledger.marks["BTCUSDT"])) > 0
    assert shown["realised"] == -float(position.fees)
    assert shown["equity_start"] + shown["realised"] + shown["unrealised"] == pytest.approx(shown["equity_end"])
    line = next(line for line in text(shown).splitlines() if "still open" in line)
    assert f"BTCUSDT {plain(position.quantity)} at {plain(position.average_price)}, mark 101" in line
    assert "stop 97" in line
    assert "(0.00%)" in text(shown | {"return": -0.00001})


async def test_the_report_rounds_an_average_price_to_the_price_digits(tape: Path) -> None:
    script = {1: buy("97", "0.05"), 4: add("97", "0.0312")}
    done = await Run(TapeFeed.open(tape, Product.UM), Scripted(script), policy=KEEP).go()
    average = done.engine.account.ledger.positions["BTCUSDT"].average_price
    assert len(average.as_tuple().digits) > 7
    assert f" at {plain(round(average, 4))}, mark" in text(figures(done))


async def test_waiting_entry_of_an_ended_symbol_is_cancelled(tape: Path) -> None:
    done = await run(tape, buy("94", limit="96")).go()
    (gone,) = done.events(events.OrderCancelRequested)
    assert gone.why == "its market has ended"
    assert figures(done)["orders_waiting"] == []
    assert figures(await run(tape, buy("94", limit="96")).go(for_ms=4 * MINUTE))["orders_waiting"] == [
        {
            "order": "1-e-0",
            "symbol": "BTCUSDT",
            "side": "buy",
            "quantity": pytest.approx(10.4, abs=0.1),
            "price": 96,
            "status": "accepted",
        }
    ]


async def test_an_addition_is_refused_once_a_symbols_data_have_ended(tape: Path) -> None:
    done = await run(tape, buy("97"), "keep", later=add()).go()
    (refused,) = done.events(events.OrderRefused)
    assert refused.refusal.code == "STALE_DATA"


@pytest.mark.parametrize("minutes", range(3, 9))
async def test_a_run_stopped_at_a_symbols_end_resumes_to_the_same_events(tape: Path, minutes: int) -> None:
    whole = await run(tape, buy("97")).go()
    first = await run(tape, buy("97")).go(for_ms=minutes * MINUTE)
    again = await run(tape, buy("97"), store=first.store.reopened()).go()
    assert again.store.fingerprint == whole.store.fingerprint


async def test_symbols_whose_candles_end_together_do_not_count_as_ended(tmp_path: Path) -> None:
    write_csv(tmp_path, path(SHORTER))
    write_csv(tmp_path, path(SHORTER, symbol="ETHUSDT"), "ETHUSDT-1m-2026-01-01.csv")
    done = await run(tmp_path, buy("97")).go()
    assert done.events(events.SymbolEnded) == []
    assert [held["symbol"] for held in figures(done)["positions"]] == ["BTCUSDT"]
