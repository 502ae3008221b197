"""The exit reason of a trade in a report, and the order that closed it in the list of trades."""

from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.trades import find_trades
from ocw_mcp.domain import events
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from tests.adapters.store.books import filled, intended, open_book, tell

D = Decimal
EARLIER_RULE = events.ExitDecided("BTCUSDT", "trail", "it decided on the trade before this one")
RULE = events.ExitDecided("BTCUSDT", "max_hold", "the position is older than a day")


def closed(leg: Purpose, principal: str, *, maker: bool = False) -> list[DomainEvent]:
    """Return the order that closes the position of `trade`, and its fill."""
    ref = OrderRef(9, leg)
    intent = OrderIntent("", principal, "BTCUSDT", Side.SELL, OrderType.MARKET, leg, D("0.01"))
    fill = events.OrderFilled(ref, "x", "BTCUSDT", "sell", D("0.01"), D(60_100), D(0), 9, maker, D(1), D(0))
    return [events.OrderIntended(ref, intent, "policy"), fill]


TAKEN = events.OutsideFilled("x", "BTCUSDT", "sell", D("0.01"), D(60_100), D(0), 9, "liquidation", D(1), D(0))


@pytest.mark.parametrize(
    ("ends", "kind", "reason"),
    [
        (closed(Purpose.STOP, "guard"), "stop", "stop"),
        (closed(Purpose.TARGET, "guard"), "target", "target"),
        (closed(Purpose.STOP, "guard", maker=True), "target", "target"),
        ([RULE, *closed(Purpose.EXIT, "guard")], "exit", "max_hold"),
        ([RULE, *closed(Purpose.EXIT, "guard", maker=True)], "exit", "max_hold"),
        (closed(Purpose.EXIT, "guard"), "exit", "guard"),
        ([RULE, TAKEN], "outside", "outside"),
        ([RULE, *closed(Purpose.EXIT, "rules")], "exit", "rules"),
        (closed(Purpose.ENTRY, "ana"), "entry", "ana"),
    ],
    ids=["stop", "target", "spot OCO target", "rule", "rule, as maker", "no rule", "outside", "strategy", "entry"],
)
def test_second_trade_gets_its_own_exit_reason_not_the_first_one(
    tmp_path: Path, ends: list[DomainEvent], kind: str, reason: str
) -> None:
    """Two equal trades: the rule that closed the first one must not explain the second."""
    entry: list[DomainEvent] = [intended(quantity="0.010"), filled()]
    flat = events.PositionClosed("BTCUSDT", 5, D(1), D(0))
    store = open_book(tmp_path)
    tell(store, (*entry, EARLIER_RULE, *closed(Purpose.STOP, "guard"), flat, *entry, *ends, flat))
    assert [trade.exit_reason for trade in store.figures().trades] == ["stop", reason]
    store.close()
    trades = ask_book(tmp_path, lambda db, book: find_trades(db, 10)).trades
    assert [trade.closed_by for trade in trades] == ["stop", kind]
