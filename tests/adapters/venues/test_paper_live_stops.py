"""Stops, targets and liquidation of the paper venue on a live market, also for the time in which it saw no prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.market import Candle, Opening, Product
from ocw_mcp.domain.orders import Canceled, Filled, OutsideFill, Purpose, Rejected, Side, TriggerBy
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.adapters.venues.live import TERMS, LiveMarket, fills, live_position, paid
from tests.adapters.venues.papers import ETH, T0, cleared_order, submitted
from tests.support.examples import examples

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
STOP, TARGET, EXIT = Purpose.STOP, Purpose.TARGET, Purpose.EXIT


@pytest.mark.parametrize(
    ("side", "trigger", "near", "far"), [(BUY, "950", 951.0, 949.0), (SELL, "1050", 1049.0, 1051.0)]
)
async def test_futures_stop_triggers_on_the_mark_price(side: Side, trigger: str, near: float, far: float) -> None:
    market = await live_position(side)
    await market.send(1, side.opposite, "2", STOP, trigger=trigger)
    market.quotes(2, far - 0.5, far + 0.5)
    assert market.marks(2, near, last=far) == []
    market.quotes(3, near - 0.5, near + 0.5)
    assert paid(market.marks(3, far, last=near)) == [(D(2), D(near - 0.5 if side is BUY else near + 0.5))]


async def test_stop_by_the_last_price_does_not_see_the_mark_price() -> None:
    market = await live_position()
    await market.send(1, SELL, "2", STOP, trigger="950", trigger_by=TriggerBy.LAST)
    market.quotes(2, 951.0, 952.0)
    assert market.marks(2, 940.0, last=951.0) == []
    assert paid(market.marks(3, 960.0, last=950.0)) == [(D(2), D(951))]


async def test_spot_stop_triggers_on_the_last_price_or_else_the_bid() -> None:
    market = await live_position(product=Product.SPOT)
    for n, trigger in ((1, "950"), (2, "900")):
        await market.send(1, SELL, "0.5", STOP, n=n, trigger=trigger)
    assert market.quotes(2, 940.0, 960.0) == []
    assert paid(market.marks(3, 950.0)) == [(D("0.5"), D(940))]
    assert paid(market.quotes(60, 899.0, 901.0)) == [(D("0.5"), D(899))]


async def test_stop_fills_before_a_target_at_one_mark_price() -> None:
    market = await live_position()
    await market.send(1, SELL, "2", TARGET, n=1, trigger="1050", trigger_by=TriggerBy.LAST)
    await market.send(1, SELL, "2", STOP, n=2, trigger="950")
    market.quotes(2, 999.0, 1_000.0)
    reports = market.marks(2, 940.0, last=1_060.0)
    assert [fill.ref.leg for fill in fills(reports)] == [STOP]
    assert isinstance(reports[-1], Canceled)


async def test_stop_without_a_recent_quote_fills_worse_than_the_mark_price() -> None:
    market = await live_position()
    await market.send(1, SELL, "2", STOP, trigger="950")
    market.marks(30, 980.0)
    ((quantity, price),) = paid(market.marks(31, 945.0))
    assert quantity == 2
    assert D(943) < price < 945


async def test_stop_in_a_thin_market_fills_in_two_parts() -> None:
    market = await live_position()
    await market.send(1, SELL, "2", STOP, trigger="950")
    market.quotes(2, 948.0, 949.0, bids=0.5)
    assert paid(market.marks(2, 949.0)) == [(D("0.5"), D(948)), (D("1.5"), D(945))]
    assert market.held == 0


async def test_stop_is_refused_if_the_mark_price_is_past_its_trigger() -> None:
    market = await live_position()
    market.quotes(2, 999.0, 1_000.0)
    market.marks(2, 940.0, last=1_000.0)
    (refused,) = await market.send(2, SELL, "2", STOP, trigger="950")
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.WOULD_TRIGGER_IMMEDIATELY


async def test_stop_passed_while_it_was_in_transit_fills_on_arrival() -> None:
    market = await live_position()
    market.quotes(2, 999.0, 1_000.0)
    await market.send(2, SELL, "2", STOP, trigger="950")
    assert market.marks(2.1, 949.0) == []
    (fill,) = fills(market.due(3))
    assert (fill.price, fill.traded_at) == (D(999), T0 + 2_250)


async def test_liquidation_is_by_the_mark_price_alone() -> None:
    market = await live_position(quantity="20", leverage=10)
    await market.send(1, SELL, "20", STOP, trigger="850")
    assert market.marks(2, 950.0, last=880.0) == []
    reports = market.marks(3, 840.0, last=950.0)
    assert [type(each) for each in reports] == [OutsideFill, Canceled]
    assert market.held == 0


async def test_spot_oco_takes_profit_at_its_price_up_to_the_bids() -> None:
    market = await live_position(product=Product.SPOT)
    await market.send(1, SELL, "1.5", STOP, trigger="950", take_at="1050")
    market.due(2)
    (fill,) = fills(market.quotes(3, 1_051.0, 1_052.0, bids=1))
    assert (fill.quantity, fill.price, fill.maker) == (D(1), D(1_050), True)
    assert paid(market.marks(4, 949.0)) == [(D("0.5"), D(1_050))]


async def outage(trigger: str = "950", side: Side = BUY) -> LiveMarket:
    """Return a market with a stop whose process was down from second 20 on, and is up again."""
    market = await live_position(side)
    await market.send(1, side.opposite, "2", STOP, trigger=trigger)
    for second in range(2, 21):
        market.marks(second, 1_000.0)
    market.restart()
    return market


async def test_stop_passed_during_an_outage_fills_at_its_trigger_or_worse() -> None:
    market = await outage()
    (fill,) = fills(market.closes(0, 1_000.0, 940.0, 1_010.0, 1_005.0, second=200))
    assert D(948) < fill.price <= 950
    assert fill.traded_at == T0 + MINUTE


@pytest.mark.parametrize(("side", "trigger", "first"), [(BUY, "950", 930.0), (SELL, "1050", 1_070.0)])
async def test_stop_gapped_over_during_an_outage_fills_at_the_open(side: Side, trigger: str, first: float) -> None:
    market = await outage(trigger, side)
    assert market.closes(0, 1_000.0, 990.0, 1_010.0, 1_000.0, second=200) == []
    (fill,) = fills(market.closes(1, first, first - 5, first + 5, first, second=200))
    assert abs(fill.price - D(first)) < 2
    assert fill.price < first if side is BUY else fill.price > first


async def test_outage_within_a_candle_is_matched_when_the_candle_closes() -> None:
    market = await outage()
    market.quotes(40, 999.5, 1_000.5)
    for second in range(40, 61):
        assert market.marks(second, 1_000.0) == []
    assert paid(market.closes(0, 1_000.0, 945.0, 1_000.0, 1_000.0)) != []
    assert market.venue.account.last[ETH] == 1_000.0


@pytest.mark.parametrize(("seen", "sent", "minute"), [(20, 23, 0), (59, 62, 1)])
async def test_stop_sent_just_before_an_outage_is_in_force_in_it(seen: int, sent: int, minute: int) -> None:
    market = await live_position()
    for second in range(2, seen + 1):
        market.marks(second, 1_000.0)
    await market.send(sent, SELL, "2", STOP, trigger="950")
    market.restart()
    assert len(fills(market.closes(minute, 1_000.0, 940.0, 1_000.0, 1_000.0, second=200))) == 1


async def test_gap_over_a_close_is_matched_in_both_candles() -> None:
    market = await outage()
    market.marks(70, 1_000.0)
    assert market.closes(0, 1_000.0, 990.0, 1_000.0, 1_000.0, second=71) == []
    for second in range(71, 121):
        market.marks(second, 1_000.0)
    assert len(fills(market.closes(1, 1_000.0, 940.0, 1_000.0, 1_000.0))) == 1


async def test_gap_before_a_candle_does_not_make_its_prices_unseen() -> None:
    market = await outage()
    for second in range(40, 121):
        market.marks(second, 1_000.0)
    assert market.closes(1, 1_000.0, 940.0, 1_000.0, 1_000.0) == []


async def test_low_that_was_seen_before_the_stop_was_sent_triggers_nothing() -> None:
    market = await live_position()
    market.marks(2, 1_000.0, last=940.0)
    market.marks(3, 1_000.0)
    await market.send(3, SELL, "2", STOP, trigger="950")
    market.marks(4, 1_000.0)
    market.restart()
    assert market.closes(0, 1_000.0, 940.0, 1_000.0, 1_000.0, second=90) == []
    assert market.held == 2


async def test_candle_whose_prices_were_all_seen_triggers_nothing() -> None:
    market = await live_position()
    await market.send(1, SELL, "2", STOP, trigger="950")
    for second in range(2, 61):
        market.marks(second, 1_000.0)
    # The mark price did not follow the last price, and the mark price triggers the stop.
    assert market.closes(0, 1_000.0, 940.0, 1_000.0, 1_000.0) == []
    assert market.held == 2


async def test_position_opened_after_an_outage_ignores_earlier_candles() -> None:
    market = LiveMarket()
    market.marks(0, 1_000.0)
    market.marks(190, 1_000.0)
    market.quotes(190, 999.5, 1_000.5)
    await market.send(190, BUY, "20", leverage=10)
    market.due(191)
    await market.send(191, SELL, "20", STOP, n=2, trigger="950")
    assert market.closes(1, 940.0, 800.0, 1_000.0, 990.0, second=192) == []
    assert market.held == 20
    assert market.venue.account.last[ETH] == 1_000.0


ORDERS = st.lists(
    st.tuples(st.sampled_from([STOP, TARGET, Purpose.ENTRY]), st.integers(1, 30), st.booleans()), max_size=4
)
CANDLES = st.lists(st.tuples(*[st.integers(970, 1_030)] * 4), min_size=1, max_size=3)


@examples(30, slow=150)
@given(st.sampled_from([BUY, SELL]), ORDERS, CANDLES)
async def test_candles_after_an_outage_fill_as_on_a_tape(
    side: Side, drawn: list[tuple[Purpose, int, bool]], candles: list[tuple[int, ...]]
) -> None:
    market = await live_position(side)
    tape = PaperVenue(Product.UM, D(100_000), 5 * MINUTE, TERMS)
    await submitted(tape, cleared_order(side, "2", n=900, now=T0), T0)
    tape.on_opening(Opening(ETH, T0, 1_000.0), T0)
    for number, (purpose, away, buys) in enumerate(drawn, 1):
        way = (BUY if buys else SELL) if purpose is Purpose.ENTRY else side.opposite
        price = str(1_000 + (away if (way is BUY) == (purpose is STOP) else -away))
        for venue in (market.venue, tape):
            limit, trigger = (price, None) if purpose is Purpose.ENTRY else (None, price)
            order = cleared_order(way, "1", purpose, n=number, now=T0 + SECOND, limit=limit, trigger=trigger)
            await submitted(venue, order, T0 + SECOND)
    # The newest quote was seen just before the outage, and no order takes at it.
    assert market.quotes(2, 999.99, 1_000.01, bids=None, offers=None) == []
    market.marks(58, 1_000.0)
    market.restart()
    found, expected = list[Filled](), list[Filled]()
    for minute, corners in enumerate(candles, 1):
        first, close = float(corners[0]), float(corners[1])
        candle = Candle(ETH, T0 + minute * MINUTE, MINUTE, first, float(max(corners)), float(min(corners)), close, 1e6)
        found += fills(market.venue.on_candle(candle, T0 + 10 * MINUTE))
        expected += fills(tape.on_opening(Opening(ETH, candle.open_time, first), candle.open_time))
        expected += fills(tape.on_candle(candle, candle.close_time))
    assert [(f.ref, f.quantity, f.maker, f.traded_at) for f in found] == [
        (f.ref, f.quantity, f.maker, f.traded_at) for f in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert abs(one.price - other.price) <= D("0.0002") * other.price
    assert market.held == tape.account.ledger.quantity(ETH)
