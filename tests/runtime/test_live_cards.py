"""A live book on the sandbox exchange with bad data: mute streams, gaps, wrong clocks, disordered and absurd values."""

from collections.abc import Callable

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from tests.support.legs import buy, sell
from tests.support.runs import Run
from tests.support.sandbox_books import (
    BEGIN,
    ByMinute,
    LiveBook,
    assert_candles_of_the_source,
    fault,
    market_of,
    run_live_book,
)
from tests.support.stores import MemoryStore

FLAT = {"BTCUSDT": [90_000.0] * 30}
BOTH = {**FLAT, "ETHUSDT": [3_000.0] * 30}
TWO_INTERVALS = 120


def states(book: LiveBook) -> list[TradingState]:
    return [each.after for each in book.events(events.StateChanged)]


def refused(book: LiveBook) -> list[tuple[str, str]]:
    return [(each.intent.symbol, each.refusal.code) for each in book.events(events.OrderRefused)]


def fills(book: LiveBook) -> list[tuple[float, Purpose]]:
    return [(at, each.ref.leg) for at, each in book.timed(events.OrderFilled)]


def incidents(book: LiveBook, part: str) -> list[float]:
    return [at for at, each in book.timed(events.Incident) if part in each.text]


@pytest.mark.requirement("D01")
def test_mute_streams_are_replaced_by_rest_and_without_it_the_book_only_reduces() -> None:
    """Mute from second 190 on; without REST, too, from 310 to 490; all is well from 550 on."""
    outage = [fault("mute", 190, lasts="6m"), fault("error", 310, lasts="3m")]
    market = market_of(FLAT)
    book = run_live_book(market, 11, ByMinute({4: buy("88500", "0.05"), 10: buy("88500")}), faults=outage)
    assert 190 < incidents(book, " is silent for ")[0] <= 190 + TWO_INTERVALS
    (lowered, _), (raised, _) = book.timed(events.StateChanged)
    assert states(book) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert 310 < lowered <= 310 + TWO_INTERVALS
    assert 490 < raised < 560
    assert [leg for _, leg in fills(book)] == [Purpose.ENTRY]
    assert 240 < fills(book)[0][0] < 250, "on the candle and the quote of REST"
    assert_candles_of_the_source(book, market, BEGIN + 10 * MINUTE)


@pytest.mark.slow
@pytest.mark.requirement("D02")
def test_day_offline_fills_the_gap_and_the_stop_that_was_passed() -> None:
    closes = [90_000.0] * 10 + [88_000.0] * 5 + [91_000.0] * (DAY // MINUTE)
    market, kept = market_of({"BTCUSDT": closes}), list[MemoryStore]()

    def kill(transport: InProcessTransport, run: Run) -> None:
        kept.append(run.store.reopened())

    first = run_live_book(market, 5, ByMinute({2: buy("88500", "0.05")}), script={200: kill})
    assert [leg for _, leg in fills(first)] == [Purpose.ENTRY]
    later = DAY // SECOND + 30
    decider = ByMinute({})
    second = run_live_book(market, DAY // MINUTE + 4, decider, store=kept[0], begins_s=later)
    assert_candles_of_the_source(second, market, BEGIN + DAY + 3 * MINUTE)
    closed = [candle.open_time for given in second.feed.given for candle in given.frame.closed]
    assert closed == sorted(set(closed))
    assert all(given.frame.late == (given.frame.at <= BEGIN + DAY) for given in second.feed.given if given.frame.closed)
    stopped = [each for each in second.events(events.OrderFilled) if each.ref.leg is Purpose.STOP]
    assert [float(each.price) <= 88_500 for each in stopped] == [True]
    assert second.run.engine.account.ledger.positions == {}
    assert all(request.snapshot.at > BEGIN + DAY for request in decider.asked)


@pytest.mark.slow
@pytest.mark.requirement("D02")
def test_hours_without_a_connection_leave_no_gap_and_pass_the_stop() -> None:
    closes = [90_000.0] * 10 + [88_000.0] * 5 + [91_000.0] * 400
    market, decider = market_of({"BTCUSDT": closes}), ByMinute({2: buy("88500", "0.05"), 370: buy("89500", "0.05")})
    outage = [fault("refuse", 200, lasts="6h", rest=True), fault("drop", 201)]
    book = run_live_book(market, 375, decider, faults=outage)
    assert_candles_of_the_source(book, market, BEGIN + 374 * MINUTE)
    assert states(book) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert [leg for _, leg in fills(book)] == [Purpose.ENTRY, Purpose.STOP, Purpose.ENTRY]
    assert book.events(events.OrderFilled)[1].price <= 88_500
    late = [given.frame.at for given in book.feed.given if given.frame.late]
    assert late == [BEGIN + minute * MINUTE for minute in range(4, 364)]
    decided = {(request.snapshot.at - BEGIN) // MINUTE for request in decider.asked}
    assert decided == {1, 2, 3, 8, *range(364, 375)}, "the watchdog wakes once in the outage, in minute 8"
    assert len(decider.asked) == len(decided)


@pytest.mark.requirement("D03")
def test_late_repeated_and_disordered_candles_decide_nothing() -> None:
    disturbed = [
        fault("duplicate", 60, lasts="4m", times=3),
        fault("reorder", 310, lasts="2m"),
        # The stream has the candle of minute 8 after half a minute, and REST has no candle in this time.
        fault("delay", 535, lasts="10s", by="30s", stream="*kline*"),
        fault("error", 535, lasts="25s", path="*klines"),
    ]
    market, decider = market_of(FLAT), ByMinute({})
    book = run_live_book(market, 12, decider, faults=disturbed)
    assert_candles_of_the_source(book, market, BEGIN + 11 * MINUTE)
    late = [each.frame.at for each in book.feed.given if each.frame.late]
    assert late == [BEGIN + 9 * MINUTE]
    seconds = [(each.snapshot.at - BEGIN) / SECOND for each in decider.asked]
    assert [at // 60 for at in seconds] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert all(at % 60 < 10 for at in seconds)


@pytest.mark.requirement("D04")
def test_entries_of_one_mute_symbol_stop_and_those_of_others_pass() -> None:
    both = Decision((*buy("88500", "0.05").legs, *buy("2950", "0.05", symbol="ETHUSDT").legs))
    outage = [
        fault("mute", 190, lasts="2m", stream="ethusdt@markPrice*"),
        fault("error", 190, lasts="2m", path="*premiumIndex"),
    ]
    book = run_live_book(
        market_of(BOTH), 8, ByMinute({4: both, 7: buy("2950", "0.05", symbol="ETHUSDT")}), faults=outage
    )
    assert refused(book) == [("ETHUSDT", "STALE_DATA")]
    assert states(book) == []
    bought = [each.symbol for each in book.events(events.OrderFilled)]
    assert bought == ["BTCUSDT", "ETHUSDT"]
    assert 190 < incidents(book, "degraded, ETHUSDT")[0] <= 190 + TWO_INTERVALS


def set_ahead(seconds: int) -> Callable[[InProcessTransport, Run], None]:
    def act(transport: InProcessTransport, run: Run) -> None:
        transport.machine_ahead_ms = seconds * SECOND

    return act


@pytest.mark.requirement("D05")
@pytest.mark.parametrize(
    "jump_s",
    [5, -HOUR // SECOND, *(pytest.param(each, marks=pytest.mark.slow) for each in (-5, HOUR // SECOND))],
)
def test_entries_stop_while_the_clock_is_wrong_and_reductions_pass(jump_s: int) -> None:
    script = {2: buy("88500", "0.05"), 4: sell(), 5: buy("88500", "0.05"), 7: buy("88500", "0.05")}
    book = run_live_book(market_of(FLAT), 8, ByMinute(script), script={190: set_ahead(jump_s), 310: set_ahead(0)})
    (lowered, _), (raised, _) = book.timed(events.StateChanged)
    assert states(book) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert 190 < lowered < 193
    assert 310 < raised < 313
    assert refused(book) == [("BTCUSDT", "NOT_ACTIVE")]
    expected = [(2, Purpose.ENTRY), (4, Purpose.EXIT), (7, Purpose.ENTRY)]
    assert [(int(at) // 60, leg) for at, leg in fills(book)] == expected
    assert incidents(book, "fell back") == incidents(book, "no market data") == []


@pytest.mark.requirement("D05")
def test_wrong_time_of_the_exchange_moves_no_deadline() -> None:
    script = {2: buy("88500", "0.05"), 6: sell(), 7: buy("88500", "0.05")}
    skewed = [fault("skew", 210, lasts="2m", by="-1h")]
    book = run_live_book(market_of(FLAT), 8, ByMinute(script), faults=skewed)
    assert states(book) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert [round(at) for at, _ in fills(book)] == [120, 360, 420]
    assert incidents(book, "fell back") == incidents(book, "no market data") == []


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("product", [Product.UM, pytest.param(Product.SPOT, marks=pytest.mark.slow)])
def test_absurd_prices_trade_no_stop_and_no_target(product: Product) -> None:
    forms = ("huge", "zero", "nan", "negative", "future", "other_symbol")
    wrong = [
        fault("garbage", 130 + 20 * n, lasts="15s", form=form, replaces=n % 2 == 0) for n, form in enumerate(forms)
    ]
    script = {2: buy("88500", "0.05", target="93000")}
    book = run_live_book(market_of(FLAT, product), 6, ByMinute(script), faults=wrong, thin=2)
    assert [leg for _, leg in fills(book)] == [Purpose.ENTRY]
    assert states(book) == []
    assert len(incidents(book, "refused")) >= 3
    account = book.run.engine.account
    assert abs(account.ledger.equity() - 10_000) < 5
    assert_candles_of_the_source(book, market_of(FLAT, product), BEGIN + 5 * MINUTE)
