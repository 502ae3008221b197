"""Isolated margin on paper: the loss of a position is bounded, and stops may come before its liquidation."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.matching.on_candles import FillTerms
from ocw_mcp.domain.market import Candle, Funding, Opening
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    OrderRef,
    OutsideCause,
    OutsideFill,
    Purpose,
    Side,
    VenueReport,
)
from ocw_mcp.domain.time import MINUTE
from tests.adapters.venues.papers import (
    BUY,
    ETH,
    SELL,
    T0,
    answered,
    cleared_order,
    fill_of,
    holding,
    opens,
    rest,
    send,
    trades,
    venue_with,
)
from tests.support.examples import examples

D = Decimal
STOP = OrderRef(1, Purpose.STOP)
ENTRY = OrderRef(1, Purpose.ENTRY)


def liquidation(venue: PaperVenue) -> Decimal:
    return venue.account.liquidations[ETH].price


def gone(reports: list[VenueReport]) -> OutsideFill:
    """Return the liquidation among reports."""
    (found,) = (each for each in reports if isinstance(each, OutsideFill))
    return found


@pytest.mark.parametrize(("side", "at"), [(BUY, "904.07"), (SELL, "1095.07")])
async def test_liquidation_costs_the_margin(side: Side, at: str) -> None:
    venue = await holding(side, "20", leverage=10)
    price, paid = liquidation(venue), venue.account.ledger.positions[ETH].average_price
    # 1.1 or 0.9 of the entry less the margin, with 0.4 % maintenance.
    assert price == pytest.approx(paid * (1 - side.sign * D("0.1")) / (1 - side.sign * D("0.004")))
    assert round(price, 2) == D(at)
    before = venue.account.ledger.wallet
    near = float(at) + 0.02 * side.sign
    assert trades(venue, min(near, 1_000.0), max(near, 1_000.0), 1_000.0) == []
    far = float(at) - 0.02 * side.sign
    fill = gone(trades(venue, min(far, 1_000.0), max(far, 1_000.0), 1_000.0, 1))
    assert (fill.side, fill.quantity, fill.fee, fill.cause) == (
        side.opposite,
        D(20),
        D(0),
        OutsideCause.LIQUIDATION,
    )
    margin = 20 * paid / 10
    assert margin - 20 * D("0.01") < before - venue.account.ledger.wallet <= margin
    assert venue.account.ledger.positions == {}
    assert venue.account.liquidations == {}


@pytest.mark.parametrize(("trigger", "liquidated"), [("905", False), ("904", True)])
async def test_nearer_of_stop_and_liquidation_price_is_executed(trigger: str, liquidated: bool) -> None:
    venue = await holding(BUY, "20", leverage=10)
    await rest(venue, SELL, "20", Purpose.STOP, trigger)
    reports = trades(venue, 890.0, 1_000.0, 950.0)
    if liquidated:
        taken_over, canceled = reports
        assert isinstance(taken_over, OutsideFill)
        assert canceled == Canceled(STOP, "expired: the position is gone", D(0))
    else:
        assert fill_of(reports).ref == STOP
    assert venue.orders == []


async def test_opening_beyond_stop_and_liquidation_liquidates() -> None:
    venue = await holding(BUY, "20", leverage=10)
    stop = await rest(venue, SELL, "20", Purpose.STOP, "950")
    exit_ = cleared_order(SELL, "20", Purpose.EXIT, now=T0 + MINUTE)
    await send(venue, exit_)
    reports = opens(venue, 900.0, 1)
    assert isinstance(reports[0], OutsideFill)
    assert {each.ref for each in reports[1:] if isinstance(each, Canceled)} == {stop, exit_.order.ref}
    assert venue.orders == []


async def test_liquidation_comes_before_the_target_in_a_candle() -> None:
    venue = await holding(BUY, "20", leverage=10)
    await rest(venue, SELL, "20", Purpose.TARGET, "1050")
    assert isinstance(trades(venue, 900.0, 1_100.0, 1_000.0)[0], OutsideFill)


async def test_position_left_by_a_partial_stop_is_liquidated() -> None:
    venue = await holding(BUY, "20", leverage=10)
    await rest(venue, SELL, "5", Purpose.STOP, "950")
    stopped, taken_over = trades(venue, 890.0, 1_000.0, 950.0)
    assert isinstance(stopped, Filled)
    assert isinstance(taken_over, OutsideFill)
    assert (stopped.quantity, taken_over.quantity) == (D(5), D(15))


async def test_stop_sent_during_a_candle_fills_before_liquidation() -> None:
    venue = await holding(BUY, "20", leverage=10)
    await rest(venue, SELL, "20", Purpose.STOP, "950", at=T0 + 30_000)
    fill = fill_of(trades(venue, 890.0, 1_000.0, 960.0))
    assert fill.price == D("949.52")


@pytest.mark.parametrize(("trigger", "stopped"), [("975", True), ("965", False)])
async def test_nearer_of_stop_and_liquidation_is_executed_after_an_entry(trigger: str, stopped: bool) -> None:
    venue = venue_with()
    opens(venue, 1_000.0)
    await send(venue, cleared_order(BUY, "20", limit="990", leverage=50))
    stop = cleared_order(SELL, "20", Purpose.STOP, trigger=trigger, now=T0 + MINUTE)
    entered, accepted, *reports = await answered(venue, 940.0, 1_000.0, 980.0, stop)
    assert isinstance(entered, Filled)
    assert entered.price == 990
    assert isinstance(accepted, Accepted)
    assert isinstance(reports[0], Filled if stopped else OutsideFill)
    assert venue.account.ledger.positions == {}
    assert venue.orders == []
    assert opens(venue, 980.0, 1) == []


async def test_entry_without_a_stop_is_liquidated_in_its_candle() -> None:
    venue = venue_with()
    opens(venue, 1_000.0)
    await send(venue, cleared_order(BUY, "20", limit="990", leverage=50))
    reports = trades(venue, 940.0, 1_000.0, 980.0)
    assert fill_of(reports).price == 990
    assert gone(reports).quantity == 20


async def test_funding_paid_moves_the_liquidation_price_nearer() -> None:
    venue = await holding(BUY, "20", leverage=10)
    before = liquidation(venue)
    venue.settle_funding(T0 + MINUTE, [Funding(ETH, T0 + MINUTE, 0.05, 8)])
    assert liquidation(venue) == pytest.approx(before + D(50), rel=D("0.001"))
    assert gone(trades(venue, 950.0, 1_000.0, 990.0)).price > D(940)


async def test_long_without_leverage_is_never_liquidated() -> None:
    venue = await holding(BUY, "5", leverage=1)
    assert trades(venue, 0.01, 1_000.0, 0.02) == []
    assert venue.account.ledger.quantity(ETH) == 5


async def test_closing_in_a_thin_market_costs_at_most_the_margin() -> None:
    venue = await holding(BUY, "20", leverage=20)
    margin = venue.account.ledger.positions[ETH].margin
    await rest(venue, SELL, "20", Purpose.STOP, "970")
    before = venue.account.ledger.wallet
    fill = fill_of(trades(venue, 969.0, 1_000.0, 980.0, volume=0.0))
    assert margin - D("0.2") <= before - venue.account.ledger.wallet - fill.fee <= margin


async def test_fills_of_two_liquidations_have_different_ids() -> None:
    venue = await holding(BUY, "20", leverage=10)
    first = gone(opens(venue, 890.0, 1))
    await send(venue, cleared_order(BUY, "20", n=2, leverage=10))
    opens(venue, 890.0, 2)
    assert gone(opens(venue, 700.0, 3)).fill_id != first.fill_id


def test_saved_venue_state_of_another_version_is_refused() -> None:
    state = msgspec.msgpack.decode(venue_with().state())
    for other in ({"format": 1}, {"format": None}):
        with pytest.raises(ValueError, match="format"):
            venue_with().restore(msgspec.msgpack.encode(state | other))


ORDERS = st.tuples(
    st.sampled_from(["market", "limit", "exit", "stop", "target"]),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 400),
    st.integers(-80, 80),
)
MINUTES = st.tuples(
    st.lists(ORDERS, max_size=3), st.floats(-0.15, 0.15), st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 500)
)


@examples(15, slow=50)
@given(st.lists(MINUTES, min_size=1, max_size=10), st.integers(1, 150), st.floats(-0.02, 0.02))
async def test_losses_never_exceed_fees_and_margin(
    minutes: list[tuple[list[tuple[str, Side, int, int]], float, float, float, float]], leverage: int, rate: float
) -> None:
    venue = PaperVenue(venue_with().product, D(10_000), 5 * MINUTE, FillTerms(D("0.0005"), D("0.0001"), D("0.0001")))
    ledger, last = venue.account.ledger, 1_000.0
    opens(venue, last)
    for number, (orders, jump, down, up, volume) in enumerate(minutes, 1):
        at = T0 + number * MINUTE
        before, margins, fees, funding = ledger.wallet, _margins(venue), ledger.fees, ledger.funding
        reports: list[VenueReport] = []
        for place, (kind, side, size, away) in enumerate(orders):
            price = last * (1 + away / 1_000)
            reports += await _sent(venue, kind, side, D(size) / 10, leverage, price, at, place)
        first = round(max(last * (1 + jump), 1.0), 2)
        low, high = round(first * (1 - down), 2), round(first * (1 + up), 2)
        reports += venue.on_opening(Opening(ETH, at, first), at)
        last = round((low + high) / 2, 2)
        reports += venue.on_candle(Candle(ETH, at, MINUTE, first, high, low, last, volume), at + MINUTE)
        venue.settle_funding(at + MINUTE, [Funding(ETH, at + MINUTE, rate, 8)])
        # No more can go than was isolated before, or for what was entered since.
        entries = [each for each in reports if isinstance(each, Filled) and each.ref.leg is Purpose.ENTRY]
        spent = sum((each.quantity * each.price / leverage for each in entries), D("1e-9"))
        assert ledger.wallet - before >= -margins - spent - (ledger.fees - fees) + (ledger.funding - funding)
        assert ledger.free() >= -ledger.fees - D("1e-9")
        if any(isinstance(each, OutsideFill) for each in reports) and not ledger.positions:
            assert ledger.wallet >= -ledger.fees - D("1e-9")
        twin = venue_with(wallet=1)
        twin.restore(venue.state())
        assert twin.account.liquidations == venue.account.liquidations


def _margins(venue: PaperVenue) -> Decimal:
    return sum((max(each.margin, D(0)) for each in venue.account.ledger.positions.values()), D(0))


async def _sent(
    venue: PaperVenue, kind: str, side: Side, quantity: Decimal, leverage: int, price: float, at: int, place: int
) -> list[VenueReport]:
    """Return an order that fits the position, an entry with it or a reduction against it; else None."""
    held = venue.account.ledger.quantity(ETH)
    if kind in ("market", "limit"):
        # The stand-in for the desk believes the price to be 1,000.
        if held * side.sign < 0 or (kind == "limit" and not 850 < price < 1_150):
            return []
        limit = f"{price:.2f}" if kind == "limit" else None
        n = at // MINUTE * 10 + place
        return await send(venue, cleared_order(side, str(quantity), n=n, limit=limit, now=at, leverage=leverage))
    if not held:
        return []
    purpose = {"exit": Purpose.EXIT, "stop": Purpose.STOP, "target": Purpose.TARGET}[kind]
    trigger = None if kind == "exit" else f"{price:.2f}"
    closing = SELL if held > 0 else BUY
    revision = at // MINUTE % 1_000 * 10 + place
    return await send(venue, cleared_order(closing, str(quantity), purpose, revision=revision, trigger=trigger, now=at))
