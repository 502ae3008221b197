"""The prices that an entry is held against: what it may cost at worst, and where it is expected to begin."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderType, Side


def sane_limit(limit: Decimal | None) -> bool:
    """Whether a limit is a price."""
    return limit is not None and limit.is_finite() and limit > ZERO


def rounded_limit(intent: OrderIntent, instrument: Instrument) -> Decimal | None:
    """An intent's limit on the tick, never worse than it was meant; None for any other order.

    A limit that is no price comes back as 0.
    """
    if intent.type is not OrderType.LIMIT:
        return None
    limit = intent.limit_price
    if limit is None or not sane_limit(limit):
        return ZERO
    return (floor_to if intent.side is Side.BUY else ceil_to)(limit, instrument.tick)


def worst_fill(side: Side, limit: Decimal | None, price: Decimal, allowance: Decimal) -> Decimal:
    """The price (quote) at which an entry is sized, checked and reserved: the one that makes it largest.

    At the market that is the last price and the allowance of the policy. A buy never pays more than its limit. A short
    never sells for less than its limit, but may find a better price, and then owes more: it keeps the allowance, on
    top of whichever is higher.
    """
    if limit is None:
        return price * (ONE + allowance)
    return limit if side is Side.BUY else max(limit, price) * (ONE + allowance)


def expected_fill(side: Side, limit: Decimal | None, price: Decimal) -> Decimal:
    """The price (quote) at which an entry is expected to begin: where it waits, or the last one if it need not wait."""
    if limit is None:
        return price
    return min(limit, price) if side is Side.BUY else max(limit, price)


def beginning(intent: OrderIntent, price: Decimal) -> Decimal:
    """The price (quote) at which an entry is expected to begin: what its stop is held against.

    As for the two below, its limit is taken as it stands, on the tick or not.
    """
    return expected_fill(intent.side, limit_of(intent), price)


def dearest(intent: OrderIntent, price: Decimal, allowance: Decimal) -> Decimal:
    """The price (quote) that makes an entry largest."""
    return worst_fill(intent.side, limit_of(intent), price, allowance)


def adverse(intent: OrderIntent, price: Decimal, allowance: Decimal) -> Decimal:
    """The price (quote) that is worst for whoever enters: its limit, or the last price and the allowance against it.

    For a short that is a low price, though a high one makes it larger.
    """
    limit = limit_of(intent)
    return price * (ONE + intent.side.sign * allowance) if limit is None else limit


def market_bound(intent: OrderIntent, account: AccountView, allowance: Decimal) -> Decimal | None:
    """Return the limit (quote) under which an entry at the market is sent: immediate or cancel; None for any other.

    It is the adverse price of the allowance on the tick, and never worse than the price that sized the entry.
    """
    if intent.type is not OrderType.MARKET or intent.purpose.reduces:
        return None
    bound = adverse(intent, account.price, allowance)
    return (floor_to if intent.side is Side.BUY else ceil_to)(bound, account.instrument.tick)


def smallest_at(intent: OrderIntent, account: AccountView, gap: Decimal) -> Decimal:
    """The price (quote) at which an entry has to reach the venue's smallest notional.

    On spot that holds for sales, too: what is bought has to be large enough to be sold at its stop and a gap beyond.
    """
    price, stop = limit_of(intent) or account.price, intent.protect_at
    if account.product is Product.SPOT and stop is not None and stop.is_finite():
        return min(price, stop * (ONE - gap))
    return price


def smallest(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the smallest quantity (base asset) of an order at a price (quote)."""
    return max(instrument.min_quantity, ceil_to(instrument.min_notional / price, instrument.step))


def limit_of(intent: OrderIntent) -> Decimal | None:
    """The limit of a limit order; None for any other."""
    return intent.limit_price if intent.type is OrderType.LIMIT else None
