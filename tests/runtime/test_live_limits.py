"""A live book whose exchange limits or bans its requests, and what the book sends to the exchange at all."""

import json

import pytest

from ocw_mcp.app.bench.live_day import faults_of_a_day
from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import SECOND
from tests.support.legs import buy
from tests.support.sandbox_books import BEGIN, ByMinute, LiveBook, fault, market_of, run_live_book

THROUGH_THE_STOP = {"BTCUSDT": [90_000.0] * 4 + [88_000.0] * 2 + [91_000.0] * 20}
"""The price is below 88,500 from second 280 to 370."""
SCRIPT = {2: buy("88500", "0.05"), 10: buy("88500", "0.05")}
PUBLIC = {
    *("/fapi/v1/time", "/fapi/v1/exchangeInfo", "/fapi/v1/klines", "/fapi/v1/fundingInfo", "/fapi/v1/fundingRate"),
    *("/fapi/v1/premiumIndex", "/fapi/v1/ticker/bookTicker"),
    *("/futures/data/openInterestHist", "/futures/data/topLongShortPositionRatio", "/futures/data/basis"),
    *("/futures/data/topLongShortAccountRatio", "/futures/data/globalLongShortAccountRatio"),
    *("/futures/data/takerlongshortRatio", "/fapi/v1/openInterest"),
    *("/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/klines", "/api/v3/ticker/bookTicker"),
}
"""The paths that the exchange answers without a key, and that need none of its trading permissions."""
ALLOWED = {"symbol", "interval", "startTime", "endTime", "limit", "symbols", "period", "pair", "contractType"}


def requests(book: LiveBook, since_s: float, until_s: float) -> list[float]:
    """Return the times, in seconds since minute 0, of the REST requests in a time."""
    times = [(at - BEGIN) / SECOND for at, _ in book.exchange.seen]
    return [at for at in times if since_s < at < until_s]


def fills(book: LiveBook) -> list[tuple[float, Purpose]]:
    return [(at, each.ref.leg) for at, each in book.timed(events.OrderFilled)]


@pytest.mark.requirement("L01")
def test_a_limited_book_waits_for_the_next_minute_and_goes_on() -> None:
    """The exchange of futures counts requests by the minute, and says nothing else."""
    limited = [fault("mute", 190, lasts="3m"), fault("limit", 190, lasts="100s")]
    book = run_live_book(market_of(THROUGH_THE_STOP), 9, ByMinute({}), faults=limited)
    first, *others = requests(book, 190, 290)
    assert 190 < first < 240
    assert len(others) == 1, "one request a minute while it is told to wait"
    assert 240 <= others[0] < 290
    changes = [each.after for each in book.events(events.StateChanged)]
    assert changes == [TradingState.REDUCING, TradingState.ACTIVE]
    assert book.run.engine.counters.candles == 8


@pytest.mark.requirement("L02")
def test_stop_triggers_on_the_streams_during_a_ban() -> None:
    book = run_live_book(market_of(THROUGH_THE_STOP), 11, ByMinute(SCRIPT), faults=[fault("ban", 190, lasts="4m")])
    assert len(requests(book, 190, 430)) == 1, "none after the one that was told when the ban ends"
    _, (stopped, leg), (again, _) = fills(book)
    assert leg is Purpose.STOP
    assert 280 < stopped < 370
    assert 600 < again < 610


@pytest.mark.slow
@pytest.mark.requirement("L02")
def test_stop_that_was_passed_during_a_ban_without_streams_is_filled_after_it() -> None:
    outage = [fault("ban", 190, lasts="5m"), fault("mute", 190, lasts="5m")]
    book = run_live_book(market_of(THROUGH_THE_STOP), 11, ByMinute(SCRIPT), faults=outage)
    assert len(requests(book, 190, 490)) == 1
    _, stop, _ = book.events(events.OrderFilled)
    assert stop.ref.leg is Purpose.STOP
    assert stop.price <= 88_500, "the price is at 91,000 when the data are back"
    assert [leg for _, leg in fills(book)] == [Purpose.ENTRY, Purpose.STOP, Purpose.ENTRY]
    changes = [each.after for each in book.events(events.StateChanged)]
    assert changes == [TradingState.REDUCING, TradingState.ACTIVE]


def assert_public_only(book: LiveBook) -> None:
    """Assert that a book sent nothing but requests and subscriptions of public market data."""
    for _, request in book.exchange.seen:
        assert request.method == "GET"
        assert request.path in PUBLIC
        assert request.query.keys() <= ALLOWED, "no signature, no timestamp, no key"
        assert not request.headers
    for path in book.exchange.opened:
        assert path.startswith(("/market/stream?streams=", "/public/stream?streams=", "/stream?streams="))
        assert "@" in path
    for text in book.exchange.sent:
        message = json.loads(text)
        assert message["method"] in {"SUBSCRIBE", "UNSUBSCRIBE"}
        assert all("@" in name for name in message["params"]), "a stream of a market, and no listen key"


@pytest.mark.requirement("M04")
@pytest.mark.parametrize("product", [Product.UM, pytest.param(Product.SPOT, marks=pytest.mark.slow)])
def test_a_paper_book_sends_only_public_requests_whatever_fails(product: Product) -> None:
    faults = [
        fault("mute", 70, lasts="80s"),
        fault("drop", 170),
        fault("close", 190),
        fault("garbage", 200, lasts="20s", form="schema"),
        fault("refuse", 230, lasts="20s", rest=True),
        fault("error", 260, lasts="20s"),
        fault("limit", 290, lasts="20s"),
        fault("ban", 320, lasts="30s"),
        fault("mute", 340, lasts="100s"),
    ]
    book = run_live_book(market_of(THROUGH_THE_STOP, product), 11, ByMinute(SCRIPT), faults=faults)
    assert book.events(events.OrderFilled)
    assert len(book.exchange.opened) >= 3
    assert book.exchange.sent
    assert len({request.path for _, request in book.exchange.seen}) >= 4
    assert_public_only(book)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.requirement("M04")
def test_a_paper_book_sends_only_public_requests_in_a_day_of_faults() -> None:
    closes = [90_000.0 + 500 * (minute % 97) / 97 - 9 * (minute % 211) for minute in range(1_500)]
    market = market_of({"BTCUSDT": closes})
    script = {minute: buy(f"{closes[minute] * 0.985:.1f}", "0.05") for minute in range(5, 1_400, 120)}
    book = run_live_book(market, 1_441, ByMinute(script), faults=faults_of_a_day(), thin=60, tick_ms=10 * SECOND)
    assert book.run.engine.counters.candles == 1_440
    assert book.events(events.OrderFilled)
    assert_public_only(book)
