"""No entry passes while the exchange, its key or its report of an order do not allow it."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Order,
    Rejected,
    RejectReason,
    Throttled,
    VenueNotice,
    VenueNoticeKind,
)
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import SECOND
from tests.support.account_at_exchange import (
    begun,
    code,
    entered,
    incidents,
    read,
)

D = Decimal
CODE = RefusalCode


def test_no_entry_passes_until_the_exchange_has_time() -> None:
    wire, _ = begun()
    until = wire.now + 90 * SECOND
    wire.give(Throttled(until, "too many requests"))
    wire.give(Throttled(until - SECOND, "too many requests"))
    assert code(wire.enter()) is CODE.VENUE_BUSY
    assert len(incidents(wire)) == 1
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter()) is CODE.VENUE_BUSY
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter()) is None


@pytest.mark.parametrize("by_notice", [True, False])
def test_an_exchange_that_takes_only_reductions_lowers_the_state(by_notice: bool) -> None:
    wire, account = begun()
    entered(wire, account)
    if by_notice:
        wire.give(VenueNotice(VenueNoticeKind.ONLY_REDUCTIONS, "-4400"))
    else:
        entry = wire.enter(quantity="1", action=Action.ADD)
        assert isinstance(entry, Order)
        wire.give(Rejected(entry.ref, RejectReason.ONLY_REDUCTIONS, "-4400"))
    assert wire.engine.account.trading_state is TradingState.REDUCING
    assert code(wire.enter(quantity="1", action=Action.ADD)) is CODE.NOT_ACTIVE
    assert isinstance(wire.close(), Order)


def test_a_key_that_does_not_work_halts_the_engine() -> None:
    wire, _ = begun()
    wire.give(VenueNotice(VenueNoticeKind.HALT, "the key was revoked; make a new one"))
    lowered = wire.engine.account.lowered
    assert wire.engine.account.trading_state is TradingState.HALTED
    assert lowered is not None
    assert lowered.why == "the key was revoked; make a new one"


def test_a_resting_entry_is_cancelled_while_its_fill_could_not_be_seen() -> None:
    wire, _ = begun()
    entry = wire.enter(limit=D(99))
    assert isinstance(entry, Order)
    wire.give(VenueNotice(VenueNoticeKind.DEGRADED, "the user stream is down"))
    assert entry.ref in wire.canceled


def test_an_order_that_the_exchange_does_not_show_twice_holds_back_entries() -> None:
    wire, account = begun(symbols=("BTCUSDT", "ETHUSDT"))
    entry = wire.enter(limit=D(99))
    assert isinstance(entry, Order)
    wire.give(Accepted(entry.ref, "v1"))
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0, "ETHUSDT": 100.0})
    assert code(wire.enter(symbol="ETHUSDT")) is None
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0, "ETHUSDT": 100.0})
    assert code(wire.enter(symbol="ETHUSDT", limit=D(99))) is CODE.NOT_RECONCILED
    wire.give(Canceled(entry.ref, "found in the history"))
    for each in wire.engine.orders.live():
        account.take(each.order)
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0, "ETHUSDT": 100.0})
    assert wire.engine.account.exchange.objection() == ""


def test_entries_wait_for_the_account_after_a_restart() -> None:
    wire, account = begun()
    entered(wire, account, "5")
    wire.restart()
    wire.give(VenueNotice(VenueNoticeKind.CONNECTING, "the run goes on"))
    assert code(wire.enter(action=Action.ADD, quantity="1")) is CODE.NOT_RECONCILED
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter(action=Action.ADD, quantity="1")) is None
    assert len([each for each in wire.journal if isinstance(each, AccountFound)]) == 1
