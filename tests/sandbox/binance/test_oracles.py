"""The oracles notice each violation: orders sent twice, positions that differ or lack a stop, and a broken budget."""

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, OutsideCause, Purpose, Side
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import SECOND
from ocw_mcp.sandbox.binance.exchange import Exchange, Request
from ocw_mcp.sandbox.binance.faults import parse_fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from tests.support.oracles import (
    Limits,
    converged,
    naked_spans,
    one_order_per_leg,
    protected,
    same_books,
    time_without,
    within_budget,
)
from tests.support.random_books import random_market
from tests.support.seen_times import Refusals, joined, settled_at
from tests.support.traders import NOW, SPOT_ORDER, SpotTrader, Trader, floored, stated
from tests.support.venue_records import Arrival, ExchangeRecord, VenueRecord

D = Decimal
BOOK = "abc123"
WIDE = Limits(D(2), D(1))
Journal = list[tuple[int, events.JournalEvent]]


def ref(n: int = 1, leg: Purpose = Purpose.ENTRY, revision: int = 0) -> OrderRef:
    return OrderRef(n, leg, revision)


def name(n: int = 1, leg: Purpose = Purpose.ENTRY, revision: int = 0) -> str:
    return ref(n, leg, revision).client_id(BOOK)


def intended(quantity: str, at: int = NOW, order: OrderRef | None = None) -> tuple[int, events.OrderIntended]:
    order = order or ref()
    intent = OrderIntent("k", "test", "BTCUSDT", Side.BUY, OrderType.MARKET, order.leg, D(quantity), quoted=D(90_000))
    return at, events.OrderIntended(order, intent, "policy")


def booked(record: VenueRecord, after: int = 0) -> Journal:
    """Return the journal of a book that booked each trade of a record `after` ms later."""
    journal, held = Journal(), D(0)
    for trade in record.trades:
        held += trade.quantity * (1 if trade.side == "buy" else -1)
        fill = events.OrderFilled(
            ref(),
            trade.trade_id,
            trade.symbol,
            trade.side,
            trade.quantity,
            trade.price,
            D(0),
            trade.at,
            False,
            D(0),
            held,
        )
        journal.append((trade.at + after, fill))
    return journal


def trading(*faults: dict[str, Any]) -> tuple[Trader, VenueRecord]:
    trader = Trader(*faults)
    return trader, ExchangeRecord(trader.faulty.exchange)


def recorded(exchange: Exchange) -> ExchangeRecord:
    return ExchangeRecord(exchange)


@pytest.mark.requirement("E09")
def test_blind_resend_after_a_fill_doubles_and_is_noticed() -> None:
    """The exchange accepts the client id of a filled order again, as Binance does."""
    trader, record = trading({"kind": "order_drop", "at": "0s", "for": "1s", "executed": True})
    assert trader.send("POST", "/fapi/v1/order", **stated("BUY", "0.02", newClientOrderId=name())) is None
    assert trader.held() == D("0.02")
    journal = [intended("0.02")]
    assert one_order_per_leg(record, journal, BOOK) == []
    trader.later(2 * SECOND).order("BUY", "0.02", newClientOrderId=name())
    assert trader.held() == D("0.04")
    twice, filled = one_order_per_leg(record, journal, BOOK)
    assert twice == f"{name()} reached the venue 2 times"
    assert "filled with 0.04, expected at most 0.02" in filled


@pytest.mark.requirement("E09")
def test_blind_resend_on_spot_doubles_and_is_noticed() -> None:
    trader = SpotTrader({"kind": "order_drop", "at": "0s", "for": "1s", "executed": True})
    record = recorded(trader.faulty.exchange)
    assert trader.send("POST", SPOT_ORDER, **stated("BUY", "0.02", newClientOrderId=name())) is None
    journal = [intended("0.02")]
    assert one_order_per_leg(record, journal, BOOK) == []
    trader.later(2 * SECOND).order("BUY", "0.02", newClientOrderId=name())
    assert len(one_order_per_leg(record, journal, BOOK)) == 2


def test_resend_of_a_leg_under_another_revision_is_noticed() -> None:
    trader, record = trading()
    for revision in range(2):
        trader.order("BUY", "0.02", newClientOrderId=name(1, Purpose.ENTRY, revision))
    journal = [intended("0.02"), intended("0.02", order=ref(revision=1))]
    (problem,) = one_order_per_leg(record, journal, BOOK)
    assert "entry 1 was filled" in problem


@pytest.mark.parametrize("journal", [[], [intended("0.02", NOW + 1)]], ids=["none", "later"])
def test_order_without_an_earlier_intent_is_noticed(journal: Journal) -> None:
    trader, record = trading()
    trader.order("BUY", "0.02", newClientOrderId=name())
    if not journal:
        trader.order("SELL", "0.02", newClientOrderId="web_1")
        record.trades.clear()
    (problem,) = one_order_per_leg(record, journal, BOOK)
    assert "without a journaled intent" in problem


def test_orders_of_others_concern_no_leg() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02", newClientOrderId="ocw-other1-1-e-0")
    trader.later(1).order("BUY", "0.02", newClientOrderId="ocw-other1-1-e-0")
    assert one_order_per_leg(record, [], BOOK) == []


def test_book_that_learns_of_a_fill_in_time_has_converged() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02", newClientOrderId=name())
    later = NOW + 60 * SECOND
    assert converged(record, booked(record, after=900), SECOND, later) == []
    (late,) = converged(record, booked(record, after=1_500), SECOND, later)
    assert "differed for 1.5 s" in late
    assert converged(record, booked(record, after=1_500), SECOND, later, [(NOW, NOW + 600)]) == []
    (never,) = converged(record, [], SECOND, later)
    assert "differed for 60 s" in never


def test_position_that_only_the_book_has_is_noticed() -> None:
    fill = events.OutsideFilled("1", "BTCUSDT", "buy", D(1), D(1), D(0), NOW, OutsideCause.OTHER_TRADER, D(0), D(1))
    (problem,) = converged(VenueRecord(), [(NOW, fill)], SECOND, NOW + 60 * SECOND)
    assert "at last 1 and 0" in problem


def unprotected(at: int, deadline: int) -> tuple[int, events.PositionUnprotected]:
    return at, events.PositionUnprotected("BTCUSDT", deadline)


def test_position_without_a_stop_needs_a_deadline() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    stop = floored(trader.mark() * D("0.95"))
    trader.later(20 * SECOND).algo("SELL", stop)
    trader.later(20 * SECOND)
    until = trader.now
    (naked,) = naked_spans(record, until)
    assert naked.lasted == 20 * SECOND
    (problem,) = protected(record, [], until, notice_ms=SECOND, again_ms=SECOND, unknown_ms=SECOND)
    assert "the journal has no deadline" in problem
    assert (
        protected(
            record,
            [unprotected(NOW + 100, NOW + 30 * SECOND)],
            until,
            notice_ms=SECOND,
            again_ms=SECOND,
            unknown_ms=SECOND,
        )
        == []
    )
    late = [unprotected(NOW + 100, NOW + 10 * SECOND)]
    (problem,) = protected(record, late, until, notice_ms=SECOND, again_ms=SECOND, unknown_ms=SECOND)
    assert "beyond its deadline no exit was under way for 10 s" in problem
    leaving = intended("0.02", NOW + 10 * SECOND, ref(2, Purpose.EXIT))
    assert protected(record, [*late, leaving], until, notice_ms=SECOND, again_ms=SECOND, unknown_ms=SECOND) == []
    assert (
        protected(
            record, [], until, notice_ms=SECOND, again_ms=SECOND, unknown_ms=SECOND, away=[(NOW, NOW + 20 * SECOND)]
        )
        == []
    )


@pytest.mark.parametrize("ends", ["closed", "protected"])
def test_deadline_of_an_earlier_position_is_not_that_of_the_next_one(ends: str) -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    stop = floored(trader.mark() * D("0.95"))
    trader.later(20 * SECOND).algo("SELL", stop)
    ended: events.JournalEvent = (
        events.PositionClosed("BTCUSDT", NOW - 9 * SECOND, D(0), D(0))
        if ends == "closed"
        else events.PositionProtected("BTCUSDT", ref(1, Purpose.STOP), stop)
    )
    earlier, own = unprotected(NOW - 9 * SECOND, NOW + 5 * SECOND), unprotected(NOW, NOW + 18 * SECOND)
    judge = partial(protected, record, until=trader.now, notice_ms=SECOND, again_ms=3 * SECOND, unknown_ms=SECOND)
    assert judge([earlier, (NOW - SECOND, ended), own]) == []
    (problem,) = judge([earlier, own])
    assert "for 15 s" in problem
    (problem,) = judge([earlier, (NOW - SECOND, ended)])
    assert "the journal has no deadline" in problem


def test_position_whose_stop_was_cancelled_elsewhere_is_naked() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    trader.algo("SELL", floored(trader.mark() * D("0.95")))
    trader.later(10 * SECOND)
    trader.account.advance(trader.now)
    assert naked_spans(record, trader.now) == []
    trader.account.owner_cancel("BTCUSDT", trader.now)
    (naked,) = naked_spans(record, trader.now + 5 * SECOND)
    assert (naked.since, naked.lasted) == (trader.now, 5 * SECOND)


@pytest.mark.parametrize(("quantity", "covers"), [("0.01", False), ("0.02", True)])
def test_stop_covers_no_more_than_its_quantity(quantity: str, covers: bool) -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    trader.algo("SELL", floored(trader.mark() * D("0.95")), quantity=quantity, reduceOnly="true")
    assert (naked_spans(record, trader.now + SECOND) == []) == covers


def test_stop_of_the_wrong_side_covers_nothing() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    trader.algo("BUY", floored(trader.mark() * D("1.05")), quantity="0.02", reduceOnly="true")
    assert len(naked_spans(record, trader.now + SECOND)) == 1


def test_entry_beyond_the_limits_is_noticed() -> None:
    trader, record = trading()
    for n, quantity in enumerate(("0.05", "0.05", "0.15"), 1):
        trader.order("BUY", quantity, newClientOrderId=name(n))
    gross, of_symbol = within_budget(record, [], BOOK, WIDE)
    assert name(3) in gross
    assert name(3) in of_symbol
    assert within_budget(record, [], BOOK, Limits(D(5), D(5))) == []


def test_waiting_order_of_an_unknown_outcome_counts() -> None:
    trader, record = trading()
    trader.order("BUY", "0.05", newClientOrderId=name(2))
    lost = [intended("0.2"), (NOW, events.OrderUnknown(ref(), "timeout"))]
    (problem,) = within_budget(record, lost, BOOK, WIDE)
    assert name(2) in problem
    found = [*lost, (NOW, events.OrderRejected(ref(), RejectReason.NEVER_ARRIVED, ""))]
    assert within_budget(record, found, BOOK, WIDE) == []


@pytest.mark.parametrize(("cleared_after", "noticed"), [(-20, False), (900, False), (2_000, True)])
def test_late_entry_counts_once_its_report_can_be_known(cleared_after: int, noticed: bool) -> None:
    trader, record = trading()
    trader.order("BUY", "0.1", newClientOrderId=name(1))
    arrived = trader.now
    trader.later(3 * SECOND).order("BUY", "0.1", newClientOrderId=name(2))
    absent = (NOW - SECOND, events.OrderRejected(ref(), RejectReason.NEVER_ARRIVED, ""))
    journal = [intended("0.1", NOW - 2 * SECOND), absent, intended("0.1", arrived + cleared_after, ref(2))]
    problems = within_budget(record, journal, BOOK, WIDE, report_ms=SECOND)
    assert [name(2) in each for each in problems] == [True] * noticed


def test_late_entry_against_the_position_excuses_nothing() -> None:
    trader, record = trading()
    trader.order("SELL", "0.1", newClientOrderId=name(3))
    trader.later(SECOND).order("BUY", "0.05", newClientOrderId=name(1))
    arrived = trader.now
    trader.order("SELL", "0.08", newClientOrderId=name(2))
    absent = (NOW - SECOND, events.OrderRejected(ref(), RejectReason.NEVER_ARRIVED, ""))
    journal = [intended("0.05", NOW - 2 * SECOND), absent, intended("0.08", arrived - 20, ref(2))]
    (problem,) = within_budget(record, journal, BOOK, WIDE, report_ms=SECOND)
    assert name(2) in problem


def test_open_entries_count_with_their_limits() -> None:
    trader, record = trading()
    price = floored(trader.mark() * D("0.97"))
    for n in range(1, 6):
        trader.order("BUY", "0.06", price, newClientOrderId=name(n))
    assert [name(5) in problem for problem in within_budget(record, [], BOOK, Limits(D(2), D(9)))] == [True]


def test_journal_with_each_trade_once_equals_the_books() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    trader.later(SECOND).order("SELL", "0.02")
    journal = booked(record)
    start = NOW - SECOND
    assert same_books(record, journal, start) == []
    (missing,) = same_books(record, journal[:-1], start)
    assert "is missing in the journal" in missing
    (twice,) = same_books(record, [*journal, journal[0]], start)
    assert "2 times, at the venue 1 times" in twice


def test_journal_with_each_transfer_once_equals_the_books() -> None:
    trader, record = trading()
    trader.account.advance(NOW)
    trader.account.transfer(D(-100), NOW)
    row = record.changes[-1]
    (missing,) = same_books(record, [], NOW)
    assert "transfer" in missing
    event = events.TransferBooked(row.transaction, D(-100), NOW)
    assert same_books(record, [(NOW, event)], NOW) == []
    assert len(same_books(record, [(NOW, event), (NOW, event)], NOW)) == 1


def transfer(amount: int, name: str, at: int = NOW) -> tuple[int, events.JournalEvent]:
    return at, events.TransferBooked(name, D(amount), at)


def test_transfers_without_an_id_are_compared_by_their_sum_until_a_time() -> None:
    trader, record = trading()
    trader.account.advance(NOW)
    for amount in (-100, 30):
        trader.account.transfer(D(amount), NOW)
    begin = transfer(10_000, "found-0", NOW - 1)
    (missing,) = same_books(record, [begin], NOW, nameless_until=NOW)
    assert missing == "the journal has transfers of 0 in all, expected -70.00000000"
    assert same_books(record, [begin], NOW, nameless_until=NOW - 1) == []
    for until in (NOW - 1, NOW):
        assert same_books(record, [begin, transfer(-70, "found-1")], NOW, nameless_until=until) == []
        each = [begin, transfer(-100, "USDT-1"), transfer(30, "found-1")]
        assert same_books(record, each, NOW, nameless_until=until) == []
        (twice, total) = same_books(record, [*each, transfer(-100, "USDT-2")], NOW, nameless_until=until)
        assert "a transfer of -100 at" in twice
        assert "transfers of -170 in all" in total


def test_funding_that_is_booked_twice_is_noticed() -> None:
    trader, record = trading()
    trader.order("BUY", "0.02")
    trader.algo("SELL", floored(trader.mark() * D("0.5")))
    trader.later(8 * 3_600 * SECOND)
    trader.account.advance(trader.now)
    (paid,) = (each for each in record.changes if each.kind == "FUNDING_FEE")
    event = events.FundingBooked("BTCUSDT", paid.amount, D(0), D(0), D(0), paid.at, False)
    journal: Journal = [*booked(record), (paid.at, event)]
    assert same_books(record, journal, NOW) == []
    assert len(same_books(record, [*journal, journal[-1]], NOW)) == 1
    assert len(same_books(record, journal[:-1], NOW)) == 1


def test_spot_position_is_covered_by_its_stop() -> None:
    trader = SpotTrader()
    record = recorded(trader.faulty.exchange)
    trader.order("BUY", "0.02")
    assert [each.symbol for each in naked_spans(record, trader.now + SECOND)] == ["BTCUSDT"]
    stop = floored(trader.last() * D("0.95"))
    trader.later(SECOND).order("SELL", "0.019", type="STOP_LOSS", stopPrice=stop)
    (naked,) = naked_spans(record, trader.now + 9 * SECOND)
    assert naked.lasted == SECOND
    assert record.standings[-1].position == D("0.01998")
    (arrival, _) = record.arrivals
    assert isinstance(arrival, Arrival)
    assert arrival.equity == 10_000
    assert record.trades[0].symbol == "BTCUSDT"
    assert trader.faulty.exchange.market.product is Product.SPOT


def test_time_in_which_the_process_was_down_does_not_count() -> None:
    assert time_without(10, 110, [(0, 20), (50, 60), (100, 200), (300, 400)]) == 70


def test_time_without_sight_is_counted_once_where_spans_overlap() -> None:
    assert joined([(50, 60), (0, 10), (5, 20), (20, 25)]) == [(0, 25), (50, 60)]
    assert time_without(0, 100, joined([(0, 20), (10, 30)])) == 70


def test_what_happened_before_a_ban_at_the_end_is_not_settled() -> None:
    assert settled_at(100, 30, []) == 70
    assert settled_at(100, 30, [(40, 90)]) == 20
    assert settled_at(100, 30, [(0, 15), (40, 90)]) == 20


@pytest.mark.parametrize("product", list(Product))
def test_refusals_count_until_the_time_that_the_exchange_names(product: Product) -> None:
    faults = [{"kind": "ban", "at": "10s", "for": "100s"}, {"kind": "error", "at": "200s", "for": "60s"}]
    exchange = FaultyExchange(Exchange(random_market(1, product, 2)), NOW, [parse_fault(each) for each in faults])
    refusals = Refusals(exchange)
    path = "/fapi/v1/time" if product is Product.UM else "/api/v3/time"
    for second in (5, 20, 150, 205, 220, 250, 300):
        exchange.handle(Request("GET", path), NOW + second * SECOND)
    ban, outage = joined(refusals.spans)
    assert ban == (NOW + 20 * SECOND, NOW + 110 * SECOND)
    assert outage == (NOW + 205 * SECOND, NOW + 250 * SECOND)
