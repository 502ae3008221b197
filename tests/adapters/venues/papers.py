"""Paper venues, cleared orders and candles for tests."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Candle, Instrument, Opening, Product
from ocw_mcp.domain.orders import (
    Accepted,
    Filled,
    Order,
    OrderIntent,
    OrderRef,
    OrderType,
    Purpose,
    Side,
    TriggerBy,
    VenueReport,
)
from ocw_mcp.domain.protocols import Venue
from ocw_mcp.domain.time import MINUTE
from tests.support.accounts import CALM
from tests.support.runs import policies

D = Decimal
T0 = 1_767_225_600_000
ETH = "ETHUSDT"
BUY, SELL = Side.BUY, Side.SELL
COSTS = FillTerms(taker_fee=D("0.001"), half_spread=D("0.0001"), slippage=D("0.0004"), latency_ms=0)
OFFICER = RiskOfficer(
    policies(
        order={"max_notional": 10**9, "price_allowance": 0},
        position={"max_share": 1},
        exposure={"max_gross": 20},
        stop={"max_distance": "0.5"},
    )
)
FINE = D("0.0000001")
TYPES = {Purpose.STOP: OrderType.STOP_MARKET, Purpose.TARGET: OrderType.TAKE_PROFIT_MARKET}


def cleared_order(
    side: Side,
    quantity: str,
    purpose: Purpose = Purpose.ENTRY,
    *,
    n: int = 1,
    revision: int = 0,
    trigger: str | None = None,
    now: int = T0,
    symbol: str = ETH,
    product: Product = Product.UM,
    limit: str | None = None,
    post_only: bool = False,
    leverage: int = 1,
    take_at: str | None = None,
    immediate: bool = False,
    trigger_by: TriggerBy | None = None,
    close_position: bool = False,
) -> ClearedOrder:
    """Return an order cleared by the risk officer on an account that lets it pass: the venue must check for itself.

    Leverage, take-profit price and immediate-or-cancel are set after the check, and a market entry loses the officer's
    limit unless it is immediate.
    """
    price, size = D(1_000), D(quantity)
    account = msgspec.structs.replace(
        CALM,
        product=product,
        instrument=Instrument(symbol, product, FINE, FINE, FINE, D(0)),
        equity=D(10**9),
        day_opening=D(10**9),
        free_margin=D(10**9),
        quantity=D(0) if purpose is Purpose.ENTRY else -side.sign * size,
    )
    intent = OrderIntent(
        idempotency_key="k",
        principal="test",
        symbol=symbol,
        side=side,
        type=OrderType.LIMIT if limit else TYPES.get(purpose, OrderType.MARKET),
        purpose=purpose,
        quantity=size,
        trigger_price=None if trigger is None else D(trigger),
        protect_at=(D(limit) if limit else price) * (1 - side.sign * D("0.2")),
        limit_price=None if limit is None else D(limit),
        post_only=post_only,
        close_position=close_position,
    )
    ask = OFFICER.clear_reduction if purpose.reduces else OFFICER.check_entry
    answer = ask(intent, account, OrderRef(n, purpose, revision), now)
    assert isinstance(answer, ClearedOrder), str(answer)
    order = msgspec.structs.replace(
        answer.order,
        type=intent.type,
        limit_price=intent.limit_price,
        immediate=immediate,
        leverage=leverage,
        take_at=None if take_at is None else D(take_at),
        trigger_by=trigger_by,
    )
    return answer if order == answer.order else AlteredOrder(answer, order)


class AlteredOrder(ClearedOrder):
    """A cleared order whose terms were changed after the check."""

    def __init__(self, cleared: ClearedOrder, order: Order) -> None:
        self.version, self.cleared_at, self.expires_at = cleared.version, cleared.cleared_at, cleared.expires_at
        self._cleared, self._altered = cleared, order

    @property
    def order(self) -> Order:
        return self._altered

    def redeem(self, now: int) -> Order:
        self._cleared.redeem(now)
        return self._altered


async def said(venue: Venue) -> list[VenueReport]:
    """Return what a venue has to say by now, as its reports yield it."""
    found, reports = list[VenueReport](), aiter(venue.reports())
    while True:
        reading = asyncio.ensure_future(anext(reports))
        await asyncio.wait({reading}, timeout=0)
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
            return found
        found.append(reading.result())


async def submitted(venue: Venue, cleared: ClearedOrder, now: int) -> list[VenueReport]:
    """Submit an order at `now` (ms), and return what the venue says at once."""
    await said(venue)
    await venue.submit(cleared, now)
    return await said(venue)


async def cancelled(venue: Venue, ref: OrderRef, now: int) -> list[VenueReport]:
    """Ask for a cancel at `now` (ms), and return what the venue says at once."""
    await said(venue)
    await venue.cancel(ref, now)
    return await said(venue)


async def send(venue: PaperVenue, cleared: ClearedOrder) -> list[VenueReport]:
    """Submit an order at the time of its clearing."""
    return await submitted(venue, cleared, cleared.cleared_at)


def venue_with(wallet: int = 10_000, product: Product = Product.UM, patience_ms: int = 5 * MINUTE) -> PaperVenue:
    return PaperVenue(product, D(wallet), patience_ms, COSTS)


def opens(venue: PaperVenue, price: float, minute: int = 0, symbol: str = ETH) -> list[VenueReport]:
    at = T0 + minute * MINUTE
    return list(venue.on_opening(Opening(symbol, at, price), at))


def trades(
    venue: PaperVenue, low: float, high: float, close: float, minute: int = 0, volume: float = 1e6
) -> list[VenueReport]:
    """Close the candle that opened at `minute`, without sending an order; return the reports.

    Its open is the last price, moved into the candle's range.
    """
    return list(venue.on_candle(_candle(venue, low, high, close, minute, volume), T0 + (minute + 1) * MINUTE))


async def answered(
    venue: PaperVenue, low: float, high: float, close: float, *answers: ClearedOrder, minute: int = 0
) -> list[VenueReport]:
    """Close a candle and send the next of these orders after each fill, within the candle; return all reports."""
    reports: list[VenueReport] = []
    coming = iter(answers)
    for report in venue.on_candle(_candle(venue, low, high, close, minute, 1e6), T0 + (minute + 1) * MINUTE):
        reports.append(report)
        if isinstance(report, Filled) and (answer := next(coming, None)) is not None:
            reports += await send(venue, answer)
    return reports


def _candle(venue: PaperVenue, low: float, high: float, close: float, minute: int, volume: float) -> Candle:
    first = min(max(venue.account.last.get(ETH, close), low), high)
    return Candle(ETH, T0 + minute * MINUTE, MINUTE, first, high, low, close, volume)


def fill_of(reports: Sequence[VenueReport]) -> Filled:
    fills = [report for report in reports if isinstance(report, Filled)]
    assert len(fills) == 1, reports
    return fills[0]


async def holding(
    side: Side, quantity: str, price: float = 1_000.0, wallet: int = 10_000, leverage: int = 2
) -> PaperVenue:
    """Return a venue with a position, opened at T0."""
    venue = venue_with(wallet)
    await submitted(venue, cleared_order(side, quantity, leverage=leverage), T0)
    assert fill_of(opens(venue, price)).quantity == D(quantity)
    return venue


async def rest(venue: PaperVenue, side: Side, quantity: str, purpose: Purpose, trigger: str, at: int = T0) -> OrderRef:
    """Place a stop or a target; return its reference."""
    cleared = cleared_order(side, quantity, purpose, trigger=trigger, now=at)
    assert isinstance((await submitted(venue, cleared, at))[0], Accepted)
    return cleared.order.ref
