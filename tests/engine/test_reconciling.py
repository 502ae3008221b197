"""The books follow the account at the exchange: positions, stops, orders and balance; a difference is an incident."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.events import Incident, OutsideFilled, PositionProtected, PositionUnprotected, TransferBooked
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    Order,
    OutcomeUnknown,
    OutsideCause,
    OutsideFill,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    Throttled,
    Transferred,
    Triggered,
    VenueNotice,
    VenueNoticeKind,
)
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.protection import protection_timer
from ocw_mcp.engine.summary import summary
from tests.support.account_at_exchange import AccountAtExchange, exchange_wire, live_policy
from tests.support.wire import Wire

D = Decimal
CODE = RefusalCode
BOTH = pytest.mark.parametrize("product", [Product.UM, Product.SPOT])


def incidents(wire: Wire) -> list[str]:
    return [each.text for each in wire.journal if isinstance(each, Incident)]


def test_account_without_a_balance_reaches_no_limit() -> None:
    wire, account = exchange_wire(), AccountAtExchange(quote="0")
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    assert wire.engine.account.trading_state is TradingState.ACTIVE
    account.quote = D(3_000)
    wire.give(Transferred("7", D(3_000), wire.now))
    assert wire.engine.account.trading_state is TradingState.ACTIVE
    state = wire.engine.account
    assert (state.drawdown.state().watched, state.day.today.opening) == (D(3_000), D(3_000))


def read(wire: Wire, account: AccountAtExchange, times: int = 1) -> None:
    """Report the account, a second after the report before it."""
    for _ in range(times):
        wire.minute += 1
        wire.give(account.seen(wire.now))


def begun(product: Product = Product.UM, **config: Any) -> tuple[Wire, AccountAtExchange]:
    wire, account = exchange_wire(product, **config), AccountAtExchange(product)
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    return wire, account


def stand(wire: Wire, account: AccountAtExchange) -> Order:
    """Let the exchange accept the stop that was sent last."""
    stop = wire.last(Purpose.STOP)
    account.take(stop)
    wire.give(Accepted(stop.ref, f"v{stop.ref}"))
    return stop


def entered(wire: Wire, account: AccountAtExchange, quantity: str = "10") -> Order:
    """Enter long, and let the stop stand; the order of the stop."""
    entry = wire.enter(quantity=quantity)
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    return stand(wire, account)


def code(answer: Order | Refusal) -> RefusalCode | None:
    return answer.code if isinstance(answer, Refusal) else None


@BOTH
def test_a_book_begins_with_the_balance_of_its_account(product: Product) -> None:
    wire, account = exchange_wire(product), AccountAtExchange(product, "2500")
    assert wire.engine.account.ledger.equity() == 0
    assert code(wire.enter()) is CODE.NOT_RECONCILED
    assert wire.engine.account.trading_state is TradingState.ACTIVE
    read(wire, account)
    (found,) = [each for each in wire.journal if isinstance(each, AccountFound)]
    assert found.balances == account.seen(0).balances
    state = wire.engine.account
    assert (state.ledger.equity(), state.began_with, state.day.today.opening) == (D(2_500), D(2_500), D(2_500))
    assert state.fall().peak == 2_500
    assert (state.trading_state, state.day.today.reached) == (TradingState.ACTIVE, False)
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter(quantity="5")) is None
    assert incidents(wire) == []


@pytest.mark.requirement("R07")
@BOTH
def test_an_empty_book_takes_over_the_position_of_its_account(product: Product) -> None:
    wire, account = exchange_wire(product), AccountAtExchange(product)
    account.trade(D(20), D(90))
    read(wire, account)
    assert wire.held() == 20
    assert wire.engine.account.ledger.equity() == account.quote + (20 * D(100) if account.spot else 20 * D(10))
    assert wire.last(Purpose.STOP).trigger_price == D("95.00")
    assert wire.engine.account.began_with == wire.engine.account.ledger.equity()
    stand(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    assert wire.engine.guard.protections["BTCUSDT"].protected
    # It counts in every limit, and the agent may close it, but not add to it.
    assert code(wire.enter(quantity="1")) is not None
    assert wire.engine.manager.view("BTCUSDT", wire.now).adopted  # type: ignore[union-attr]
    assert isinstance(wire.close(), Order)


@pytest.mark.requirement("R01")
def test_a_position_older_than_the_history_is_taken_over_whole() -> None:
    wire, account = exchange_wire(), AccountAtExchange()
    account.quantity, account.average = D(-30), D(104)
    read(wire, account)
    (position,) = wire.engine.positions()
    assert (position.quantity, position.average_price, position.leverage) == (D(-30), D(104), 2)
    assert (wire.last(Purpose.STOP).side, wire.last(Purpose.STOP).quantity) == (Side.BUY, D(30))


def test_a_position_is_taken_over_once_its_price_is_known() -> None:
    wire, account = exchange_wire(symbols=("BTCUSDT", "ETHUSDT")), AccountAtExchange()
    wire.restart()
    wire.engine = type(wire.engine)(wire.engine.config)
    wire.engine.start()
    account.trade(D(20), D(90))
    wire.give(account.seen(wire.now))
    assert (wire.held(), wire.sent) == (D(0), [])
    assert code(wire.enter(symbol="ETHUSDT")) is not None
    wire.tick({"BTCUSDT": 100.0, "ETHUSDT": 50.0})
    assert wire.held() == 20
    assert wire.last(Purpose.STOP).quantity == 20


@pytest.mark.requirement("R02")
@BOTH
def test_a_position_that_the_exchange_does_not_have_is_closed_in_the_books(product: Product) -> None:
    wire, account = begun(product)
    entered(wire, account)
    account.trade(-account.quantity, D(99))
    account.orders.clear()
    read(wire, account, 3)
    assert (wire.held(), wire.engine.guard.protections, wire.stands()) == (D(0), {}, [])
    (found,) = [each for each in wire.journal if isinstance(each, OutsideFilled)]
    assert (found.cause, found.side, found.price, found.fee) == (OutsideCause.FOUND, "sell", D(100), D(0))
    assert wire.engine.account.ledger.equity() == account.quote
    assert sum("the exchange is right" in text for text in incidents(wire)) == 1


@pytest.mark.requirement("R05")
def test_a_position_that_changed_sides_is_taken_as_it_is() -> None:
    wire, account = begun()
    entered(wire, account)
    account.trade(D(-25), D(101))
    account.orders.clear()
    read(wire, account, 3)
    (position,) = wire.engine.positions()
    assert (position.quantity, position.average_price) == (D(-15), D(101))
    assert wire.engine.account.ledger.wallet == account.quote
    (stop,) = wire.stands()
    assert (stop.ref.leg, stop.side, stop.quantity) == (Purpose.STOP, Side.BUY, D(15))


@pytest.mark.requirement("R06")
def test_a_stop_that_the_books_have_as_finished_is_cancelled() -> None:
    wire, account = begun()
    stop = entered(wire, account)
    wire.give(Canceled(stop.ref, "by the exchange"))
    account.trade(D(-10), D(100))
    wire.give(OutsideFill("x1", "BTCUSDT", Side.SELL, D(10), D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))
    wire.canceled.clear()
    read(wire, account)
    assert stop.ref not in wire.canceled
    read(wire, account)
    assert stop.ref in wire.canceled
    assert code(wire.enter()) is CODE.NOT_RECONCILED
    del account.orders[str(stop.ref)]
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert isinstance(wire.enter(), Order)
    assert sum("finished in the books" in text for text in incidents(wire)) == 1


@pytest.mark.requirement("S03")
@BOTH
def test_a_stop_that_is_absent_at_the_exchange_is_put_back(product: Product) -> None:
    wire, account = begun(product)
    lost = entered(wire, account)
    account.orders.clear()
    read(wire, account)
    deadline = wire.engine.config.policies.stop.deadline_s * SECOND
    assert wire.engine.timers[protection_timer("BTCUSDT")] == wire.now + deadline
    # The lost one is cancelled too: it must not sell the position a second time if it is there after all.
    assert lost.ref in wire.canceled
    if account.spot:
        # There it may lock the balance, so the answer to its cancel comes first.
        assert wire.last(Purpose.STOP) == lost
        wire.give(Canceled(lost.ref, "it was gone"))
    again = wire.last(Purpose.STOP)
    assert (again.ref != lost.ref, again.quantity, again.trigger_price) == (True, lost.quantity, lost.trigger_price)
    assert wire.stands() == [again]
    stand(wire, account)
    wire.give(Canceled(lost.ref, "it was gone"))
    read(wire, account, 2)
    assert wire.stands() == [again]
    assert wire.engine.guard.protections["BTCUSDT"].protected


def test_a_stop_that_has_just_been_accepted_or_triggered_is_not_lost() -> None:
    wire, account = begun()
    stop = entered(wire, account)
    account.orders.clear()
    wire.give(account.seen(wire.now))
    wire.minute += 1
    wire.give(Triggered(stop.ref, "v2"))
    wire.give(account.seen(wire.now))
    assert wire.last(Purpose.STOP) == stop


@pytest.mark.parametrize("ahead_s", [-20, 0, 20])
@pytest.mark.parametrize(("read_after_s", "is_lost"), [(-5, False), (5, True)])
def test_a_wrong_clock_of_the_machine_decides_no_loss(ahead_s: int, read_after_s: int, is_lost: bool) -> None:
    wire, account = begun()
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    stop = wire.last(Purpose.STOP)
    accepted = wire.now - ahead_s * SECOND
    wire.give(Accepted(stop.ref, "v1", accepted))
    # The account has the position and not the stop: it was read too early, or the stop is gone.
    wire.give(account.seen(accepted + read_after_s * SECOND))
    assert (stop.ref in wire.canceled) == is_lost
    assert any("counts as lost" in each for each in incidents(wire)) == is_lost


def test_a_difference_counts_in_the_second_report_while_an_order_is_under_way() -> None:
    wire, account = begun()
    entry = wire.enter()
    assert isinstance(entry, Order)
    wire.give(OutcomeUnknown(entry.ref, "no answer"))
    account.trade(D(10), D(100))
    read(wire, account)
    assert wire.held() == 0
    assert code(wire.enter()) is CODE.NOT_RECONCILED
    read(wire, account)
    assert wire.held() == 10
    assert wire.last(Purpose.STOP).quantity == 10


def test_a_report_older_than_a_fill_changes_nothing() -> None:
    wire, account = begun()
    before = account.seen(wire.now - 1)
    entered(wire, account)
    wire.give(before)
    assert wire.held() == 10
    read(wire, account)
    assert (wire.held(), incidents(wire)) == (D(10), [])


def test_a_query_that_fails_is_not_a_flat_account() -> None:
    wire, account = begun()
    entered(wire, account)
    wire.give(VenueNotice(VenueNoticeKind.DEGRADED, "the positions cannot be read"))
    assert wire.held() == 10
    assert wire.engine.guard.protections["BTCUSDT"].protected
    assert code(wire.enter(quantity="1")) is CODE.NOT_RECONCILED
    wire.give(VenueNotice(VenueNoticeKind.RESTORED, "they can be read again"))
    assert code(wire.enter(quantity="1")) is CODE.NOT_RECONCILED
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    assert wire.engine.account.exchange.objection() == ""
    assert isinstance(wire.close(), Order)


def test_an_unexplained_difference_of_the_balance_is_booked_as_a_transfer() -> None:
    wire, account = begun()
    account.quote += 500
    read(wire, account)
    assert wire.engine.account.ledger.equity() == 10_000
    assert code(wire.enter()) is CODE.NOT_RECONCILED
    read(wire, account, 2)
    assert wire.engine.account.ledger.equity() == 10_000
    read(wire, account)
    assert wire.engine.account.ledger.equity() == 10_500
    assert wire.engine.account.day.loss(D(10_500)) == 0
    assert len(incidents(wire)) == 1
    read(wire, account, 2)
    assert len(incidents(wire)) == 1
    assert summary(wire.engine)["exchange"]["balances"] == {"USDT": "10500"}


def test_a_difference_of_the_balance_that_changes_is_not_booked_yet() -> None:
    wire, account = begun()
    for _ in range(3):
        account.quote += 100
        read(wire, account, 2)
    assert wire.engine.account.ledger.equity() == 10_000
    read(wire, account, 2)
    assert wire.engine.account.ledger.equity() == 10_300


def test_a_report_older_than_a_transfer_shows_no_difference() -> None:
    wire, account = begun()
    wire.minute += 1
    before = account.seen(wire.now - 1)
    wire.give(Transferred("t1", D(500), wire.now))
    wire.give(before)
    assert wire.engine.account.exchange.objection() == ""


@pytest.mark.requirement("X06")
@BOTH
def test_a_transfer_out_lowers_the_largest_entry(product: Product) -> None:
    policy = live_policy(position={"max_share": "0.5"}, margin={"min_free": "0.2"})
    wire, account = begun(product, policy=policy)
    before = wire.enter(quantity="10000")
    assert isinstance(before, Refusal)
    account.quote -= 8_000
    wire.give(Transferred("t1", D(-8_000), wire.now))
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    after = wire.enter(quantity="10000")
    assert isinstance(after, Refusal)
    assert before.largest > D(45)
    assert D(0) < after.largest <= before.largest / 5 + D("0.001")
    assert not wire.engine.account.day.today.reached
    booked = [each for each in wire.journal if isinstance(each, TransferBooked)]
    assert [each.amount for each in booked] == [10_000, -8_000]
    assert incidents(wire) == []


@pytest.mark.requirement("X01")
def test_a_position_that_a_person_closed_is_closed_and_not_opened_again() -> None:
    wire, account = begun(policy=live_policy(pace={"reentry_s": 600}))
    stop = entered(wire, account)
    account.trade(D(-10), D(101), D("0.5"))
    wire.give(OutsideFill("a1", "BTCUSDT", Side.SELL, D(10), D(101), D("0.5"), wire.now, OutsideCause.OTHER_TRADER))
    account.orders.clear()
    assert (wire.held(), wire.stands()) == (D(0), [])
    wire.give(Canceled(stop.ref, "asked for"))
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert len(incidents(wire)) == 1
    assert wire.engine.account.ledger.equity() == account.quote
    assert code(wire.enter()) is CODE.REENTRY


def test_an_order_of_others_is_reported_once_and_left() -> None:
    wire, account = begun()
    account.others()
    read(wire, account, 3)
    (text,) = incidents(wire)
    assert "limit buy 1 BTCUSDT" in text
    assert (wire.canceled, wire.foreign) == ([], [])
    assert summary(wire.engine)["exchange"]["orders_of_others"] == 1
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter()) is None


def test_an_order_of_others_is_cancelled_if_the_policy_says_so() -> None:
    wire, account = begun(policy=live_policy(adopt={"orders": "cancel"}))
    account.others()
    read(wire, account)
    assert [each.venue_order_id for each in wire.foreign] == ["7"]


@BOTH
def test_an_ignored_position_is_seen_and_takes_no_entries(product: Product) -> None:
    wire, account = (
        exchange_wire(product, policy=live_policy(adopt={"positions": "ignore"})),
        AccountAtExchange(product),
    )
    account.trade(D(20), D(90))
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert (wire.held(), wire.sent) == (D(0), [])
    assert wire.engine.account.ledger.equity() == account.quote
    assert code(wire.enter(quantity="1")) is CODE.ADOPTED
    assert summary(wire.engine)["exchange"]["not_in_the_books"] == {"BTCUSDT": "20"}
    assert len(incidents(wire)) == 1
    account.trade(D(-20), D(90))
    read(wire, account, 4)
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter(quantity="1")) is None


def test_a_found_position_is_closed_if_the_policy_says_so() -> None:
    wire, account = exchange_wire(policy=live_policy(adopt={"positions": "close"})), AccountAtExchange()
    account.trade(D(20), D(90))
    read(wire, account)
    assert wire.last(Purpose.EXIT).quantity == 20
    assert protection_timer("BTCUSDT") in wire.engine.timers


def test_a_position_of_a_symbol_that_is_not_followed_is_reported_and_left() -> None:
    wire, account = exchange_wire(), AccountAtExchange()
    account.trade(D(20), D(90))
    seen = account.seen(wire.now)
    wire.give(msgspec.structs.replace(seen, positions=(msgspec.structs.replace(seen.positions[0], symbol="XUSDT"),)))
    wire.give(OutsideFill("x9", "XUSDT", Side.BUY, D(1), D(90), D(0), wire.now, OutsideCause.OTHER_TRADER))
    assert (wire.sent, wire.engine.positions()) == ([], [])
    (text,) = incidents(wire)
    assert "does not follow" in text


def test_the_margin_of_a_position_that_is_not_in_the_books_cannot_be_used() -> None:
    wire, account = begun(policy=live_policy(adopt={"positions": "ignore"}), symbols=("BTCUSDT", "ETHUSDT"))
    before = wire.engine.manager.view("ETHUSDT", wire.now)
    account.trade(D(20), D(90))
    seen = account.seen(wire.now)
    wire.give(msgspec.structs.replace(seen, positions=(msgspec.structs.replace(seen.positions[0], margin=D(900)),)))
    after = wire.engine.manager.view("ETHUSDT", wire.now)
    assert before is not None
    assert after is not None
    assert before.free_margin - after.free_margin == 900


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


def test_spot_dust_is_no_position() -> None:
    wire, account = exchange_wire(Product.SPOT), AccountAtExchange(Product.SPOT)
    account.quantity = D("0.00001")
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert (wire.held(), incidents(wire), wire.engine.account.exchange.objection()) == (D(0), [], "")


def test_a_lost_stop_is_journaled_as_unprotected_until_the_next_is_accepted() -> None:
    wire, account = begun()
    entered(wire, account)
    account.orders.clear()
    wire.journal.clear()
    read(wire, account)
    stand(wire, account)
    kinds = [type(each) for each in wire.journal]
    assert kinds.index(PositionUnprotected) < kinds.index(PositionProtected)
    assert not any(isinstance(each, Filled) for each in wire.journal)
