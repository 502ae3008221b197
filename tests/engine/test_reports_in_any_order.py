"""Reports of the account that come late, twice or before their cause are booked once, and leave nothing unprotected."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from ocw_mcp.domain.asks import ProtectionRequest
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.events import Incident, OutsideFilled, TransferBooked
from ocw_mcp.domain.orders import (
    Accepted,
    CancelRefused,
    Filled,
    FundingPaid,
    Order,
    OutcomeUnknown,
    OutsideCause,
    OutsideFill,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    Transferred,
    Triggered,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)
from ocw_mcp.domain.steps import Asked, TimerFired
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.protection import protection_timer, retry_timer
from tests.support.account_at_exchange import AccountAtExchange, exchange_wire
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"


def read(wire: Wire, account: AccountAtExchange, times: int = 1) -> None:
    """Report the account, a minute after the report before it."""
    for _ in range(times):
        wire.minute += 1
        wire.give(account.seen(wire.now))


def begun() -> tuple[Wire, AccountAtExchange]:
    wire, account = exchange_wire(), AccountAtExchange()
    read(wire, account)
    wire.tick({BTC: 100.0})
    return wire, account


def entered(wire: Wire, account: AccountAtExchange) -> Order:
    """Enter long 10 units, and let the stop stand; the order of the stop."""
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    stop = wire.last(Purpose.STOP)
    account.take(stop)
    wire.give(Accepted(stop.ref, f"v{stop.ref}"))
    return stop


def journaled(wire: Wire, kind: type) -> int:
    return sum(isinstance(each, kind) for each in wire.journal)


def test_funding_whose_record_comes_minutes_late_is_booked_once() -> None:
    wire, account = begun()
    entered(wire, account)
    wire.minute += 1
    paid_at = wire.now
    account.quote -= 5
    read(wire, account, 2)
    wire.give(FundingPaid(BTC, D(-5), None, None, None, paid_at, transaction_id="77"))
    read(wire, account, 5)
    assert wire.engine.account.ledger.wallet == account.quote
    assert wire.engine.account.ledger.positions[BTC].funding == -5
    assert journaled(wire, TransferBooked) == 1, "only the balance with which the book began"
    assert wire.engine.account.exchange.objection() == ""


@pytest.mark.parametrize(
    "report",
    [
        OutsideFill("901", BTC, Side.BUY, D(2), D(90), D(1), 0, OutsideCause.OTHER_TRADER),
        FundingPaid(BTC, D(-3), None, None, None, 0, transaction_id="902"),
        Transferred("903", D(500), 0),
    ],
)
def test_what_the_account_contained_when_it_was_found_is_not_booked_again(report: VenueReport) -> None:
    wire, account = exchange_wire(), AccountAtExchange()
    account.trade(D(2), D(90))
    wire.tick({BTC: 100.0})
    read(wire, account)
    equity, before = wire.engine.account.ledger.equity(), len(wire.journal)
    found_at = wire.now
    # A restart within two minutes of the book's birth reads the time before it, too.
    wire.minute += 1
    wire.give(replace(report, at=found_at))
    assert (wire.held(), wire.engine.account.ledger.equity()) == (D(2), equity)
    assert len(wire.journal) == before
    wire.give(replace(report, at=found_at + 1))
    assert len(wire.journal) > before


def test_trade_after_the_report_that_waits_for_a_price_is_not_corrected_away() -> None:
    wire, account = exchange_wire(), AccountAtExchange()
    wire.engine = type(wire.engine)(wire.engine.config)
    wire.engine.start()
    account.trade(D(2), D(90))
    wire.give(account.seen(wire.now))
    assert wire.engine.account.exchange.waiting is not None
    wire.minute += 1
    wire.give(OutsideFill("905", BTC, Side.BUY, D(3), D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))
    account.trade(D(3), D(100))
    wire.tick({BTC: 100.0})
    read(wire, account, 2)
    assert wire.held() == 5
    assert not any(isinstance(each, OutsideFilled) and each.side is Side.SELL for each in wire.journal)


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_trade_that_is_reported_as_ours_and_as_one_of_others_is_booked_once(ours_first: bool) -> None:
    wire, account = begun()
    stop = entered(wire, account)
    wire.minute += 1
    ours = Filled(stop.ref, "31", D(10), D(95), D(0), wire.now)
    # A triggered order may have a foreign client id; after a restart nothing may tell whose it was.
    others = OutsideFill("31", BTC, Side.SELL, D(10), D(95), D(0), wire.now, OutsideCause.OTHER_TRADER)
    wire.give(Triggered(stop.ref, "88"))
    for each in (ours, others) if ours_first else (others, ours):
        wire.give(each)
    assert wire.held() == 0
    assert journaled(wire, OutsideFilled) == (not ours_first)
    assert list(wire.engine.orders.live()) == []


def test_trades_of_two_symbols_with_the_same_number_are_both_booked() -> None:
    wire = exchange_wire(symbols=(BTC, "ETHUSDT"))
    read(wire, AccountAtExchange())
    wire.tick({BTC: 100.0, "ETHUSDT": 10.0})
    for symbol, price in ((BTC, D(100)), ("ETHUSDT", D(10))):
        wire.give(OutsideFill("500", symbol, Side.BUY, D(1), price, D(0), wire.now, OutsideCause.OTHER_TRADER))
    assert {symbol: each.quantity for symbol, each in wire.engine.account.ledger.positions.items()} == {
        BTC: 1,
        "ETHUSDT": 1,
    }


def test_leverage_that_a_person_changed_is_taken_and_not_changed_back() -> None:
    wire, account = begun()
    entered(wire, account)
    seen = account.seen(wire.now + MINUTE)
    wire.minute += 1
    before = wire.engine.account.ledger.positions[BTC].leverage
    wire.give(replace(seen, positions=tuple(replace(each, leverage=before + 3) for each in seen.positions)))
    position = wire.engine.account.ledger.positions[BTC]
    assert position.leverage == before + 3
    assert position.margin == position.cost / position.leverage
    assert sum("leverage" in each.text for each in wire.journal if isinstance(each, Incident)) == 1
    addition = wire.enter(Action.ADD, "1")
    assert isinstance(addition, Order)
    assert addition.leverage == before + 3


def test_stop_for_a_position_that_the_exchange_does_not_show_yet_is_sent_again() -> None:
    wire, account = begun()
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    first = wire.last(Purpose.STOP)
    wire.give(Rejected(first.ref, RejectReason.NO_POSITION, "-4509"))
    assert retry_timer(BTC) in wire.engine.timers
    wire.give(TimerFired(retry_timer(BTC)))
    again = wire.last(Purpose.STOP)
    assert again.ref != first.ref
    wire.give(Accepted(again.ref, "v2"))
    assert wire.engine.guard.protections[BTC].protected


def test_an_addition_does_not_turn_a_late_tighter_stop_into_an_exit() -> None:
    wire, account = begun()
    entered(wire, account)
    addition = wire.enter(Action.ADD, "1")
    assert isinstance(addition, Order)
    wire.give(Asked(ProtectionRequest("p1", "anna", BTC, stop=D("98.5"))))
    wire.give(OutcomeUnknown(wire.last(Purpose.STOP).ref, "no answer"))
    wire.fill(addition)
    sent = len(wire.sent)
    wire.give(TimerFired(protection_timer(BTC)))
    assert not [each for each in wire.sent[sent:] if each.ref.leg is Purpose.EXIT]
    assert wire.held() == 11


def test_no_name_is_used_again_after_a_restart_on_a_disk_that_was_full() -> None:
    wire, account = begun()
    entered(wire, account)
    saved = wire.engine.state()
    unlogged = wire.close()
    assert isinstance(unlogged, Order)
    # The journal has nothing of the exit, so that the next process does not know of it.
    wire.engine = type(wire.engine)(wire.engine.config)
    wire.engine.restore(saved)
    wire.engine.start()
    wire.give(VenueNotice(VenueNoticeKind.CONNECTING, "the run goes on"))
    wire.close()
    assert len(set(wire.names())) == len(wire.sent) == 4


def test_a_stop_of_a_position_that_others_closed_covers_no_later_one() -> None:
    wire, account = begun()
    old = entered(wire, account)
    for name, quantity in (("61", 10), ("62", 5)):
        wire.give(OutsideFill(name, BTC, Side.SELL, D(quantity), D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))
    assert wire.held() == -5
    # The exchange has ended the old stop, but the report of that is lost.
    wire.give(CancelRefused(old.ref, "-2011"))
    new = wire.last(Purpose.STOP)
    assert (new.side, new.ref.n > old.ref.n) == (Side.BUY, True)
    assert not wire.engine.guard.protections[BTC].protected
    wire.give(Accepted(new.ref, "v2"))
    assert wire.engine.guard.protections[BTC].protected
