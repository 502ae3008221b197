"""An addition changes neither the best nor the worst unrealised gain of a position so far."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.orders.ledger import Ledger
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Order, Purpose, Side
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
EXITS = {"max_loss": "0.2", "take_profit": "0.3", "trail_from": "0.04", "trail_gives_back": "0.5"}
WIDE = policies(exits=EXITS, stop={"max_distance": "0.3"}, order={"max_notional": 100_000}, position={"max_share": 1})


def holding(side: Side, product: Product = Product.UM) -> Wire:
    """A position of 10 from 100.02, which was 3.48 % ahead, with 10 more from 2.9994 % behind that."""
    wire = Wire(product, WIDE)
    way = side.sign
    enter(wire, Action.BUY if way > 0 else Action.SHORT, 100.02, stop=D(100 - 10 * way))
    seen(wire, 100.02 * (1 + 0.0348 * way))
    seen(wire, 100.02 - 3 * way)
    enter(wire, Action.ADD, 100.02 - 3 * way)
    return wire


def enter(wire: Wire, action: Action, price: float, stop: Decimal | None = None) -> None:
    order = wire.enter(action, stop=stop)
    assert isinstance(order, Order), order
    wire.fill(order, price=str(round(price, 4)))


def seen(wire: Wire, price: float) -> None:
    wire.tick({BTC: round(price, 4)})


def told(wire: Wire) -> tuple[float, float]:
    (position,) = wire.engine.snapshot(wire.now).positions.values()
    assert isinstance(position.mfe, float)
    assert isinstance(position.mae, float)
    return position.mfe, position.mae


def about(best: float, worst: float) -> object:
    return pytest.approx((best, worst), abs=1e-5)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("side", Side)
def test_averaging_down_keeps_the_best_and_worst_gain(side: Side, restarts: bool) -> None:
    wire = holding(side)
    if restarts:
        wire.restart()
    seen(wire, 100.02 - 2.9 * side.sign)
    assert told(wire) == about(0.0348, -0.029994)
    assert not [each for each in wire.journal if isinstance(each, events.ExitDecided)]
    wire.fill(wire.close(), price="98")  # type: ignore[arg-type]
    (trade,) = [each for each in wire.journal if isinstance(each, events.PositionClosed)]
    assert (trade.mfe, trade.mae) == about(0.0348, -0.029994)


def test_averaging_down_on_spot_keeps_best_and_worst_gain() -> None:
    wire = holding(Side.BUY, Product.SPOT)
    seen(wire, 97.12)
    assert told(wire) == about(0.0348, -0.029994)


@pytest.mark.parametrize("side", Side)
def test_an_addition_at_the_best_price_triggers_no_trailing_exit(side: Side) -> None:
    way = side.sign
    wire = Wire(policy=WIDE)
    enter(wire, Action.BUY if way > 0 else Action.SHORT, 100, stop=D(100 - 10 * way))
    seen(wire, 100 + 10 * way)
    enter(wire, Action.ADD, 100 + 10 * way)
    seen(wire, 100 + 10 * way)
    assert told(wire) == about(0.1, 0)
    assert not [each for each in wire.journal if isinstance(each, events.ExitDecided)]
    # 100 were ahead, and 40 are.
    seen(wire, 100 + 7 * way)
    (exit_,) = [each for each in wire.journal if isinstance(each, events.ExitDecided)]
    assert exit_.rule == "trail"
    assert wire.last(Purpose.EXIT).quantity == 20


def test_the_price_range_before_an_addition_is_no_gain_or_loss() -> None:
    wire = Wire(policy=WIDE)
    enter(wire, Action.BUY, 100, stop=D(90))
    seen(wire, 100)
    added = wire.enter(Action.ADD, limit=D(96))
    wire.minute += 1
    wire.fill(added, price="96")  # type: ignore[arg-type]
    wire.minute -= 1
    wire.tick({BTC: 97.0}, highs=100.0, lows=95.0)
    assert told(wire) == about(0, 97 / 98 - 1)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(Side),
    st.lists(st.tuples(st.sampled_from(["see", "add", "reduce"]), st.integers(80, 125)), max_size=12),
)
def test_best_and_worst_gain_are_relative_to_cost_when_they_occurred(side: Side, steps: list[tuple[str, int]]) -> None:
    ledger = Ledger(D(100_000))
    ledger.book(BTC, side, D(4), D(100), D(0), 0)
    units, cost, best, worst, ahead = 4.0, 400.0, 0.0, 0.0, 0.0
    for what, price in steps:
        if what == "see":
            ledger.positions[BTC].see(price, price)
            gain = (units * price - cost) * side.sign
            best, worst, ahead = max(best, gain / cost), min(worst, gain / cost), max(ahead, gain)
        elif what == "add":
            ledger.book(BTC, side, D(3), D(price), D(0), 1)
            units, cost = units + 3, cost + 3 * price
        elif units > 1:
            ledger.book(BTC, side.opposite, D(1), D(price), D(0), 1)
            left = 1 - 1 / units
            units, cost, ahead = units - 1, cost * left, ahead * left
    position = ledger.positions[BTC]
    assert position.excursions() == pytest.approx((best, worst), abs=1e-9)
    assert position.extremes(float(position.average_price))[2] == pytest.approx(ahead / cost, abs=1e-9)
