"""Fills without an order of OCW are in the tables like any other, under their own leg."""

from decimal import Decimal

from sqlite_utils import Database
from sqlite_utils.db import Table

from ocw_mcp.adapters.store.database import payload_of
from ocw_mcp.adapters.store.projections import OUTSIDE, apply, register_functions, remake_tables
from ocw_mcp.adapters.store.views.trades import TradeSearch, search_trades
from ocw_mcp.domain import events
from ocw_mcp.domain.orders import OrderRef, Purpose

D = Decimal


def book(*happened: events.DomainEvent) -> Database:
    db = Database(memory=True)
    register_functions(db)
    remake_tables(db)
    rows = Table(db, "events")
    rows.create({"seq": int, "kind": str, "payload": str}, pk="seq")
    for seq, event in enumerate(happened, 1):
        rows.insert({"seq": seq, "kind": events.kind_of(event), "payload": payload_of(event)})
        apply(db, "book00", seq, seq * 1_000, event)
    return db


def test_trade_ended_by_liquidation_has_closed_by_outside() -> None:
    entry = events.OrderFilled(
        OrderRef(3, Purpose.ENTRY), "f1", "BTCUSDT", "buy", D(2), D(100), D("0.1"), 1_000, False, D(0), D(2)
    )
    taken = events.OutsideFilled("x1", "BTCUSDT", "sell", D(2), D(90), D(0), 2_000, "liquidation", D(-20), D(0))
    closed = events.PositionClosed("BTCUSDT", 1_000, D("-20.1"), D("0.1"))
    db = book(entry, taken, closed)
    assert [row["leg"] for row in db["fills"].rows] == ["e", OUTSIDE]
    (trade,) = search_trades(db, TradeSearch(), 10).trades
    assert (trade.closed_by, trade.order, trade.entry_price, trade.exit_price) == ("outside", 3, D(100), D(90))
    assert (trade.parts[1].reason, trade.parts[1].by, trade.parts[1].realised) == ("liquidation", "", D(-20))


def test_spot_trade_quantity_is_the_buy_less_its_base_fee() -> None:
    buys = events.OrderFilled(
        OrderRef(1, Purpose.ENTRY), "f1", "BTCUSDT", "buy", D(1), D(100), D("0.1"), 1_000, False, D(0), D("0.999"),
        D("0.001"),
    )  # fmt: skip
    sells = events.OrderFilled(
        OrderRef(1, Purpose.EXIT), "f2", "BTCUSDT", "sell", D("0.999"), D(110), D("0.1"), 2_000, False, D("9.99"), D(0)
    )
    db = book(buys, sells, events.PositionClosed("BTCUSDT", 1_000, D("9.79"), D("0.2")))
    (trade,) = search_trades(db, TradeSearch(), 10).trades
    assert (trade.quantity, trade.entry_price, trade.exit_price) == (D("0.999"), D(100), D(110))
