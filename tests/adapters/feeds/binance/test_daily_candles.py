"""The days of one symbol that a new book gets with its history, and a new book that gets none."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.adapters.feeds.binance.days import DAYS
from ocw_mcp.adapters.feeds.binance.feed import BinanceFeed
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.live_feeds import Run, live_feed, run_feed
from tests.support.regimes import candles
from tests.support.scripted_market import BEGIN, ScriptedMarket

SINCE = BEGIN // DAY * DAY


def run(market: ScriptedMarket, symbol: str = "BTCUSDT", product: Product = Product.UM) -> Run:
    """Return the run of a new book that asks for the days of a symbol."""

    def feed() -> BinanceFeed:
        made = live_feed(market, market.symbols, product, warmup_days=0)
        made.read_days_of(symbol)
        return made

    return run_feed(feed, BEGIN + 2 * MINUTE)


@pytest.mark.parametrize(("product", "requests"), [(Product.UM, 1), (Product.SPOT, 2)])
def test_new_book_gets_the_closed_days_in_its_first_frame_of_history(product: Product, requests: int) -> None:
    market = ScriptedMarket(BEGIN + MINUTE)
    days = candles([0.01, -0.01] * (DAYS // 2 + 5), SINCE - (DAYS + 9) * DAY)
    market.days = [replace(each, taker_volume=1.0) for each in days]
    found = run(market, product=product)
    with_days = [frame for frame in found.frames if frame.days]
    assert [frame.at for frame in with_days] == [next(frame.at for frame in found.frames if frame.closed)]
    assert [each.open_time for each in with_days[0].days] == list(range(SINCE - DAYS * DAY, SINCE, DAY))
    assert sum(query.get("interval") == "1d" for _, query in market.requests) == requests


def test_book_without_the_symbol_asks_for_no_days() -> None:
    market = ScriptedMarket(BEGIN + MINUTE)
    found = run(market, "DOGEUSDT")
    assert not any(frame.days for frame in found.frames)
    assert not any(query.get("interval") == "1d" for _, query in market.requests)


@pytest.mark.parametrize("fault", ["refused", "other fields", "hangs"])
def test_book_begins_without_days_that_cannot_be_had(fault: str) -> None:
    market = ScriptedMarket(BEGIN + MINUTE)

    def rest(path: str, query: Mapping[str, str | int]) -> RestResponse | None:
        if query.get("interval") != "1d":
            return None
        return RestResponse(200, b'[{"a": 1}]', {}) if fault == "other fields" else RestResponse(400, b"{}", {})

    market.rest = rest
    if fault == "hangs":
        usual = market.get

        async def get(path: str, query: Mapping[str, str | int]) -> RestResponse:
            if query.get("interval") == "1d":
                await pause(3_600)
            return await usual(path, query)

        market.get = get  # type: ignore[method-assign]
    found = run(market)
    assert not any(frame.days for frame in found.frames)
    assert any(frame.closed for frame in found.frames)
    (notice,) = [each for each in found.notices if each.subject == "BTCUSDT"]
    assert "the regime stays unknown" in notice.detail
