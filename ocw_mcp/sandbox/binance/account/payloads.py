"""The answers about orders, trades, positions and balances, as the exchange writes them."""

from decimal import Decimal
from typing import Any

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.sandbox.binance.account.algo_orders import AlgoOrder
from ocw_mcp.sandbox.binance.account.orders import Fill, Order
from ocw_mcp.sandbox.binance.account.positions import Income, Position, amount
from ocw_mcp.sandbox.binance.account.prices import Prices, brackets, margin_asset
from ocw_mcp.sandbox.binance.account.state import State

Row = dict[str, Any]


def order_answer(order: Order, prices: Prices, *, accepted: bool = False) -> Row:
    """Return the answer to a request that places, changes or cancels an order.

    `accepted` shows the order as it was before its first fill. The answer has no average price, since July 2026.
    """
    executed = ZERO if accepted else order.executed
    done = prices.quantity_text(order.symbol, executed)
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": "NEW" if accepted else order.status,
        "clientOrderId": order.client_id,
        "price": prices.price_text(order.symbol, order.price),
        "origQty": prices.quantity_text(order.symbol, order.quantity),
        "executedQty": done,
        "cumQty": done,
        **_common(order, prices),
        "updateTime": order.created if accepted else order.updated,
    }


def order_row(order: Order, prices: Prices) -> Row:
    """Return an order as a query answers it."""
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": prices.price_text(order.symbol, order.price),
        "avgPrice": plain(round(order.average, 10)) if order.executed else "0.00",
        "origQty": prices.quantity_text(order.symbol, order.quantity),
        "executedQty": prices.quantity_text(order.symbol, order.executed),
        "cumQuote": prices.quote_text(order.symbol, order.value),
        **_common(order, prices),
        "time": order.created,
        "updateTime": order.updated,
    }


def _common(order: Order, prices: Prices) -> Row:
    return {
        "timeInForce": order.in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": prices.price_text(order.symbol, order.stop_price),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.original_type or order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": order.prevention,
        "goodTillDate": order.good_till,
    }


def algo_answer(algo: AlgoOrder, prices: Prices) -> Row:
    """Return the answer to a request that places an algo order."""
    return {
        **_algo(algo, prices),
        "icebergQuantity": None,
        "selfTradePreventionMode": algo.prevention,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.protected,
        "reduceOnly": algo.reduce_only,
        **(_trailing(algo, prices) if algo.callback else {"activatePrice": "", "callbackRate": ""}),
        "createTime": algo.created,
        "updateTime": algo.updated,
        "triggerTime": algo.triggered,
        "goodTillDate": 0,
    }


def algo_row(algo: AlgoOrder, prices: Prices) -> Row:
    """Return an algo order as a query answers it."""
    row = _algo(algo, prices) | {
        "actualOrderId": str(algo.order) if algo.order else "",
        "actualPrice": plain(round(algo.average, 10)) if algo.executed else "0.00000",
    }
    if algo.order:
        row |= {"actualQty": prices.quantity_text(algo.symbol, algo.executed), "actualType": algo.places}
    if algo.callback:
        row |= _trailing(algo, prices)
    return row | {
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": algo.prevention,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.protected,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.created,
        "updateTime": algo.updated,
        "triggerTime": algo.triggered,
        "goodTillDate": 0,
    }


def _trailing(algo: AlgoOrder, prices: Prices) -> Row:
    return {
        "activatePrice": prices.price_text(algo.symbol, algo.activation),
        "callbackRate": plain(algo.callback),
    }


def _algo(algo: AlgoOrder, prices: Prices) -> Row:
    return {
        "algoId": algo.id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": algo.in_force,
        "quantity": prices.quantity_text(algo.symbol, algo.quantity),
        "algoStatus": algo.status,
        "triggerPrice": prices.price_text(algo.symbol, algo.trigger),
        "price": prices.price_text(algo.symbol, algo.price),
    }


def trade_row(fill: Fill, prices: Prices) -> Row:
    """Return a trade of the account."""
    return {
        "symbol": fill.symbol,
        "id": fill.id,
        "orderId": fill.order,
        "side": fill.side,
        "price": prices.price_text(fill.symbol, fill.price),
        "qty": prices.quantity_text(fill.symbol, fill.quantity),
        "realizedPnl": f"{fill.realized:.8f}",
        "quoteQty": plain(fill.price * fill.quantity),
        "commission": f"{fill.fee:.8f}",
        "commissionAsset": margin_asset(fill.symbol),
        "time": fill.at,
        "positionSide": "BOTH",
        "buyer": fill.side == "BUY",
        "maker": fill.maker,
    }


def income_row(income: Income) -> Row:
    """Return an income record."""
    return {
        "symbol": income.symbol,
        "incomeType": income.kind,
        "income": f"{income.amount:.8f}",
        "asset": income.asset,
        "time": income.at,
        "info": income.info,
        "tranId": income.transaction,
        "tradeId": str(income.trade) if income.trade is not None else "",
    }


def bracket_row(symbol: str) -> Row:
    """Return the margin brackets of a symbol."""
    table, floor, rows = brackets(symbol), ZERO, []
    for number, (row, deduction) in enumerate(zip(table.rows, table.amounts, strict=True), 1):
        rows.append(
            {
                "bracket": number,
                "initialLeverage": row.max_leverage,
                "notionalCap": int(row.cap),
                "notionalFloor": int(floor),
                "maintMarginRatio": float(row.rate),
                "cum": float(deduction),
            }
        )
        floor = row.cap
    return {"symbol": symbol, "notionalCoef": 1.0, "brackets": rows}


def _text(value: Decimal) -> str:
    return f"{amount(value):.8f}"


def risk_row(state: State, position: Position, at: int) -> Row:
    """Return a position as `/fapi/v3/positionRisk` answers it."""
    symbol, mark = position.symbol, state.prices.mark(position.symbol, at)
    bids, asks = state.sides(symbol)
    own, orders = position.initial(mark), state.order_margin(symbol, at)
    profit = position.profit(mark)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": state.prices.quantity_text(symbol, position.quantity),
        "entryPrice": plain(round(position.entry, 10)) if position.quantity else "0.0",
        "breakEvenPrice": plain(round(position.break_even(), 10)) if position.quantity else "0.0",
        "markPrice": _text(mark),
        "unRealizedProfit": _text(profit),
        "liquidationPrice": plain(round(state.liquidation_price(position, at), 8)),
        "isolatedMargin": _text(position.wallet + profit if position.isolated else ZERO),
        "notional": plain(amount(position.notional(mark))),
        "marginAsset": margin_asset(symbol),
        "isolatedWallet": plain(position.wallet),
        "initialMargin": plain(amount(own + orders)),
        "maintMargin": plain(amount(position.maintenance(mark))),
        "positionInitialMargin": plain(amount(own)),
        "openOrderInitialMargin": plain(amount(orders)),
        "adl": 1 if position.quantity else 0,
        "bidNotional": plain(bids),
        "askNotional": plain(asks),
        "updateTime": position.updated,
    }


def balance_row(state: State, asset: str, at: int) -> Row:
    """Return a balance as `/fapi/v3/balance` answers it."""
    free = _text(state.available(asset, at))
    return {
        "accountAlias": "sBxS",
        "asset": asset,
        "balance": _text(state.wallet.balances.get(asset, ZERO)),
        "crossWalletBalance": _text(state.cross_wallet(asset)),
        "crossUnPnl": _text(state.cross_profit(asset, at)),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "marginAvailable": True,
        "updateTime": state.wallet.updated.get(asset, 0),
    }


def account_answer(state: State, at: int) -> Row:
    """Return the answer of `/fapi/v3/account`."""
    rows = [_asset_row(state, asset, at) for asset in state.assets()]
    names = {
        "totalInitialMargin": "initialMargin",
        "totalMaintMargin": "maintMargin",
        "totalWalletBalance": "walletBalance",
        "totalUnrealizedProfit": "unrealizedProfit",
        "totalMarginBalance": "marginBalance",
        "totalPositionInitialMargin": "positionInitialMargin",
        "totalOpenOrderInitialMargin": "openOrderInitialMargin",
        "totalCrossWalletBalance": "crossWalletBalance",
        "totalCrossUnPnl": "crossUnPnl",
        "availableBalance": "availableBalance",
        "maxWithdrawAmount": "maxWithdrawAmount",
    }
    usdt = next(row for row in rows if row["asset"] == "USDT")
    positions = []
    for position in state.positions.values():
        if position.quantity or state.open_of(position.symbol):
            risk = risk_row(state, position, at)
            kept = ("symbol", "positionSide", "positionAmt", "isolatedMargin", "notional", "isolatedWallet")
            row = {name: risk[name] for name in kept} | {"unrealizedProfit": risk["unRealizedProfit"]}
            row |= {name: risk[name] for name in ("initialMargin", "maintMargin", "updateTime")}
            positions.append(row)
    return {total: usdt[name] for total, name in names.items()} | {"assets": rows, "positions": positions}


def _asset_row(state: State, asset: str, at: int) -> Row:
    own = maintenance = orders = profit = ZERO
    for position in state.of_asset(asset):
        mark = state.prices.mark(position.symbol, at)
        own += position.initial(mark)
        maintenance += position.maintenance(mark)
        orders += state.order_margin(position.symbol, at)
        profit += position.profit(mark)
    balance, free = state.wallet.balances.get(asset, ZERO), _text(state.available(asset, at))
    return {
        "asset": asset,
        "walletBalance": _text(balance),
        "unrealizedProfit": _text(profit),
        "marginBalance": _text(balance + profit),
        "maintMargin": _text(maintenance),
        "initialMargin": _text(own + orders),
        "positionInitialMargin": _text(own),
        "openOrderInitialMargin": _text(orders),
        "crossWalletBalance": _text(state.cross_wallet(asset)),
        "crossUnPnl": _text(state.cross_profit(asset, at)),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "updateTime": state.wallet.updated.get(asset, 0),
    }
