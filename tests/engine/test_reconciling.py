"""The books follow the account at the exchange: positions, stops, orders and balance; a difference is an incident."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.events import OutsideFilled, PositionProtected, PositionUnprotected, TransferBooked
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
    Side,
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
from tests.support.account_at_exchange import (
    AccountAtExchange,
    begun,
    code,
    entered,
    exchange_wire,
    incidents,
    live_policy,
    read,
    stand,
)

D = Decimal
CODE = RefusalCode
BOTH = pytest.mark.parametrize("product", [Product.UM, Product.SPOT])


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
