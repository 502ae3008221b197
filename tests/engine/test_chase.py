"""An entry that first waits as a maker follows the price within bounds, takes the rest, and is shown as one entry."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.happenings import HappeningKind
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Order,
    OrderType,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
    Side,
)
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import TradingState
from tests.support.chasing import BTC, Exchange, chasing
from tests.support.wire import Wire

D = Decimal
BOTH = pytest.mark.parametrize("side", list(Side))


def lapses(exchange: Exchange) -> list[str]:
    return [each.why for each in exchange.journal if isinstance(each, events.EntryLapsed)]


@BOTH
def test_entry_rests_at_the_best_price_of_its_own_side(side: Side) -> None:
    exchange = Exchange()
    first = exchange.chase(side)
    best = exchange.bid if side is Side.BUY else exchange.ask
    assert (first.type, first.post_only, first.limit_price) == (OrderType.LIMIT, True, best)
    exchange.trade(first.ref)
    assert exchange.held() == side.sign * 10
    assert exchange.over()
    assert len(exchange.stops) == 1


@BOTH
def test_order_follows_the_price_and_the_last_one_takes(side: Side) -> None:
    exchange = Exchange()
    exchange.chase(side)
    for moved in (1, 2, 3):
        exchange.move(100 + side.sign * D(moved) / 10)
        exchange.wait()
    prices = [each.limit_price for each in exchange.entries]
    near = 100 - side.sign * D("0.1")
    taken = D("100.2") if side is Side.BUY else D("99.8")
    assert prices == [near, near + side.sign * D("0.1"), near + side.sign * D("0.2"), taken]
    assert exchange.entries[-1].immediate
    # The market has left the price that was checked: what would cost more is not bought.
    assert exchange.held() == 0
    assert exchange.over()


def test_rest_is_taken_at_the_end_within_the_checked_price() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    exchange.wait(30)
    assert [each.quantity for each in exchange.entries] == [10, 6]
    assert exchange.held() == 10
    assert exchange.over()


def test_an_order_at_the_best_price_stays_there() -> None:
    exchange = Exchange(policy=chasing(at_end="give_up"))
    exchange.chase()
    exchange.wait(30)
    assert len(exchange.entries) == 1
    assert lapses(exchange) == ["it did not fill at any of its prices"]
    assert exchange.over()


def test_an_order_follows_no_farther_than_the_policy_says() -> None:
    exchange = Exchange(policy=chasing(follow="0.001"))
    exchange.chase()
    exchange.move("101")
    exchange.wait()
    assert exchange.entries[-1].limit_price == D("99.9")


def test_a_rejected_maker_is_priced_again_after_a_pause() -> None:
    exchange = Exchange()
    exchange.answers = False
    first = exchange.enter()
    assert isinstance(first, Order)
    exchange.at, exchange.answers = D("99.7"), True
    exchange.serve()
    exchange.wait(1)
    assert [each.limit_price for each in exchange.entries] == [D("99.9"), D("99.6")]
    assert len(exchange.book) == 1


@pytest.mark.parametrize("reason", [RejectReason.INSUFFICIENT_MARGIN, RejectReason.RATE_LIMITED])
def test_another_rejection_ends_the_entry(reason: RejectReason) -> None:
    exchange = Exchange()
    exchange.answers = False
    first = exchange.enter()
    assert isinstance(first, Order)
    exchange.give(Rejected(first.ref, reason, "no"))
    exchange.wait(60)
    assert exchange.over()
    assert len(exchange.entries) == 1


def test_next_order_waits_for_fills_before_the_cancel() -> None:
    exchange = Exchange()
    first = exchange.chase()
    late = exchange.match(first.ref, "4")
    exchange.move("100.1")
    exchange.wait(15)
    assert len(exchange.entries) == 1
    exchange.give(late)
    exchange.serve()
    assert exchange.entries[-1].quantity == 6


def test_missing_fills_end_the_entry_in_the_end() -> None:
    exchange = Exchange()
    first = exchange.chase()
    late = exchange.match(first.ref, "4")
    exchange.move("100.1")
    exchange.wait(120)
    assert exchange.over()
    assert len(lapses(exchange)) == 1
    exchange.give(late)
    exchange.serve()
    assert (exchange.held(), len(exchange.stops)) == (D(4), 1)


def test_a_cancel_without_a_filled_quantity_ends_the_entry() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.move("100.1")
    exchange.answers = False
    exchange.wait()
    exchange.give(Canceled(first.ref, "a person says so"))
    assert lapses(exchange) == ["it is not known how much of it has filled"]


@pytest.mark.parametrize("shows", [True, False])
def test_an_order_of_unknown_outcome_is_cancelled_if_it_shows_up(shows: bool) -> None:
    exchange = Exchange()
    exchange.answers = False
    first = exchange.enter()
    assert isinstance(first, Order)
    exchange.give(OutcomeUnknown(first.ref, "timeout"))
    exchange.wait(60)
    assert exchange.canceled == []
    answer = Accepted(first.ref, "v") if shows else Rejected(first.ref, RejectReason.NEVER_ARRIVED, "never arrived")
    exchange.give(answer)
    assert exchange.canceled == ([first.ref] if shows else [])
    exchange.wait(60)
    assert exchange.entries == [first]
    assert exchange.over()


def test_a_part_of_an_order_of_unknown_outcome_ends_the_entry() -> None:
    exchange = Exchange()
    exchange.answers = False
    first = exchange.enter()
    assert isinstance(first, Order)
    exchange.give(OutcomeUnknown(first.ref, "timeout"))
    exchange.restart()
    exchange.book[first.ref] = first
    exchange.trade(first.ref, "4")
    assert exchange.canceled == [first.ref]
    exchange.cancel(first.ref)
    exchange.wait(60)
    assert (exchange.held(), len(exchange.entries)) == (D(4), 1)
    assert exchange.over()


@pytest.mark.parametrize("verb", ["halt", "flatten"])
def test_halt_and_flatten_end_the_entry(verb: str) -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    exchange.command(verb)
    exchange.serve()
    exchange.wait(60)
    assert len(exchange.entries) == 1
    assert exchange.over()
    assert exchange.engine.account.trading_state is TradingState.HALTED


def test_a_halt_while_the_price_changes_ends_the_entry() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.answers = False
    exchange.move("100.1")
    exchange.wait()
    assert exchange.canceled == [first.ref]
    exchange.command("halt")
    exchange.answers = True
    exchange.wait(60)
    assert len(exchange.entries) == 1
    assert exchange.over()


def test_the_end_of_its_position_ends_the_entry() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    stop = next(iter(exchange.stops.values()))
    exchange.fill(stop, "4", "97")
    exchange.serve()
    exchange.wait(60)
    assert exchange.held() == 0
    assert len(exchange.entries) == 1
    assert exchange.over()


@pytest.mark.parametrize("adds", [False, True])
def test_the_end_of_its_position_between_two_orders_ends_the_entry(adds: bool) -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, None if adds else "4")
    if adds:
        assert isinstance(exchange.enter(Action.ADD, "2"), Order)
        exchange.serve()
    exchange.answers = False
    exchange.move("100.1")
    exchange.wait()
    moved = exchange.canceled[-1]
    exchange.give(Canceled(moved, "on request", exchange.filled.get(moved, D(0))))
    exchange.book.clear()
    exchange.give(Rejected(exchange.last(Purpose.ENTRY).ref, RejectReason.WOULD_TAKE, "no"))
    assert exchange.engine.manager.chases
    sent = len(exchange.entries)
    exchange.fill(next(iter(exchange.stops.values())), exchange.held(), "97")
    exchange.wait(60)
    assert exchange.held() == 0
    assert len(exchange.entries) == sent
    assert lapses(exchange) == ["its position was closed"]


def test_an_entry_between_two_orders_bars_another_and_can_be_cancelled() -> None:
    exchange = Exchange()
    exchange.answers = False
    first = exchange.enter()
    assert isinstance(first, Order)
    exchange.give(Rejected(first.ref, RejectReason.WOULD_TAKE, "no"))
    second = exchange.enter()
    assert isinstance(second, Refusal)
    assert second.code is RefusalCode.ENTRY_PENDING
    cancelled = exchange.enter(Action.CANCEL, None, size=None, stop=None)
    assert isinstance(cancelled, Order)
    exchange.answers = True
    exchange.wait(60)
    assert exchange.over()
    assert exchange.total() == 0


def test_only_the_first_order_counts_as_an_entry() -> None:
    exchange = Exchange()
    exchange.chase()
    exchange.move("100.1")
    exchange.wait()
    assert len(exchange.entries) == 2
    assert exchange.engine.account.activity.state().entries_today == 1


def test_every_order_reserves_the_budget_of_the_checked_price() -> None:
    exchange, taker = Exchange(), Exchange(policy=chasing(style="taker"))
    first, whole = exchange.chase(), taker.enter()
    assert isinstance(whole, Order)
    reserved = [each.engine.orders.get(ref).worst_price for each, ref in ((exchange, first.ref), (taker, whole.ref))]  # type: ignore[union-attr]
    assert reserved[0] == reserved[1]
    exchange.move("99.9")
    exchange.wait()
    assert [each.worst_price for each in exchange.engine.orders.live()] == [reserved[0]]


def test_a_chased_entry_is_one_entry_to_the_agent() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    exchange.move("100.1")
    exchange.wait()
    (resting,) = exchange.engine.since.resting()
    assert (resting.order, resting.quantity, resting.filled) == (first.ref, D(6), D(4))
    exchange.trade(exchange.entries[-1].ref)
    kinds = [each.kind for each in exchange.engine.since.happenings.kept if each.symbol == BTC]
    (filled,) = [each for each in exchange.engine.since.happenings.kept if each.kind is HappeningKind.FILLED]
    assert (filled.quantity, filled.order) == (D(10), first.ref)
    assert HappeningKind.CANCELLED not in kinds
    assert not exchange.engine.since.resting()


def test_an_entry_that_ends_unfilled_is_one_happening() -> None:
    exchange = Exchange(policy=chasing(at_end="give_up"))
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    exchange.move("100.1")
    exchange.wait(40)
    ended = [each for each in exchange.engine.since.happenings.kept if each.kind is HappeningKind.CANCELLED]
    assert [(each.order, each.quantity, each.filled) for each in ended] == [(first.ref, D(6), D(4))]


def test_a_restart_goes_on_with_the_chase() -> None:
    exchange = Exchange()
    first = exchange.chase()
    exchange.trade(first.ref, "4")
    exchange.restart()
    exchange.move("100.1")
    exchange.wait()
    assert exchange.entries[-1].quantity == 6
    exchange.restart()
    exchange.wait(60)
    assert exchange.held() == 10
    assert exchange.over()


def test_without_quotes_an_entry_takes_at_once() -> None:
    wire = Wire(policy=chasing())
    order = wire.enter()
    assert isinstance(order, Order)
    assert order.immediate
    assert not wire.engine.manager.chases


def test_a_refused_entry_is_refused_as_without_a_chase() -> None:
    refused = [Exchange(policy=chasing(style=style)).enter(Action.BUY, "1000") for style in ("taker", "maker_first")]
    assert isinstance(refused[0], Refusal)
    assert refused[0] == refused[1]


def test_limit_entries_are_not_chased() -> None:
    exchange = Exchange()
    order = exchange.enter(limit=D(99))
    assert isinstance(order, Order)
    assert not exchange.engine.manager.chases


def test_spot_sells_no_dust_between_two_orders() -> None:
    exchange = Exchange(Product.SPOT)
    first = exchange.chase()
    exchange.trade(first.ref, "0.01")
    exchange.move("100.1")
    exchange.wait()
    assert exchange.held() == D("0.01")
    exchange.trade(exchange.entries[-1].ref)
    assert exchange.held() == 10
    assert exchange.over()
