"""Immediate-or-cancel orders on paper: filled at one opening as far as the limit allows; the rest is cancelled."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.domain.market import Candle, Opening, OrderBook, Product
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, OrderRef, Purpose, Rejected, Side, VenueReport
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import BUY, ETH, SELL, T0, cleared_order, fill_of, opens, send, trades, venue_with

D = Decimal
ENTRY = OrderRef(1, Purpose.ENTRY)


async def sent(venue: PaperVenue, side: Side, quantity: str, limit: str, product: Product = Product.UM) -> None:
    """Send an immediate order after a minute with a volume of 100."""
    opens(venue, 1_000.0)
    trades(venue, 1_000.0, 1_000.0, 1_000.0, 0, 100.0)
    order = cleared_order(side, quantity, limit=limit, product=product, now=T0 + MINUTE, immediate=True, leverage=5)
    (answer,) = await send(venue, order)
    assert isinstance(answer, Accepted)


@pytest.mark.parametrize(("side", "limit", "paid"), [(BUY, "1002", "1000.5"), (SELL, "998", "999.5")])
async def test_ioc_order_fills_as_taker_at_the_modelled_price(side: Side, limit: str, paid: str) -> None:
    venue = venue_with()
    await sent(venue, side, "2", limit)
    fill = fill_of(opens(venue, 1_000.0, 1))
    assert (fill.price, fill.quantity, fill.maker) == (D(paid), D(2), False)
    assert fill.fee == 2 * D(paid) * venue.terms.taker_fee
    assert venue.orders == []


@pytest.mark.parametrize(
    ("side", "limit", "opening"), [(BUY, "1002", 1_002.0), (BUY, "1002", 1_080.0), (SELL, "998", 997.0)]
)
async def test_ioc_order_is_cancelled_if_price_is_beyond_its_limit(side: Side, limit: str, opening: float) -> None:
    venue = venue_with()
    await sent(venue, side, "2", limit)
    (gone,) = opens(venue, opening, 1)
    assert isinstance(gone, Canceled)
    assert gone.ref == ENTRY
    assert limit in gone.why
    assert venue.orders == []
    assert venue.account.ledger.positions == {}
    assert trades(venue, 500.0, 1_500.0, 1_000.0, 1) == []


@pytest.mark.parametrize(
    ("product", "side", "limit", "paid"),
    [(Product.UM, BUY, "1001", "1001"), (Product.UM, SELL, "999", "999"), (Product.SPOT, BUY, "1001", "1001")],
)
async def test_ioc_order_fills_in_part_up_to_its_limit_price(
    product: Product, side: Side, limit: str, paid: str
) -> None:
    venue = venue_with(wallet=10**6, product=product)
    await sent(venue, side, "100", limit, product)
    filled, gone = opens(venue, 1_000.0, 1)
    assert isinstance(filled, Filled)
    # 0.01 % of spread and 0.04 % x sqrt(quantity / 10) of impact come to 0.1 % at 50.625.
    assert (filled.quantity, filled.price) == (D("50.625"), D(paid))
    assert isinstance(gone, Canceled)
    assert "49.375" in gone.why
    assert venue.orders == []
    kept = filled.quantity * D("0.001") if product is Product.SPOT else 0
    assert filled.base_fee == kept
    assert abs(venue.account.ledger.quantity(ETH)) == filled.quantity - kept


@pytest.mark.parametrize("product", Product)
async def test_ioc_order_fills_the_same_after_a_restart(product: Product) -> None:
    venue = venue_with(wallet=10**6, product=product)
    await sent(venue, BUY, "100", "1001", product)
    again = venue_with(wallet=1, product=product)
    again.restore(venue.state())
    assert opens(again, 1_000.0, 1) == opens(venue, 1_000.0, 1) != []
    assert again.state() == venue.state()


@pytest.mark.parametrize(
    ("product", "reason"),
    [(Product.UM, RejectReason.INSUFFICIENT_MARGIN), (Product.SPOT, RejectReason.INSUFFICIENT_BALANCE)],
)
async def test_ioc_order_locks_the_money_for_its_limit_price(product: Product, reason: RejectReason) -> None:
    venue = venue_with(product=product)
    opens(venue, 1_000.0)
    (answer,) = await send(venue, cleared_order(BUY, "10", limit="1001", product=product, immediate=True))
    assert isinstance(answer, Rejected)
    assert answer.reason is reason
    (answer,) = await send(venue, cleared_order(BUY, "6", n=2, limit="1001", product=product, immediate=True))
    assert isinstance(answer, Accepted)
    (answer,) = await send(venue, cleared_order(BUY, "5", n=3, limit="1001", product=product, immediate=True))
    assert isinstance(answer, Rejected)


async def test_ioc_order_expires_if_no_candle_opens() -> None:
    venue = venue_with()
    await sent(venue, BUY, "2", "1002")
    (gone,) = opens(venue, 1_000.0, 7)
    assert gone == Canceled(ENTRY, "expired: no price came while it waited", D(0))


async def test_ioc_order_cannot_be_post_only() -> None:
    venue = venue_with()
    (answer,) = await send(venue, cleared_order(BUY, "2", limit="1002", post_only=True, immediate=True))
    assert isinstance(answer, Rejected)
    assert answer.reason is RejectReason.MALFORMED


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([BUY, SELL]),
    st.integers(1, 40_000),
    st.integers(0, 400),
    st.integers(0, 60),
    st.integers(0, 2_000),
    st.sampled_from([0, 250]),
    st.sampled_from([None, 20, 200]),
)
async def test_ioc_order_fills_the_most_that_its_limit_price_allows(
    side: Side, thousandths: int, volume: int, span: int, away: int, latency_ms: int, spread: int | None
) -> None:
    terms = FillTerms(D("0.0005"), D("0.0001"), D("0.0004"), latency_ms=latency_ms)
    venue = PaperVenue(Product.UM, D(10**7), 5 * MINUTE, terms)
    low, high = 1_000.0 - span / 10, 1_000.0 + span / 10
    venue.on_opening(Opening(ETH, T0, 1_000.0), T0)
    list(venue.on_candle(Candle(ETH, T0, MINUTE, 1_000.0, high, low, 1_000.0, float(volume)), T0 + MINUTE))
    if spread is not None:
        half = spread / 200
        venue.on_books([OrderBook(ETH, T0 + MINUTE, 1_000.0 - half, 1_000.0 + half)])
    limit = D(1_000) + side.sign * D(away) / 100
    quantity = D(thousandths) / 1_000
    if quantity * limit < 20:
        quantity = D("0.1")
    await send(venue, cleared_order(side, str(quantity), limit=str(limit), now=T0 + MINUTE, immediate=True))
    reports: list[VenueReport] = list(venue.on_opening(Opening(ETH, T0 + MINUTE, 1_000.0), T0 + MINUTE))

    # The model by itself: half the spread, the expected move, and 0.04 % × √(tenths of the volume).
    move = math.log(high / low) * 0.4791785 * math.sqrt(latency_ms / MINUTE)
    share = math.floor(volume / 10 * 1_000 + 1e-9) / 1_000

    def costs(amount: float) -> float:
        half_spread = 0.0001 if spread is None else spread / 200 / 1_000
        return half_spread + move + 0.0004 * math.sqrt(max(1.0, amount / max(share, 0.001)))

    allowed = away / 100 / 1_000
    filled = sum((each.quantity for each in reports if isinstance(each, Filled)), D(0))
    if filled:
        fill = fill_of(reports)
        paid = float(abs(fill.price - 1_000)) / 1_000
        assert costs(float(filled)) - 1e-9 <= paid <= costs(float(filled)) + 0.01001 / 1_000
        assert costs(float(filled)) <= allowed + 1e-9
    if filled < quantity:
        assert costs(float(filled) + 0.001) > allowed - 1e-9
        assert isinstance(reports[-1], Canceled)
    assert venue.orders == []
    assert len(reports) == (filled > 0) + (filled < quantity)
