"""The events of the user data stream, as JSON texts. Times are in ms: `T` of what happened, `E` of the message."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.sandbox.binance.account.algo_orders import AlgoOrder
from ocw_mcp.sandbox.binance.account.orders import Fill, Order
from ocw_mcp.sandbox.binance.account.positions import Position, amount
from ocw_mcp.sandbox.binance.account.prices import Prices, margin_asset

LAG: Final = 4
"""The time (ms) from what happened to its message."""


class Event(msgspec.Struct, frozen=True):
    """A message of the user data stream."""

    at: int
    """When it is sent (ms)."""
    kind: str
    """Its name, such as `ORDER_TRADE_UPDATE`."""
    text: str
    key: str | None = None
    """The listen key of the only connections that get it; None if all get it."""


def event(kind: str, at: int, body: dict[str, Any], key: str | None = None) -> Event:
    """Return an event of something that happened at a time (ms)."""
    text = msgspec.json.encode({"e": kind, "T": at, "E": at + LAG} | body).decode()
    return Event(at + LAG, kind, text, key)


def order_update(order: Order, execution: str, at: int, prices: Prices, fill: Fill | None = None) -> Event:
    """Return ORDER_TRADE_UPDATE of an execution such as `NEW`, `TRADE` or `CANCELED`."""
    symbol = order.symbol

    def price(value: Decimal) -> str:
        return prices.price_text(symbol, value) if value else "0"

    def quantity(value: Decimal) -> str:
        return prices.quantity_text(symbol, value) if value else "0"

    values: dict[str, Any] = {
        "s": symbol,
        "c": order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.in_force,
        "q": quantity(order.quantity),
        "p": price(order.price),
        "ap": plain(round(order.average, 10)) if order.executed else "0",
        "sp": price(order.stop_price),
        "x": execution,
        "X": order.status,
        "i": order.id,
        "l": quantity(fill.quantity) if fill is not None else "0",
        "z": quantity(order.executed),
        "L": price(fill.price) if fill is not None else "0",
    }
    if fill is not None:
        values |= {"n": f"{fill.fee:.8f}", "N": margin_asset(symbol)}
    values |= {
        "T": at,
        "t": fill.id if fill is not None else 0,
        "b": "0",
        "a": "0",
        "m": fill is not None and fill.maker,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.original_type or order.type,
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": f"{fill.realized:.8f}" if fill is not None else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.prevention,
        "pm": "NONE",
        "gtd": order.good_till,
        "er": "0",
        "st": 1,
    }
    return event("ORDER_TRADE_UPDATE", at, {"o": values})


def trade_lite(order: Order, fill: Fill, prices: Prices) -> Event:
    """Return TRADE_LITE of a fill."""
    return event(
        "TRADE_LITE",
        fill.at,
        {
            "s": order.symbol,
            "q": prices.quantity_text(order.symbol, order.quantity),
            "p": prices.price_text(order.symbol, order.price) if order.price else "0",
            "m": fill.maker,
            "c": order.client_id,
            "S": order.side,
            "L": prices.price_text(order.symbol, fill.price),
            "l": prices.quantity_text(order.symbol, fill.quantity),
            "t": fill.id,
            "i": order.id,
        },
    )


class Balance(msgspec.Struct, frozen=True):
    """A balance after a change: of the wallet, of its part for cross margin, and by how much it changed otherwise."""

    asset: str
    wallet: Decimal
    cross: Decimal
    change: Decimal = ZERO
    """The change without profit and fees."""


def account_update(
    reason: str,
    at: int,
    balances: Iterable[Balance],
    positions: Iterable[tuple[Position, Decimal]] = (),
    symbol: str | None = None,
) -> Event:
    """Return ACCOUNT_UPDATE with balances, and with positions and their mark prices (quote)."""
    body: dict[str, Any] = {"m": reason}
    if symbol is not None:
        body["S"] = symbol
    body["B"] = [
        {"a": each.asset, "wb": f"{each.wallet:.8f}", "cw": f"{each.cross:.8f}", "bc": plain(each.change)}
        for each in balances
    ]
    body["P"] = [
        {
            "s": each.symbol,
            "pa": plain(each.quantity),
            "ep": plain(round(each.entry, 10)),
            "bep": plain(round(each.break_even(), 10)),
            "cr": plain(each.realized),
            "up": plain(amount(each.profit(mark))),
            "mt": each.margin_type,
            "iw": plain(each.wallet),
            "ps": "BOTH",
            "ma": margin_asset(each.symbol),
        }
        for each, mark in positions
    ]
    return event("ACCOUNT_UPDATE", at, {"a": body})


def leverage_update(symbol: str, leverage: int, at: int) -> Event:
    """Return ACCOUNT_CONFIG_UPDATE of a new leverage."""
    return event("ACCOUNT_CONFIG_UPDATE", at, {"ac": {"s": symbol, "l": leverage}})


def assets_update(multi: bool, at: int) -> Event:
    """Return ACCOUNT_CONFIG_UPDATE of a change of the multi-asset mode."""
    return event("ACCOUNT_CONFIG_UPDATE", at, {"ai": {"j": multi}})


def margin_call(at: int, cross: Decimal, position: Position, mark: Decimal) -> Event:
    """Return MARGIN_CALL of a position; `cross` is the cross wallet (quote)."""
    row = {
        "s": position.symbol,
        "ps": "BOTH",
        "pa": plain(position.quantity),
        "mt": "ISOLATED" if position.isolated else "CROSSED",
        "iw": plain(position.wallet),
        "mp": plain(mark),
        "up": plain(amount(position.profit(mark))),
        "mm": plain(amount(position.maintenance(mark))),
    }
    return event("MARGIN_CALL", at, ({} if position.isolated else {"cw": f"{cross:.8f}"}) | {"p": [row]})


def key_expired(key: str, at: int) -> Event:
    """Return listenKeyExpired."""
    text = msgspec.json.encode({"e": "listenKeyExpired", "E": str(at + LAG), "listenKey": key}).decode()
    return Event(at + LAG, "listenKeyExpired", text, key)


def algo_update(algo: AlgoOrder, at: int, prices: Prices) -> Event:
    """Return ALGO_UPDATE with the state of an algo order."""
    symbol = algo.symbol
    trigger, limit = (prices.price_text(symbol, each) if each else "0" for each in (algo.trigger, algo.price))
    values: dict[str, Any] = {
        "caid": algo.client_id,
        "aid": algo.id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": symbol,
        "S": algo.side,
        "ps": "BOTH",
        "f": algo.in_force,
        "q": prices.quantity_text(symbol, algo.quantity) if algo.quantity else "0",
        "X": algo.status,
        "ai": str(algo.order) if algo.order else "",
    }
    if algo.order:
        values |= {
            "ap": plain(round(algo.average, 10)),
            "aq": prices.quantity_text(symbol, algo.executed) if algo.executed else "0",
            "act": algo.places,
        }
    values |= {
        "tp": trigger,
        "p": limit,
        "V": algo.prevention,
        "wt": algo.working_type,
        "pm": "NONE",
        "cp": algo.close_position,
        "pP": algo.protected,
        "R": algo.reduce_only,
        "tt": algo.triggered,
        "gtd": 0,
    }
    if algo.callback:
        values |= {"AP": prices.price_text(symbol, algo.activation), "cr": plain(algo.callback), "ia": algo.active}
    if algo.reason:
        values["rm"] = algo.reason
    return event("ALGO_UPDATE", at, {"o": values})
