"""An engine that goes on from a saved state keeps its time, and applies changed policies at once."""

from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import Order
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import SetTimer, TimerKind
from ocw_mcp.engine.order_manager import CANCEL_ANSWER_MS
from ocw_mcp.engine.step import Engine
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
WIDE: dict[str, dict[str, Any]] = {
    "order": {"max_notional": 1_000_000},
    "position": {"max_share": 1},
    "stop": {"max_distance": "0.2"},
}
WIDE["daily_loss"] = {"max_share": "0.5"}
TIGHT = policies(**WIDE | {"drawdown": {"max_share": "0.01"}, "daily_loss": {"max_share": "0.01"}})


def losing() -> Wire:
    """A long that has lost 5 % of equity, and a limit entry of another symbol that waits."""
    wire = Wire(policy=policies(**WIDE), symbols=(BTC, ETH))
    long = wire.enter(Action.BUY, "50", stop=D(85))
    assert isinstance(long, Order)
    wire.fill(long)
    assert isinstance(wire.enter(Action.BUY, "1", symbol=ETH, stop=D(85), limit=D(95)), Order)
    wire.tick({BTC: 90.0, ETH: 100.0})
    return wire


def restarted(wire: Wire) -> tuple[Engine, list[SetTimer]]:
    """The engine that goes on with tighter limits, and the timers that it sets at its start."""
    config = msgspec.structs.replace(wire.engine.config, policies=TIGHT, policy_hash="tight")
    engine = Engine(config)
    engine.restore(wire.engine.state())
    return engine, [each for each in engine.start() if isinstance(each, SetTimer)]


def test_a_halt_while_an_engine_restarts_is_dated_in_engine_time() -> None:
    wire = losing()
    engine, _ = restarted(wire)
    assert engine.account.trading_state is TradingState.HALTED
    assert engine.account.lowered is not None
    assert engine.account.lowered.at == wire.now


def test_a_cancel_during_a_restart_sets_a_timer_for_its_answer() -> None:
    wire = losing()
    _, timers = restarted(wire)
    assert {each.at for each in timers if each.timer.kind is TimerKind.CANCEL} == {wire.now + CANCEL_ANSWER_MS}
