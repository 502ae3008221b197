"""The parts of a trade: who sent each order, for which reason, and what belongs to which trade."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.trades import TradeRow, find_trades
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CallerRequest, CloseRequest, DecisionKey, LegRequest, request_key
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from tests.adapters.store.books import STORY, open_book, tell

D = Decimal
SYMBOL = "BTCUSDT"
ENTRY, EXIT, SECOND = OrderRef(1, Purpose.ENTRY), OrderRef(1, Purpose.EXIT), OrderRef(1, Purpose.EXIT, 1)


def sent(ref: OrderRef, by: str = "guard", key: str = "", wake_id: int | None = None) -> events.OrderIntended:
    side = Side.BUY if ref.leg is Purpose.ENTRY else Side.SELL
    return events.OrderIntended(
        ref, OrderIntent(key, by, SYMBOL, side, OrderType.MARKET, ref.leg, D(1), wake_id=wake_id), "policy"
    )


def traded(ref: OrderRef, quantity: str, position: str, *, price: str = "100", realised: str = "0") -> DomainEvent:
    side = "buy" if ref.leg is Purpose.ENTRY else "sell"
    amounts = (D(quantity), D(price), D(0))
    return events.OrderFilled(ref, f"{ref}{position}", SYMBOL, side, *amounts, 5, False, D(realised), D(position))


def flat(pnl: str) -> events.PositionClosed:
    return events.PositionClosed(SYMBOL, 1, D(pnl), D(0))


def trades(directory: Path, *story: DomainEvent) -> list[TradeRow]:
    with closing(open_book(directory)) as store:
        tell(store, story)
    return ask_book(directory, lambda db, book: find_trades(db, 10)).trades


def leg(action: Action, thesis: str) -> Leg:
    return Leg(SYMBOL, action, reasoning=thesis)


def decided(wake_id: int, *legs: Leg, by: str = "claude") -> events.DecisionMade:
    return events.DecisionMade(wake_id, by, 0, Decision(legs))


OPENED: tuple[DomainEvent, ...] = (sent(ENTRY, "ana", "x"), traded(ENTRY, "2", "2"))


def test_fills_of_one_order_are_one_part(tmp_path: Path) -> None:
    (trade,) = trades(
        tmp_path,
        sent(ENTRY), traded(ENTRY, "1", "1", price="100"), traded(ENTRY, "3", "4", price="104"),
        sent(EXIT), traded(EXIT, "4", "0", price="110", realised="28"), flat("28"),
    )  # fmt: skip
    entry, sold = trade.parts
    assert (entry.quantity, entry.price, entry.share, entry.realised) == (D(4), D(103), D(1), D(0))
    assert (sold.quantity, sold.price, sold.share, sold.realised) == (D(4), D(110), D(1), D(28))
    assert not trade.in_parts


@pytest.mark.parametrize(
    ("turn", "expected"), [("", "first"), ("again", "corrected"), ("rules", "by the rules")], ids=str
)
def test_part_has_the_thesis_of_the_decision_that_sent_it(tmp_path: Path, turn: str, expected: str) -> None:
    key = str(DecisionKey(7, turn).leg(1))  # type: ignore[arg-type]
    other = leg(Action.HOLD, "another leg")
    (trade,) = trades(
        tmp_path, *OPENED,
        decided(7, other, leg(Action.SELL, "first")),
        events.DecisionCorrected(7, "claude", Decision((other, leg(Action.SELL, "corrected")))),
        decided(7, other, leg(Action.SELL, "by the rules"), by="rules"),
        sent(EXIT, "claude", key, 7), traded(EXIT, "2", "0", realised="3"), flat("3"),
    )  # fmt: skip
    sold = trade.parts[-1]
    assert (sold.reason, sold.by, sold.wake_id, sold.thesis) == ("SELL", "claude", 7, expected)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (LegRequest("k", "mcp:desk", Leg(SYMBOL, "REDUCE", share="0.5", reasoning="enough")), "REDUCE"),
        (CloseRequest("k", "mcp:desk", SYMBOL, "enough"), "close"),
    ],
    ids=["reduce", "close"],
)
def test_part_that_a_client_requested_has_its_reason(tmp_path: Path, asked: CallerRequest, reason: str) -> None:
    (trade,) = trades(
        tmp_path, *OPENED,
        events.CallerAsked(asked, 1), sent(EXIT, "mcp:desk", str(request_key(asked))),
        traded(EXIT, "2", "0", realised="3"), flat("3"),
    )  # fmt: skip
    sold = trade.parts[-1]
    assert (sold.reason, sold.by, sold.wake_id, sold.thesis) == (reason, "mcp:desk", None, "enough")


def test_parts_name_the_exit_rule_the_stop_and_the_operator(tmp_path: Path) -> None:
    rule = events.ExitDecided(SYMBOL, "max_hold", "it was open for a day")
    stop = OrderRef(1, Purpose.STOP)
    (trade,) = trades(
        tmp_path, *OPENED,
        sent(stop), traded(stop, "0.5", "1.5", realised="1"),
        sent(EXIT, "ben"), traded(EXIT, "0.5", "1", realised="1"),
        rule, sent(SECOND), traded(SECOND, "1", "0", realised="2"), flat("4"),
    )  # fmt: skip
    assert [(each.reason, each.by) for each in trade.parts[1:]] == [
        ("stop", "guard"), ("flatten", "ben"), ("max_hold", "guard"),
    ]  # fmt: skip
    assert trade.parts[-1].thesis == "it was open for a day"
    assert [each.share for each in trade.parts[1:]] == [D("0.25"), D("0.25"), D("0.5")]
    assert sum(each.realised for each in trade.parts) == trade.pnl


def test_fill_that_reverses_a_position_is_part_of_both_trades(tmp_path: Path) -> None:
    first, second = trades(
        tmp_path, *OPENED,
        sent(EXIT, "ben"), traded(EXIT, "5", "-3", price="110", realised="20"), flat("20"),
        sent(OrderRef(2, Purpose.ENTRY)), traded(OrderRef(2, Purpose.ENTRY), "3", "0", price="105", realised="15"),
        flat("15"),
    )  # fmt: skip
    assert [(each.kind, each.quantity, each.realised) for each in first.parts] == [
        ("entry", D(2), D(0)),
        ("exit", D(2), D(20)),
    ]
    assert [(each.kind, each.quantity, each.realised) for each in second.parts] == [
        ("entry", D(3), D(0)),
        ("exit", D(3), D(15)),
    ]
    assert (first.side, second.side) == ("long", "short")


def test_book_without_requests_and_decisions_still_has_parts(tmp_path: Path) -> None:
    (trade,) = trades(tmp_path, *(each for each in STORY if not isinstance(each, events.DecisionMade)))
    assert (trade.parts[0].reason, trade.parts[0].by, trade.parts[0].thesis) == ("entry", "rules", "")
