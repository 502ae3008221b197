"""A fall beyond the drawdown limit is journaled once in every state, and measured anew when a person resumes."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import Order, Side
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
TIGHT = policies(
    drawdown={"max_share": "0.01"},
    stop={"max_distance": "0.3"},
    order={"max_notional": 100_000},
    position={"max_share": 1},
)


def holding(side: Side = Side.BUY) -> Wire:
    """A position of 50 from 100: equity moves by 50 with each unit of the price."""
    wire = Wire(policy=TIGHT)
    action, stop = (Action.BUY, D(80)) if side is Side.BUY else (Action.SHORT, D(120))
    order = wire.enter(action, "50", stop=stop)
    assert isinstance(order, Order)
    wire.fill(order)
    return wire


def falls(wire: Wire, by: float, side: Side = Side.BUY) -> None:
    wire.tick({"BTCUSDT": 100 - by * side.sign})


def reached(wire: Wire) -> list[int]:
    return [round(each.equity) for each in wire.journal if isinstance(each, events.DrawdownReached)]


def state(wire: Wire) -> TradingState:
    return wire.engine.account.trading_state


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_drawdown_reached_while_halted_is_journaled_once(restarts: bool, side: Side) -> None:
    wire = holding(side)
    wire.command("halt")
    falls(wire, 1, side)
    assert reached(wire) == []
    for by in (3, 4, 1, 5):
        falls(wire, by, side)
        if restarts:
            wire.restart()
    assert reached(wire) == [9_848]
    assert len([each for each in wire.journal if isinstance(each, events.StateChanged)]) == 1


def test_a_resume_measures_the_next_drawdown_from_present_equity() -> None:
    wire = holding()
    wire.command("halt")
    falls(wire, 3)
    wire.command("resume")
    assert state(wire) is TradingState.ACTIVE
    falls(wire, 4)
    assert (state(wire), len(reached(wire))) == (TradingState.ACTIVE, 1)
    falls(wire, 5.1)
    assert (state(wire), len(reached(wire))) == (TradingState.HALTED, 2)


def test_a_drawdown_after_a_recovery_is_journaled_again() -> None:
    wire = holding()
    falls(wire, 3)
    falls(wire, 1)
    wire.command("resume", WITHIN_DRAWDOWN)
    assert state(wire) is TradingState.ACTIVE
    falls(wire, 2.5)
    assert (state(wire), len(reached(wire))) == (TradingState.HALTED, 2)


def test_a_resume_without_confirming_the_drawdown_is_refused() -> None:
    wire = holding()
    wire.command("halt")
    falls(wire, 3)
    said = wire.command("resume", WITHIN_DRAWDOWN)
    (incident,) = [each for each in said if isinstance(each, events.Incident)]
    assert incident.text == (
        "the resume by a person was not taken: equity fell by 1.52% (152.50, from 10,000.00 to 9,847.50), and the "
        "limit is 1.00%; confirm that, and resume again"
    )
    assert state(wire) is TradingState.HALTED
    wire.command("resume")
    assert state(wire) is TradingState.ACTIVE
