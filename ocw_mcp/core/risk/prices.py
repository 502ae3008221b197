"""An entry with the prices that limits use: the worst price of a fill, and the price at which it should begin."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderType, Side


def sane_limit(limit: Decimal | None) -> bool:
    """Return whether a limit is a price."""
    return limit is not None and limit.is_finite() and limit > ZERO


def rounded_limit(intent: OrderIntent, instrument: Instrument) -> Decimal | None:
    """Return an intent's limit on the tick, never worse than the intent's; None for any other order.

    A limit that is not a price is returned as 0.
    """
    if intent.type is not OrderType.LIMIT:
        return None
    limit = intent.limit_price
    if limit is None or not sane_limit(limit):
        return ZERO
    return (floor_to if intent.side is Side.BUY else ceil_to)(limit, instrument.tick)


def worst_fill(side: Side, limit: Decimal | None, price: Decimal, allowance: Decimal) -> Decimal:
    """Return the price (quote) at which an entry is sized, checked and reserved: the price that makes it largest.

    At the market that is the last price and the allowance of the policy. A buy never pays more than its limit. A short
    never sells for less than its limit, but may fill at a better price and then owes more: it keeps the allowance, on
    top of its limit or the last price, whichever is higher.
    """
    if limit is None:
        return price * (ONE + allowance)
    return limit if side is Side.BUY else max(limit, price) * (ONE + allowance)


def expected_fill(side: Side, limit: Decimal | None, price: Decimal) -> Decimal:
    """Return the price (quote) at which an entry should begin: its limit, or the last price if that is better."""
    if limit is None:
        return price
    return min(limit, price) if side is Side.BUY else max(limit, price)


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """An entry as a limit checks it: the order as the venue would take it, with its prices, worked out once.

    Prices and notional in quote currency, the quantity in the base asset.
    """

    intent: OrderIntent
    """With its limit, if it has one, on the tick."""
    quantity: Decimal
    """Rounded down to the step."""
    worst: Decimal
    """The price at which it is checked and its budget reserved: `dearest` under the highest of all allowances."""
    notional: Decimal
    """The quantity at the worst price."""
    begins: Decimal
    """The price at which it is expected to begin: the stop is measured from it."""
    dearest: Decimal
    """The price that makes it largest under this allowance."""
    adverse: Decimal
    """The price that is worst for the trader: the limit, or the last price and the allowance against the trader.

    For a short that is a low price, though a high one makes it larger.
    """


def propose(intent: OrderIntent, account: AccountView, allowance: Decimal, highest: Decimal | None = None) -> Proposal:
    """Return an entry with its prices under one price allowance.

    `highest` is the highest allowance of all policies that the entry is held to, if there are several.
    """
    intent, price, side = on_tick(intent, account.instrument), account.price, intent.side
    limit = limit_of(intent)
    dearest = worst_fill(side, limit, price, allowance)
    worst = dearest if highest is None else worst_fill(side, limit, price, highest)
    quantity = floor_to(intent.quantity, account.instrument.step) if intent.quantity else ZERO
    adverse = price * (ONE + side.sign * allowance) if limit is None else limit
    return Proposal(intent, quantity, worst, quantity * worst, expected_fill(side, limit, price), dearest, adverse)


def on_tick(intent: OrderIntent, instrument: Instrument) -> OrderIntent:
    """Return the intent with its limit, if it has one, as the venue would take it."""
    limit = rounded_limit(intent, instrument)
    return intent if limit in (None, intent.limit_price) else msgspec.structs.replace(intent, limit_price=limit)


def market_bound(entry: Proposal, tick: Decimal) -> Decimal | None:
    """Return the limit (quote) of an entry at the market, which is sent as immediate or cancel; None for any other.

    It is the adverse price on the tick, and never worse than the price that sized the entry.
    """
    if entry.intent.type is not OrderType.MARKET or entry.intent.purpose.reduces:
        return None
    return (floor_to if entry.intent.side is Side.BUY else ceil_to)(entry.adverse, tick)


def smallest_at(intent: OrderIntent, account: AccountView, gap: Decimal) -> Decimal:
    """Return the price (quote) at which an entry has to reach the venue's smallest notional.

    On spot a sale has a smallest notional, too: a purchase has to be large enough to be sold at its stop and a gap
    beyond it.
    """
    price, stop = limit_of(intent) or account.price, intent.protect_at
    if account.product is Product.SPOT and stop is not None and stop.is_finite():
        return min(price, stop * (ONE - gap))
    return price


def smallest(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the smallest quantity (base asset) of an order at a price (quote)."""
    return max(instrument.min_quantity, ceil_to(instrument.min_notional / price, instrument.step))


def limit_of(intent: OrderIntent) -> Decimal | None:
    """Return the limit of a limit order; None for any other order."""
    return intent.limit_price if intent.type is OrderType.LIMIT else None
