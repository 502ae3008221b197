"""The prices at which limits check an entry: the worst fill price, and the price at which fills should begin."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderType, Side


def sane_limit(limit: Decimal | None) -> bool:
    """Return whether a limit price is finite and above 0."""
    return limit is not None and limit.is_finite() and limit > ZERO


def rounded_limit(intent: OrderIntent, instrument: Instrument) -> Decimal | None:
    """Return a limit order's price, rounded to the tick in its favour; 0 if it is invalid, None for other orders."""
    if intent.type is not OrderType.LIMIT:
        return None
    limit = intent.limit_price
    if limit is None or not sane_limit(limit):
        return ZERO
    return (floor_to if intent.side is Side.BUY else ceil_to)(limit, instrument.tick)


def worst_fill(side: Side, limit: Decimal | None, price: Decimal, allowance: Decimal) -> Decimal:
    """Return the price (quote) at which an entry is sized, checked and reserved: the price that makes it largest.

    The price of a market entry is the last price plus the price allowance. A buy never pays more than its limit price.
    A short may sell above its limit price: the allowance is added to the higher one of limit price and last price.
    """
    if limit is None:
        return price * (ONE + allowance)
    return limit if side is Side.BUY else max(limit, price) * (ONE + allowance)


def expected_fill(side: Side, limit: Decimal | None, price: Decimal) -> Decimal:
    """Return the price (quote) at which an entry should begin to fill: its limit price, or the last price if better."""
    if limit is None:
        return price
    return min(limit, price) if side is Side.BUY else max(limit, price)


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An entry with the prices at which the limits check it. Prices and notional in quote currency."""

    intent: OrderIntent
    """The intent; its limit price, if any, is rounded to the tick."""
    quantity: Decimal
    """The quantity (base asset), rounded down to the step."""
    worst: Decimal
    """The price of the checks and of the reserved budget: `worst_fill` with the highest price allowance."""
    notional: Decimal
    begins: Decimal
    """The result of `expected_fill`, from which the distance of the stop is measured."""
    dearest: Decimal
    """The result of `worst_fill` with the price allowance of one policy."""
    adverse: Decimal
    """The fill price that loses most: the limit price, or the last price with the allowance against the entry."""


def propose(intent: OrderIntent, account: AccountView, allowance: Decimal, highest: Decimal | None = None) -> Proposal:
    """Return an entry with its prices, given one policy's price `allowance` and the `highest` of all policies."""
    price, side, limit = account.price, intent.side, rounded_limit(intent, account.instrument)
    if limit not in (None, intent.limit_price):
        intent = msgspec.structs.replace(intent, limit_price=limit)
    dearest = worst_fill(side, limit, price, allowance)
    worst = dearest if highest is None else worst_fill(side, limit, price, highest)
    quantity = floor_to(intent.quantity, account.instrument.step) if intent.quantity else ZERO
    adverse = price * (ONE + side.sign * allowance) if limit is None else limit
    return Proposal(intent, quantity, worst, quantity * worst, expected_fill(side, limit, price), dearest, adverse)


def market_bound(entry: Proposal, tick: Decimal) -> Decimal | None:
    """Return the limit price (quote) of a market entry, sent as immediate-or-cancel; None for other orders."""
    if entry.intent.type is not OrderType.MARKET or entry.intent.purpose.reduces:
        return None
    return (floor_to if entry.intent.side is Side.BUY else ceil_to)(entry.adverse, tick)


def smallest_at(intent: OrderIntent, account: AccountView, gap: Decimal) -> Decimal:
    """Return the price (quote) at which an entry has to reach the venue's smallest notional.

    A spot purchase has to reach the smallest notional even at its stop less the gap allowance, to be sold there.
    """
    price, stop = limit_of(intent) or account.price, intent.protect_at
    if account.product is Product.SPOT and stop is not None and stop.is_finite():
        return min(price, stop * (ONE - gap))
    return price


def smallest(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the smallest quantity (base asset) of an order at a price (quote)."""
    return max(instrument.min_quantity, ceil_to(instrument.min_notional / price, instrument.step))


def limit_of(intent: OrderIntent) -> Decimal | None:
    """Return the price of a limit order; None for any other order."""
    return intent.limit_price if intent.type is OrderType.LIMIT else None
