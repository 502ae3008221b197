"""The prices that an entry is held against: what it may cost at worst, and where it is expected to begin."""

from decimal import Decimal

from ocw_mcp.domain.market import Instrument
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
