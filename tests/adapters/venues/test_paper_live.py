"""The paper venue on a live market: orders trade at quotes after their latency, and no quantity is used twice."""

import asyncio
import math
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Instrument, Mark, OrderBook, Product
from ocw_mcp.domain.orders import Accepted, Canceled, OrderRef, Purpose, Rejected, Side
from ocw_mcp.domain.protocols import SimulatedVenue
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.adapters.venues.live import LiveMarket, fills, live_position, paid
from tests.adapters.venues.papers import ETH, T0, cancelled, cleared_order, submitted

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
STOP, TARGET, EXIT = Purpose.STOP, Purpose.TARGET, Purpose.EXIT


async def test_market_order_fills_at_the_newest_quote_when_it_arrives() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    await market.send(0, BUY, "1")
    market.quotes(0.2, 1_001.0, 1_002.0)
    assert market.venue.next_due == T0 + 250
    assert market.due(0.249) == []
    (fill,) = fills(market.due(0.25))
    assert (fill.price, fill.traded_at, fill.fee, fill.maker) == (D(1_002), T0 + 250, D("0.501"), False)


async def test_late_call_of_due_fills_at_the_quote_of_the_arrival() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    await market.send(0, BUY, "1")
    (fill,) = fills(market.quotes(3, 1_009.0, 1_010.0))
    assert (fill.price, fill.traded_at) == (D(1_000), T0 + 250)


async def test_market_order_without_a_recent_quote_waits_for_the_next() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    market.marks(20, 1_000.0)
    await market.send(20, BUY, "1")
    assert market.due(21) == []
    (fill,) = fills(market.quotes(22, 1_004.0, 1_005.0))
    assert (fill.price, fill.traded_at) == (D(1_005), T0 + 22 * SECOND)


async def test_market_entry_expires_if_no_quote_comes() -> None:
    market = LiveMarket()
    market.marks(0, 1_000.0)
    await market.send(0, BUY, "1")
    assert market.due(1) == []
    assert market.venue.next_due == T0 + 5 * MINUTE + 1
    (gone,) = list(market.venue.due(market.venue.next_due))
    assert isinstance(gone, Canceled)
    assert market.quotes(301, 999.0, 1_000.0) == []


async def test_exit_without_a_quote_fills_at_the_last_price_worsened() -> None:
    market = await live_position()
    market.marks(60, 990.0)
    await market.send(60, SELL, "2", EXIT)
    ((quantity, price),) = paid(market.due(61))
    assert quantity == 2
    assert D(988) < price < 990


async def test_order_larger_than_the_best_quantity_pays_deeper_levels() -> None:
    market = LiveMarket()
    market.quotes(0, 998.0, 1_000.0, offers=3)
    await market.send(0, BUY, "10")
    # Seven more need three levels of three, each the spread of 2 behind the one before.
    assert paid(market.due(1)) == [(D(3), D(1_000)), (D(7), D(1_006))]


async def test_short_entry_pays_deeper_bids_down_to_its_limit() -> None:
    market = LiveMarket()
    market.quotes(0, 1_000.0, 1_002.0, bids=3)
    await market.send(0, SELL, "20", limit="997", immediate=True)
    reports = market.due(1)
    assert paid(reports) == [(D(3), D(1_000)), (D(3), D(998))]
    assert isinstance(reports[-1], Canceled)


@pytest.mark.parametrize(("side", "bid", "ask", "deeper"), [
    (BUY, 999.9, 1_000.0, "1000.4"), (BUY, 999.0, 1_000.0, "1001"), (BUY, 1_000.0, 1_000.0, "1000.4"),
    (SELL, 1_000.0, 1_000.1, "999.6"), (SELL, 1_000.0, 1_002.0, "998"),
])  # fmt: skip
async def test_exceeding_quantity_pays_slippage_and_at_least_a_spread(
    side: Side, bid: float, ask: float, deeper: str
) -> None:
    market = LiveMarket()
    market.marks(0, 1_000.0)
    market.closes(0, 1_000.0, 1_000.0, 1_000.0, 1_000.0)
    market.quotes(60, bid, ask, 0.001, 0.001)
    await market.send(60, side, "2")
    assert paid(market.due(61)) == [(D("0.001"), D(1_000)), (D("1.999"), D(deeper))]


async def test_two_orders_do_not_use_one_quantity_twice() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0, offers=2)
    await market.send(0, BUY, "2", n=1)
    await market.send(0, BUY, "2", n=2)
    assert paid(market.due(1)) == [(D(2), D(1_000)), (D(2), D(1_001))]


async def test_second_look_at_one_update_has_no_new_quantity() -> None:
    market = LiveMarket()
    market.quotes(0, 1_000.0, 1_001.0)
    await market.send(0, BUY, "5", limit="999")
    market.due(1)
    book = OrderBook(ETH, T0 + 2 * SECOND, 997.0, 999.0, None, None, 2, 2)
    assert paid(market.venue.on_books([book], T0 + 2 * SECOND)) == [(D(2), D(999))]
    assert paid(market.venue.on_books([book], T0 + 3 * SECOND)) == []
    assert paid(market.quotes(4, 997.0, 998.0, offers=2)) == [(D(2), D(999))]


async def test_resting_orders_share_a_quote_by_price_then_time() -> None:
    market = LiveMarket()
    market.quotes(0, 1_000.0, 1_001.0)
    for n, limit in enumerate(("997", "999", "999"), 1):
        await market.send(0, BUY, "2", n=n, limit=limit)
    market.due(1)
    found = fills(market.quotes(2, 995.0, 996.0, offers=3))
    assert [(fill.ref.n, fill.quantity, fill.price, fill.maker) for fill in found] == [
        (2, D(2), D(999), True),
        (3, D(1), D(999), True),
    ]


async def test_entry_never_fills_beyond_its_limit_and_the_rest_rests() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0, offers=2)
    await market.send(0, BUY, "9", limit="1001")
    assert paid(market.due(1)) == [(D(2), D(1_000)), (D(2), D(1_001))]
    assert paid(market.quotes(2, 1_001.0, 1_002.0)) == []
    assert paid(market.quotes(3, 1_000.0, 1_001.0)) == [(D(5), D(1_001))]


async def test_post_only_order_that_would_take_on_arrival_is_canceled() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    (refused,) = await market.send(0, BUY, "1", limit="1000", post_only=True)
    assert isinstance(refused, Rejected)
    (accepted,) = await market.send(0, BUY, "1", limit="999.5", post_only=True)
    assert isinstance(accepted, Accepted)
    market.quotes(0.1, 998.0, 999.0)
    (gone,) = market.due(1)
    assert isinstance(gone, Canceled)
    assert market.held == 0


async def test_order_that_arrived_before_its_cancel_is_filled() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    await market.send(0, BUY, "1")
    ref = OrderRef(1, Purpose.ENTRY)
    assert paid(await cancelled(market.venue, ref, T0 + SECOND)) == [(D(1), D(1_000))]
    await market.send(2, BUY, "1", n=2)
    (gone,) = await cancelled(market.venue, OrderRef(2, Purpose.ENTRY), T0 + 2 * SECOND + 100)
    assert isinstance(gone, Canceled)


@pytest.mark.requirement("D07")
@pytest.mark.parametrize(
    ("bid", "ask", "offers"),
    [
        (math.nan, 1_000.0, 1.0),
        (999.0, math.nan, 1.0),
        (0.0, 1_000.0, 1.0),
        (-5.0, 1_000.0, 1.0),
        (999.0, math.inf, 1.0),
        (1_001.0, 1_000.0, 1.0),
        (999e9, 1_000e9, 1.0),
        (999e-9, 1_000e-9, 1.0),
        (99.0, 1_000.0, 1.0),
        (999.0, 1_000.0, math.nan),
        (999.0, 1_000.0, 0.0),
        (999.0, 1_000.0, -1.0),
    ],
)
async def test_absurd_quote_is_ignored(bid: float, ask: float, offers: float) -> None:
    market = LiveMarket()
    market.marks(0, 1_000.0)
    await market.send(0, BUY, "1")
    assert market.quotes(1, bid, ask, offers=offers) == []
    assert paid(market.quotes(2, 1_001.0, 1_002.0)) == [(D(1), D(1_002))]


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, -1.0, 1e12, 1e-6])
@pytest.mark.parametrize("by_last", [False, True])
async def test_absurd_mark_price_triggers_nothing(price: float, *, by_last: bool) -> None:
    market = await live_position()
    await market.send(1, SELL, "2", STOP, trigger="950")
    assert market.marks(2, 1_000.0 if by_last else price, price if by_last else 1_000.0) == []
    assert market.marks(3, 1_000.0) == []
    assert market.held == 2


async def test_older_quote_is_ignored_and_a_future_stamp_does_no_harm() -> None:
    market = LiveMarket()
    market.quotes(5, 999.0, 1_000.0)
    await market.send(5, BUY, "1")
    older = OrderBook(ETH, T0 + 4 * SECOND, 899.0, 900.0, None, None, 9, 9)
    assert list(market.venue.on_books([older], T0 + 5 * SECOND)) == []
    assert paid(market.due(6)) == [(D(1), D(1_000))]
    future = OrderBook(ETH, T0 + 999 * MINUTE, 1_004.0, 1_005.0, None, None, 9, 9)
    assert list(market.venue.on_books([future], T0 + 6 * SECOND)) == []
    await market.send(6, BUY, "1", n=2)
    market.quotes(6.1, 1_009.0, 1_010.0)
    assert paid(market.due(7)) == [(D(1), D(1_010))]


async def test_filters_of_the_exchange_replace_the_built_in_ones() -> None:
    market = LiveMarket()
    market.quotes(0, 999.0, 1_000.0)
    built_in = market.venue.instrument(ETH, 1_000.0)
    reported = Instrument(ETH, Product.UM, D("0.5"), D(1), D(1), D(100))
    market.venue.set_instruments([reported])
    market.restart()
    market.marks(1, 0.0123)
    now = market.venue.instrument(ETH, 1_000.0)
    assert (now.tick, now.step, now.min_notional, now.brackets) == (D("0.5"), D(1), D(100), built_in.brackets)
    (refused,) = await market.send(1, BUY, "1.5")
    assert isinstance(refused, Rejected)
    with pytest.raises(ValueError, match="ETHUSDT are those of spot, expected um"):
        market.venue.set_instruments([Instrument(ETH, Product.SPOT, D(1), D(1), D(1), D(1))])


async def test_everything_that_the_venue_says_is_a_report() -> None:
    venue: SimulatedVenue = PaperVenue(Product.UM, D(10_000), 5 * MINUTE)
    reading = asyncio.ensure_future(anext(aiter(venue.reports())))
    await venue.submit(cleared_order(BUY, "1", n=1, now=T0), T0)
    assert await reading == Accepted(OrderRef(1, Purpose.ENTRY), "paper-1")
    for n in (2, 3):
        await venue.submit(cleared_order(BUY, "1", n=n, now=T0), T0)
    await venue.cancel(OrderRef(2, Purpose.ENTRY), T0)
    assert [type(each) for each in venue.collect()] == [Accepted, Accepted, Canceled]
    assert venue.collect() == []


@pytest.mark.parametrize("more", [{}, {"limit": "1000"}])
async def test_simulated_market_has_nothing_due(more: dict[str, Any]) -> None:
    simulated = PaperVenue(Product.UM, D(10_000), 5 * MINUTE)
    await submitted(simulated, cleared_order(BUY, "1", now=T0, **more), T0)
    assert simulated.next_due > T0 + 365 * 24 * 60 * MINUTE
    assert list(simulated.due(T0 + MINUTE)) == list(simulated.on_marks([Mark(ETH, T0, 1.0)], T0)) == []
