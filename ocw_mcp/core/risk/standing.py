"""Limits on whether an entry may be at all, here and now, whatever its size."""

from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import beginning
from ocw_mcp.core.risk.verdict import DurationText, LazyText, ShareText, Verdict, all_or_nothing
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState

WAY: Final = {Side.BUY: "long", Side.SELL: "short"}


def active(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """Adding risk passes in state ACTIVE only."""
    return all_or_nothing(
        RefusalCode.NOT_ACTIVE, TradingState.ACTIVE, account.state, passes=account.state is TradingState.ACTIVE
    )


def symbols(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """The symbol is one of those the policy names."""
    allowed = policies.symbols.allow
    return all_or_nothing(
        RefusalCode.SYMBOL_NOT_ALLOWED,
        ",".join(allowed),
        intent.symbol,
        passes=any(fnmatchcase(intent.symbol, pattern) for pattern in allowed),
    )


def sides(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """Positions this way are allowed."""
    allowed, way = policies.symbols.sides, WAY[intent.side]
    return all_or_nothing(RefusalCode.SIDE_NOT_ALLOWED, ",".join(allowed), way, passes=way in allowed)


def product(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """Spot has no short."""
    way = WAY[intent.side]
    passes = not (way == "short" and account.product is Product.SPOT)
    return all_or_nothing(RefusalCode.SPOT_CANNOT_SHORT, account.product, way, passes=passes)


def fresh(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """Adding risk passes on fresh data only, and on none from before the book began."""
    if not account.begun:
        return Verdict(RefusalCode.NO_PRICE, "a candle of this run", "none yet, the history before it is read", ZERO)
    return all_or_nothing(
        RefusalCode.STALE_DATA,
        DurationText(account.price_age_limit_ms),
        DurationText(account.price_age_ms),
        passes=account.price_age_ms <= account.price_age_limit_ms,
    )


def daily_loss(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """The loss of the UTC day closes entries until the next one, whatever equity does meanwhile."""
    return all_or_nothing(
        RefusalCode.DAILY_LOSS,
        ShareText(policies.daily_loss.max_share),
        ShareText(account.daily_loss),
        passes=usage.daily_loss(account, policies).left > ZERO,
    )


def stop_required(intent: OrderIntent, account: AccountView, policies: Policies, notional: object) -> Verdict:
    """An entry brings a stop on the losing side of the price, and not too far away."""
    farthest = policies.stop.max_distance
    limit = LazyText(lambda: f"a stop within {ShareText(farthest)}")
    stop = intent.protect_at
    if stop is None or not stop.is_finite():
        return Verdict(RefusalCode.STOP_REQUIRED, limit, "none", ZERO)
    price = beginning(intent, account.price)
    distance = (price - stop) / price * intent.side.sign
    return all_or_nothing(RefusalCode.STOP_REQUIRED, limit, ShareText(distance), passes=ZERO < distance <= farthest)
