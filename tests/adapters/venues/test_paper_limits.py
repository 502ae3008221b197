"""Limit orders on the paper venue: filled when the price goes through them, as a maker unless crossed when sent."""

from decimal import Decimal

import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import TERMS
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, OrderRef, Purpose, Rejected, Side
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    SELL,
    T0,
    answered,
    cancelled,
    cleared_order,
    fill_of,
    opens,
    rest,
    send,
    trades,
    venue_with,
)

D = Decimal
ENTRY = OrderRef(1, Purpose.ENTRY)


async def waiting(side: Side, limit: str, *, at: int = T0, post_only: bool = False) -> PaperVenue:
    """Return a venue with a last price of 1,000 and a limit order for two."""
    venue = venue_with()
    opens(venue, 1_000.0)
    (answer,) = await send(venue, cleared_order(side, "2", limit=limit, now=at, post_only=post_only))
    assert isinstance(answer, Accepted)
    return venue


@pytest.mark.parametrize(
    ("side", "limit", "touching", "through"),
    [(BUY, "990", (990.0, 1_001.0), (989.99, 1_001.0)), (SELL, "1010", (999.0, 1_010.0), (999.0, 1_010.01))],
)
async def test_limit_order_fills_at_its_price_when_the_market_passes_it(
    side: Side, limit: str, touching: tuple[float, float], through: tuple[float, float]
) -> None:
    venue = await waiting(side, limit)
    assert trades(venue, *touching, 1_000.0) == []
    assert opens(venue, float(limit), 1) == []
    fill = fill_of(trades(venue, *through, 1_000.0, 1))
    fee = 2 * D(limit) * venue.terms.maker_fee
    assert (fill.price, fill.quantity, fill.fee, fill.maker) == (D(limit), D(2), fee, True)
    assert venue.orders == []


async def test_maker_fee_is_that_of_the_exchange() -> None:
    assert (TERMS[Product.UM].maker_fee, TERMS[Product.SPOT].maker_fee) == (D("0.0002"), D("0.001"))


@pytest.mark.parametrize(("side", "limit", "opening"), [(BUY, "990", 985.0), (SELL, "1010", 1_015.0)])
async def test_opening_beyond_a_resting_limit_order_fills_it_at_its_limit(
    side: Side, limit: str, opening: float
) -> None:
    venue = await waiting(side, limit)
    trades(venue, 995.0, 1_005.0, 1_000.0)
    fill = fill_of(opens(venue, opening, 1))
    assert (fill.price, fill.maker) == (D(limit), True)


async def test_gap_beyond_a_limit_order_fills_it_at_its_limit_price() -> None:
    venue = await waiting(BUY, "990")
    trades(venue, 995.0, 1_005.0, 1_000.0)
    assert fill_of(opens(venue, 900.0, 9)).price == 990


@pytest.mark.parametrize(
    ("side", "limit", "opening", "paid"),
    [
        (BUY, "1010", 1_000.0, "1000.5"),
        (BUY, "1000.5", 1_000.0, "1000.5"),
        (SELL, "990", 1_000.0, "999.5"),
        (SELL, "999.5", 1_000.0, "999.5"),
    ],
)
async def test_crossed_limit_order_fills_as_taker_at_the_modelled_price(
    side: Side, limit: str, opening: float, paid: str
) -> None:
    venue = await waiting(side, limit)
    fill = fill_of(opens(venue, opening, 1))
    assert (fill.price, fill.maker) == (D(paid), False)
    assert fill.fee == 2 * D(paid) * venue.terms.taker_fee


@pytest.mark.parametrize(
    ("side", "limit", "on"), [(BUY, "1000.2", (999.0, 1_001.0)), (SELL, "999.8", (999.0, 1_001.0))]
)
async def test_crossed_limit_order_rests_if_taker_price_is_beyond_its_limit(
    side: Side, limit: str, on: tuple[float, float]
) -> None:
    venue = await waiting(side, limit)
    assert opens(venue, 1_000.0, 1) == []
    assert trades(venue, 1_000.0, 1_000.0, 1_000.0, 1) == []
    fill = fill_of(trades(venue, *on, 1_000.0, 2))
    assert (fill.price, fill.maker) == (D(limit), True)


async def test_crossed_limit_order_does_not_trade_before_the_next_opening() -> None:
    venue = await waiting(BUY, "1010", at=T0 + 30_000)
    assert trades(venue, 990.0, 1_001.0, 1_000.0) == []
    fill = fill_of(opens(venue, 1_000.0, 1))
    assert (fill.price, fill.maker) == (D("1000.5"), False)


async def test_limit_order_no_longer_crossed_at_the_opening_is_a_maker() -> None:
    venue = await waiting(BUY, "1001")
    assert opens(venue, 1_005.0, 1) == []
    assert fill_of(trades(venue, 1_000.0, 1_006.0, 1_005.0, 1)).maker


@pytest.mark.parametrize("product", Product)
@pytest.mark.parametrize("limit", ["1000", "1001"])
async def test_post_only_order_that_would_take_is_rejected(product: Product, limit: str) -> None:
    venue = venue_with(product=product)
    opens(venue, 1_000.0)
    (answer,) = await send(venue, cleared_order(BUY, "2", limit=limit, post_only=True, product=product))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.WOULD_TAKE
    assert venue.orders == []


async def test_post_only_buy_below_the_price_rests() -> None:
    venue = await waiting(BUY, "999.99", post_only=True)
    assert fill_of(trades(venue, 999.0, 1_000.0, 1_000.0)).maker


async def test_limit_order_sent_during_a_candle_ignores_its_earlier_low() -> None:
    venue = await waiting(BUY, "990", at=T0 + 30_000)
    assert trades(venue, 900.0, 1_000.0, 995.0) == []
    opens(venue, 995.0, 1)
    assert fill_of(trades(venue, 980.0, 995.0, 985.0, 1)).price == 990


async def test_unaffordable_limit_order_is_rejected_when_sent() -> None:
    venue = venue_with(wallet=1_000)
    (answer,) = await send(venue, cleared_order(BUY, "2.01", limit="1000"))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.INSUFFICIENT_MARGIN


async def test_limit_order_does_not_expire_and_can_be_cancelled() -> None:
    venue = await waiting(BUY, "990")
    assert opens(venue, 1_000.0, 500) == []
    assert await cancelled(venue, ENTRY, T0) == [Canceled(ENTRY, "on request", D(0))]
    assert opens(venue, 900.0, 501) == []


@pytest.mark.parametrize(("low", "hit"), [(949.0, True), (951.0, False)])
async def test_stop_placed_after_a_fill_can_trigger_in_the_same_candle(low: float, hit: bool) -> None:
    venue = await waiting(BUY, "990")
    stop = cleared_order(SELL, "2", Purpose.STOP, trigger="950", now=T0 + MINUTE)
    filled, accepted, *then = await answered(venue, low, 1_001.0, 995.0, stop)
    assert isinstance(filled, Filled)
    assert filled.price == 990
    assert isinstance(accepted, Accepted)
    if hit:
        (filled,) = then
        assert isinstance(filled, Filled)
        assert filled.price == D("949.52")
    else:
        assert then == []
        assert venue.orders == [stop.order]


@pytest.mark.parametrize(
    ("side", "limit", "crossed", "low", "high"),
    [(BUY, "990", "995", 940.0, 1_001.0), (SELL, "1010", "1005", 999.0, 1_060.0), (BUY, "990", "990", 940.0, 1_001.0)],
)
async def test_stop_that_the_price_has_passed_is_refused(
    side: Side, limit: str, crossed: str, low: float, high: float
) -> None:
    venue = await waiting(side, limit)
    stop = cleared_order(side.opposite, "2", Purpose.STOP, trigger=crossed, now=T0 + MINUTE)
    filled, refused, *then = await answered(venue, low, high, 1_000.0, stop)
    assert isinstance(filled, Filled)
    assert refused == Rejected(
        stop.order.ref, RejectReason.WOULD_TRIGGER_IMMEDIATELY, "Order would immediately trigger."
    )
    assert then == []
    assert venue.account.ledger.quantity("ETHUSDT") == 2 * side.sign


async def test_target_does_not_fill_in_the_candle_of_its_entry() -> None:
    venue = await waiting(BUY, "990")
    target = cleared_order(SELL, "2", Purpose.TARGET, trigger="1100", now=T0 + MINUTE)
    fill_of(await answered(venue, 980.0, 1_200.0, 995.0, target))
    assert opens(venue, 995.0, 1) == []
    assert venue.orders == [target.order]


@pytest.mark.parametrize("restarts", [False, True])
async def test_stop_ignores_candles_before_it_was_placed(restarts: bool) -> None:
    venue = await waiting(BUY, "990")
    fill_of(trades(venue, 940.0, 1_001.0, 995.0))
    if restarts:
        state, venue = venue.state(), venue_with(wallet=1)
        venue.restore(state)
    await rest(venue, SELL, "2", Purpose.STOP, "950", at=T0 + MINUTE)
    assert opens(venue, 996.0, 1) == []


async def test_restart_keeps_whether_a_limit_order_fills_as_taker() -> None:
    for limit, maker in (("1001", False), ("990", True)):
        venue = await waiting(BUY, limit)
        again = venue_with()
        again.restore(venue.state())
        assert opens(again, 980.0, 1) == opens(venue, 980.0, 1) != []
        assert again.state() == venue.state()
        assert again.account.ledger.fees == 2 * D(990 if maker else "980.49") * (
            venue.terms.maker_fee if maker else venue.terms.taker_fee
        )
