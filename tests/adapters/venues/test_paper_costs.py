"""Costs of taking beyond the fee on paper: half the quoted spread, and the expected move during the latency."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms, expected_move
from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.money import ceil_to
from ocw_mcp.domain.orders import Canceled, Filled, Purpose, VenueReport
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.adapters.venues.papers import BUY, ETH, SELL, T0, cleared_order, fill_of, opens, rest, send, trades

D = Decimal
FREE = {"taker_fee": D("0.0005"), "half_spread": D(0), "slippage": D(0)}
LIVELY = Candle(ETH, T0, MINUTE, 1_000.0, 1_010.0, 990.0, 1_000.0, 1e6)


def venue_with(latency_ms: int = 0, half_spread: str = "0") -> PaperVenue:
    terms = FillTerms(**FREE | {"half_spread": D(half_spread)}, latency_ms=latency_ms)
    return PaperVenue(Product.UM, D(10_000), 5 * MINUTE, terms)


def paid(reports: list[VenueReport]) -> Decimal:
    return fill_of(reports).price


async def sent(venue: PaperVenue, at: int, opening: int = 1) -> list[VenueReport]:
    """Return the reports of an opening after a volatile minute, for an order sent at `at`."""
    opens(venue, 1_000.0)
    trades(venue, 990.0, 1_010.0, 1_000.0)
    await send(venue, cleared_order(BUY, "2", now=at))
    return opens(venue, 1_000.0, opening)


@pytest.mark.parametrize(("early", "late"), [(0, 250), (100, 150), (250, 0), (30_000, 0)])
async def test_order_arriving_after_an_opening_pays_the_expected_price_move(early: int, late: int) -> None:
    reports = await sent(venue_with(latency_ms=250), T0 + MINUTE - early)
    assert paid(reports) == ceil_to(1_000 * (1 + expected_move(LIVELY, late)), D("0.01"))
    assert (paid(reports) > 1_000) == (late > 0)


async def test_order_in_transit_waits_for_an_opening_after_arrival() -> None:
    venue = venue_with(latency_ms=90 * SECOND)
    assert await sent(venue, T0 + MINUTE) == []
    trades(venue, 990.0, 1_010.0, 1_000.0, 1)
    assert opens(venue, 1_000.0, 2) == []
    assert paid(opens(venue, 1_000.0, 3)) == 1_000


async def test_resting_order_pays_nothing_for_latency() -> None:
    venue = venue_with(latency_ms=250)
    await sent(venue, T0)
    await rest(venue, SELL, "1", Purpose.STOP, "995", at=T0 + MINUTE)
    assert paid(trades(venue, 990.0, 1_000.0, 992.0, 1)) == 995


async def test_limit_order_arriving_after_a_better_opening_fills_as_taker() -> None:
    venue = venue_with(latency_ms=250)
    trades(venue, 990.0, 1_010.0, 1_000.0)
    await send(venue, cleared_order(BUY, "2", limit="995", now=T0 + MINUTE))
    fill = fill_of(opens(venue, 980.0, 1))
    assert 980 < fill.price < 981
    assert not fill.maker


async def test_post_only_order_arriving_after_a_better_opening_expires() -> None:
    venue = venue_with(latency_ms=250)
    trades(venue, 990.0, 1_010.0, 1_000.0)
    await send(venue, cleared_order(BUY, "2", limit="995", now=T0 + MINUTE, post_only=True))
    (gone,) = opens(venue, 980.0, 1)
    assert isinstance(gone, Canceled)
    assert venue.orders == []


@pytest.mark.parametrize(
    ("book", "price"),
    [
        (OrderBook(ETH, T0, 999.0, 1_001.0), "1001"),
        (OrderBook(ETH, T0, 1_000.0, 1_000.0), "1000"),
        (OrderBook(ETH, T0 - MINUTE, 999.0, 1_001.0), "1001"),
        (OrderBook(ETH, T0 - MINUTE - 1, 999.0, 1_001.0), "1000.3"),
        (OrderBook(ETH, T0, 1_001.0, 999.0), "1000.3"),
        (OrderBook("BTCUSDT", T0, 999.0, 1_001.0), "1000.3"),
    ],
    ids=["quoted", "none", "a minute old", "too old", "crossed", "another symbol's"],
)
async def test_taker_pays_half_the_quoted_or_assumed_spread(book: OrderBook, price: str) -> None:
    venue = venue_with(half_spread="0.0003")
    venue.on_books([book])
    await send(venue, cleared_order(BUY, "2"))
    assert paid(opens(venue, 1_000.0)) == D(price)


async def test_maker_fill_pays_no_spread_but_a_triggered_stop_does() -> None:
    venue = venue_with()
    await send(venue, cleared_order(BUY, "2"))
    opens(venue, 1_000.0)
    await rest(venue, SELL, "1", Purpose.STOP, "950")
    await send(venue, cleared_order(BUY, "1", n=2, limit="960"))
    venue.on_books([OrderBook(ETH, T0 + MINUTE, 949.0, 951.0)])
    reports = trades(venue, 940.0, 1_000.0, 950.0)
    assert [each.price for each in reports if isinstance(each, Filled)] == [D(960), D(949)]


async def test_restart_keeps_best_prices_and_orders_in_transit() -> None:
    venue = venue_with(latency_ms=250)
    opens(venue, 1_000.0)
    trades(venue, 990.0, 1_010.0, 1_000.0)
    venue.on_books([OrderBook(ETH, T0 + MINUTE, 999.0, 1_001.0)])
    await send(venue, cleared_order(BUY, "2", now=T0 + MINUTE))
    again = venue_with(latency_ms=250)
    again.restore(venue.state())
    assert opens(again, 1_000.0, 1) == opens(venue, 1_000.0, 1) != []
