"""What an event or a row of the account means for the book: pure functions from payloads to reports.

Fills come from trades only. The state of an order alone never makes a fill.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.adapters.venues.binance.fees import DOLLARS, FeeValues
from ocw_mcp.adapters.venues.binance.identities import CONDITIONAL, Identity, outside_cause
from ocw_mcp.adapters.venues.binance.rest_wire import AlgoRow, IncomeRow, OrderRow, TradeRow
from ocw_mcp.adapters.venues.binance.user_wire import AlgoEvent, OrderEvent
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    FundingPaid,
    OrderRef,
    OrderReport,
    OutsideFill,
    Rejected,
    RejectReason,
    Side,
    Transferred,
    Triggered,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)

TRADES: Final = frozenset({"TRADE", "CALCULATED"})
"""The executions that are trades; CALCULATED is that of a liquidation or of auto-deleveraging."""
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
"""The states of an order that can still trade."""
WAITING: Final = frozenset({"NEW", "TRIGGERING"})
"""The states of an algo order before the exchange has placed its order."""
_ENDED: Final = {
    "CANCELED": "it was cancelled",
    "EXPIRED": "what was left of it expired",
    "EXPIRED_IN_MATCH": "it would have traded with an order of the same account",
}
_REASONS: Final = {
    "balance": RejectReason.INSUFFICIENT_BALANCE,
    "reduce": RejectReason.REDUCE_ONLY,
    "margin is insufficient": RejectReason.INSUFFICIENT_MARGIN,
    "immediately": RejectReason.WOULD_TRIGGER_IMMEDIATELY,
    "notional": RejectReason.MIN_NOTIONAL,
    "maximum allowable position": RejectReason.POSITION_LIMIT,
}
"""By a part of the exchange's text, in lower case, why an order was rejected after it had been accepted."""
_TRADING: Final = frozenset({"REALIZED_PNL", "COMMISSION"})
"""The kinds of income that fills report already."""
_MOVES: Final = frozenset({"TRANSFER", "INTERNAL_TRANSFER", "CROSS_COLLATERAL_TRANSFER", "AUTO_EXCHANGE"})
"""The kinds of income that a move of money makes."""
_COSTS: Final = frozenset({"INSURANCE_CLEAR", "POSITION_LIMIT_INCREASE_FEE"})
"""The kinds of income that are costs of a position."""


class ImpossibleTrade(Exception):  # noqa: N818
    """A trade with an impossible quantity, price or fee: it is not booked, and the account has to be read."""


def trade_report(identity: Identity, trade: TradeRow, fees: FeeValues) -> Filled | OutsideFill:
    """Return the report of a trade. Raises ImpossibleTrade."""
    values = (trade.quantity, trade.price)
    if not all(each.is_finite() and each > ZERO for each in values) or not trade.fee.is_finite():
        text = f"{trade.quantity} at {trade.price}, fee {trade.fee}"
        raise ImpossibleTrade(f"trade {trade.id} of {trade.symbol} is {text}")
    base_fee = fees.base_fee(trade)
    value = trade.quantity * trade.price
    fee = base_fee * trade.price if base_fee else fees.value(trade.fee_asset, trade.fee, value)
    named = trade.fee_asset and trade.fee_asset not in DOLLARS
    charged = (base_fee, trade.fee_asset, trade.fee) if named else (base_fee, "", ZERO)
    number, what = str(trade.id), (trade.quantity, trade.price, fee, trade.at)
    if identity.ref is not None:
        return Filled(identity.ref, number, *what, trade.maker, *charged)
    side, cause = Side(trade.side.lower()), outside_cause(identity.client_id)
    return OutsideFill(number, trade.symbol, side, *what, cause, *charged)


def traded(order: OrderEvent) -> TradeRow | None:
    """Return the trade of an order event, or None if it has none."""
    if order.execution not in TRADES or not order.trade:
        return None
    return TradeRow(
        order.trade,
        order.id,
        order.symbol,
        order.side,
        order.price,
        order.traded,
        order.at,
        order.fee,
        order.fee_asset,
        order.maker,
    )


def order_reports(order: OrderEvent, ref: OrderRef) -> list[OrderReport]:
    """Return what an event that is no trade says about an order of this book."""
    match order.execution:
        case "NEW" if order.original_type in CONDITIONAL and order.type not in CONDITIONAL:
            return [Triggered(ref, str(order.id))]
        case "NEW":
            return [Accepted(ref, str(order.id))]
        case "CANCELED" | "EXPIRED":
            return [Canceled(ref, ended(order.status, order.reason), order.filled)]
        case "REJECTED":
            return [rejected(ref, order.reason)]
    return []


def algo_reports(algo: AlgoEvent | AlgoRow, ref: OrderRef, reason: str = "") -> list[OrderReport]:
    """Return what an event or a row says about an algo order of this book.

    An order that closes the position has no quantity of its own, so it ends with Canceled after its fills.
    """
    found: list[OrderReport] = []
    if actual_id(algo.order_id):
        found.append(Triggered(ref, algo.order_id))
    match algo.status:
        case "NEW":
            found.append(Accepted(ref, str(algo.id)))
        case "FINISHED" if algo.closes or (algo.executed is not None and algo.executed < algo.quantity):
            found.append(Canceled(ref, "it triggered, and what was left of it is over"))
        case "CANCELED":
            found.append(Canceled(ref, ended(algo.status, reason)))
        case "EXPIRED":
            text = "the position that it would have closed has ended" if algo.closes else "it expired"
            found.append(Canceled(ref, f"{text}: {reason}" if reason else text))
        case "REJECTED":
            found.append(rejected(ref, reason or "the order that it became when it triggered was refused"))
    return found


def row_reports(row: OrderRow, ref: OrderRef) -> list[OrderReport]:
    """Return what the state of an order of this book says, apart from its fills."""
    if row.status in OPEN:
        conditional = row.original_type in CONDITIONAL and row.type not in CONDITIONAL
        return [Triggered(ref, str(row.id)) if conditional else Accepted(ref, str(row.id))]
    if row.status == "REJECTED":
        return [rejected(ref, "")]
    return [Canceled(ref, ended(row.status, ""), row.executed)] if row.status in _ENDED else []


def rejected(ref: OrderRef, text: str) -> Rejected:
    """Return the rejection of an order that the exchange had accepted before."""
    lower = text.lower()
    reason = next((code for part, code in _REASONS.items() if part in lower), RejectReason.OTHER)
    return Rejected(ref, reason, text[:200] or "the exchange rejected it")


def actual_id(text: str) -> int | None:
    """Return the id of the order that an algo order became, or None before it triggers."""
    return int(text) if text.isascii() and text.isdigit() and text.strip("0") else None


def income_reports(row: IncomeRow) -> list[VenueReport]:
    """Return what an income record says beyond the fills.

    A liquidation's cost is booked like funding: it is a loss, and belongs to the symbol. All other income that no
    trade made counts as a transfer, so that a gift is not taken for a profit. Only dollars change the book's wallet.
    """
    if row.kind in _TRADING or row.asset not in DOLLARS or not row.amount.is_finite() or not row.amount:
        return []
    if row.kind == "FUNDING_FEE" or row.kind in _COSTS:
        # The record has neither rate, quantity nor mark price.
        funding = FundingPaid(row.symbol, row.amount, None, None, None, row.at, transaction_id=_income_id(row))
        if row.kind == "FUNDING_FEE":
            return [funding]
        text = f"the exchange booked {row.kind} of {row.amount} {row.asset} on {row.symbol}: counted like funding"
        return [VenueNotice(VenueNoticeKind.INCIDENT, text), funding]
    found: list[VenueReport] = [Transferred(_income_id(row), row.amount, row.at)]
    if row.kind not in _MOVES:
        text = f"the exchange booked {row.kind} of {row.amount} {row.asset}: counted as a transfer"
        found.insert(0, VenueNotice(VenueNoticeKind.INCIDENT, text))
    return found


def _income_id(row: IncomeRow) -> str:
    """Return the id of a record: the exchange's numbers are unique within a kind."""
    plain = row.kind in ("TRANSFER", "FUNDING_FEE")
    return str(row.transaction) if plain else f"{row.kind}-{row.transaction}"


def income_key(row: IncomeRow) -> tuple[str, int, str, Decimal]:
    """Return what tells a record from all others."""
    return row.kind, row.transaction, row.symbol, row.amount


def ended(status: str, reason: str) -> str:
    """Return why an order is over, as a clause."""
    text = _ENDED.get(status, status.lower())
    return f"{text}: {reason[:160]}" if reason else text
