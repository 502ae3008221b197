"""The answers and the events of the account on spot, as the exchange writes them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.sandbox.binance.account.events import LAG, Event
from ocw_mcp.sandbox.binance.spot.orders import OrderList, SpotFill, SpotOrder

Row = dict[str, Any]


def text(value: Decimal) -> str:
    """Return a number with eight decimals."""
    return f"{value:.8f}"


def _core(order: SpotOrder) -> Row:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "price": text(order.price),
        "origQty": text(order.quantity),
        "executedQty": text(order.executed),
        "cummulativeQuoteQty": text(order.value),
        "origQuoteOrderQty": text(order.amount),
        "status": order.status,
        "timeInForce": order.in_force,
        "type": order.type,
        "side": order.side,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def order_row(order: SpotOrder) -> Row:
    """Return an order as a query answers it."""
    return _core(order) | {
        "stopPrice": text(order.stop),
        "icebergQty": "0.00000000",
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": order.working_since >= 0,
        "workingTime": order.working_since,
    }


def accepted(order: SpotOrder) -> Row:
    """Return the shortest answer to a new order."""
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": order.created,
    }


def placed(order: SpotOrder) -> Row:
    """Return the answer to a new order with its state."""
    row = _core(order) | {"transactTime": order.updated, "workingTime": order.working_since}
    return row | {"stopPrice": text(order.stop)} if order.stop else row


def fills_of(fills: Iterable[SpotFill]) -> list[Row]:
    """Return the fills of the answer to a new order."""
    return [
        {
            "price": text(each.price),
            "qty": text(each.quantity),
            "commission": text(each.fee),
            "commissionAsset": each.fee_asset,
            "tradeId": each.id,
        }
        for each in fills
    ]


def cancelled(order: SpotOrder, name: str) -> Row:
    """Return the answer to a cancel, whose client's id is `name`."""
    row = _core(order) | {"origClientOrderId": order.client_id, "clientOrderId": name, "transactTime": order.updated}
    return row | {"stopPrice": text(order.stop)} if order.stop else row


def trade_row(fill: SpotFill) -> Row:
    """Return a trade of the account."""
    return {
        "symbol": fill.order.symbol,
        "id": fill.id,
        "orderId": fill.order.id,
        "orderListId": fill.order.list_id,
        "price": text(fill.price),
        "qty": text(fill.quantity),
        "quoteQty": text(fill.price * fill.quantity),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at,
        "isBuyer": fill.order.is_buy,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def list_row(found: OrderList, at: int | None = None) -> Row:
    """Return an order list; `at` (ms) is the time of its last change."""
    return {
        "orderListId": found.id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if found.done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if found.done else "EXECUTING",
        "listClientOrderId": found.client_id,
        "transactionTime": found.created if at is None else at,
        "symbol": found.symbol,
        "orders": [
            {"symbol": each.symbol, "orderId": each.id, "clientOrderId": each.client_id} for each in found.orders
        ],
    }


def _event(kind: str, at: int, body: Row) -> Event:
    return Event(at + LAG, kind, msgspec.json.encode({"e": kind, "E": at + LAG} | body).decode())


def execution(
    order: SpotOrder, kind: str, at: int, fill: SpotFill | None = None, cancel: str = "", reason: str = "NONE"
) -> Event:
    """Return executionReport of `NEW`, `TRADE`, `CANCELED` or `EXPIRED`; `cancel` is the client's id of a cancel."""
    zero = text(Decimal(0))
    body = {
        "s": order.symbol,
        "c": cancel or order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.in_force,
        "q": text(order.quantity),
        "p": text(order.price),
        "P": text(order.stop),
        "F": zero,
        "g": order.list_id,
        "C": order.client_id if cancel else "",
        "x": kind,
        "X": order.status,
        "r": reason,
        "i": order.id,
        "l": text(fill.quantity) if fill is not None else zero,
        "z": text(order.executed),
        "L": text(fill.price) if fill is not None else zero,
        "n": text(fill.fee) if fill is not None else "0",
        "N": fill.fee_asset if fill is not None else None,
        "T": at,
        "t": fill.id if fill is not None else -1,
        "w": order.is_open and order.working_since >= 0,
        "m": fill is not None and fill.maker,
        "O": order.created,
        "Z": text(order.value),
        "Y": text(fill.price * fill.quantity) if fill is not None else zero,
        "Q": text(order.amount),
        "V": "EXPIRE_MAKER",
    }
    return _event("executionReport", at, body | ({"W": order.working_since} if order.working_since >= 0 else {}))


def account_position(at: int, balances: Iterable[tuple[str, Decimal, Decimal]]) -> Event:
    """Return outboundAccountPosition of assets with their free and locked amounts."""
    rows = [{"a": asset, "f": text(free), "l": text(locked)} for asset, free, locked in balances]
    return _event("outboundAccountPosition", at, {"u": at, "B": rows})


def balance_update(at: int, asset: str, change: Decimal) -> Event:
    """Return balanceUpdate of a deposit, a withdrawal or a transfer."""
    return _event("balanceUpdate", at, {"a": asset, "d": text(change), "T": at})


def list_status(found: OrderList, at: int) -> Event:
    """Return listStatus of an order list."""
    row = list_row(found)
    orders = [{"s": each.symbol, "i": each.id, "c": each.client_id} for each in found.orders]
    body = {"s": found.symbol, "g": found.id, "c": "OCO", "l": row["listStatusType"], "L": row["listOrderStatus"]}
    return _event("listStatus", at, body | {"r": "NONE", "C": found.client_id, "T": at, "O": orders})
