"""Limits on what the market looks like at the moment: the mark price and the order book, where somebody tells it."""

from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import dearest, limit_of
from ocw_mcp.core.risk.verdict import UNLIMITED, ShareText, Verdict, all_or_nothing
from ocw_mcp.domain.orders import OrderIntent, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode


def price_collar(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """A limit lies near the mark price."""
    farthest, limit = policies.price.max_deviation, limit_of(intent)
    if limit is None:
        return Verdict(RefusalCode.PRICE_COLLAR, ShareText(farthest), "no limit price", UNLIMITED)
    deviation = abs(limit - account.price) / account.price
    return all_or_nothing(
        RefusalCode.PRICE_COLLAR, ShareText(farthest), ShareText(deviation), passes=deviation <= farthest
    )


def price_moved(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The mark price is near the one that whoever asks, or approves, was shown."""
    farthest, quoted = policies.price.max_move, intent.quoted
    if quoted is None:
        return Verdict(RefusalCode.PRICE_MOVED, ShareText(farthest), "no price was shown", UNLIMITED)
    move = abs(account.price - quoted) / quoted if quoted > 0 else Decimal(1)
    return all_or_nothing(RefusalCode.PRICE_MOVED, ShareText(farthest), ShareText(move), passes=move <= farthest)


def spread(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The best prices of the order book lie near each other."""
    widest, told = policies.book.max_spread, account.spread
    if told is None:
        return Verdict(RefusalCode.SPREAD, ShareText(widest), "not told", UNLIMITED)
    return all_or_nothing(RefusalCode.SPREAD, ShareText(widest), ShareText(told), passes=told <= widest)


def depth(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """An entry takes at most such a share of what is offered; one that is post-only takes nothing."""
    share, offered = policies.book.max_depth_share, account.ask_depth if intent.side is Side.BUY else account.bid_depth
    if offered is None or intent.post_only:
        return Verdict(RefusalCode.DEPTH, ShareText(share), "not told" if offered is None else "none", UNLIMITED)
    worth = offered * dearest(intent, account.price, policies.order.price_allowance)
    actual = ShareText(notional / worth) if worth > 0 else "nothing is offered"
    return Verdict(RefusalCode.DEPTH, ShareText(share), actual, share * worth)
