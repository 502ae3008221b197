"""Every limit on an entry, one function each: how much notional it leaves room for.

A limit answers with a `Verdict`: the room in quote currency at the worst assumed fill, with the limit and the actual
value for people. No room at all is how a limit that knows no size says no.
"""

from collections.abc import Callable
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import OrderIntent, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import DeskState

UNLIMITED: Final = Decimal("Infinity")


class Verdict(msgspec.Struct, frozen=True):
    """What one limit says about one entry."""

    code: RefusalCode
    limit: str
    actual: str
    room: Decimal


Limit = Callable[[OrderIntent, AccountView, Policies, Decimal], Verdict]
"""(intent, account, policies, notional at the worst fill) → verdict."""


def _all_or_nothing(code: RefusalCode, limit: str, actual: str, *, passes: bool) -> Verdict:
    return Verdict(code, limit, actual, UNLIMITED if passes else ZERO)


def _share(value: Decimal) -> str:
    # Formatting rounds numbers of any length; `round` raises on those beyond 28 digits.
    return f"{plain(Decimal(format(value * 100, '.4f')))}%"


def active(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Adding risk passes in state ACTIVE only."""
    return _all_or_nothing(
        RefusalCode.NOT_ACTIVE, DeskState.ACTIVE, account.state, passes=account.state is DeskState.ACTIVE
    )


def symbols(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The symbol is one of those the policy names."""
    allowed = policies.symbols.allow
    return _all_or_nothing(
        RefusalCode.SYMBOL_NOT_ALLOWED,
        ",".join(allowed),
        intent.symbol,
        passes=any(fnmatchcase(intent.symbol, pattern) for pattern in allowed),
    )


def product(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Spot has no short."""
    short = intent.side is Side.SELL
    return _all_or_nothing(
        RefusalCode.SPOT_CANNOT_SHORT,
        account.product,
        "short" if short else "long",
        passes=not (short and account.product is Product.SPOT),
    )


def fresh(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """Adding risk passes on fresh data only."""
    return _all_or_nothing(
        RefusalCode.STALE_DATA,
        f"{account.price_age_limit_ms / 1000:g}s",
        f"{account.price_age_ms / 1000:g}s",
        passes=account.price_age_ms <= account.price_age_limit_ms,
    )


def daily_loss(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """The loss of the UTC day closes entries until the next one, whatever equity does meanwhile."""
    return _all_or_nothing(
        RefusalCode.DAILY_LOSS,
        _share(policies.daily_loss.max_share),
        _share(account.daily_loss),
        passes=not account.daily_loss_reached,
    )


def stop_required(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """An entry brings a stop on the losing side of the price, and not too far away."""
    farthest = policies.stop.max_distance
    limit = f"a stop within {_share(farthest)}"
    stop, price = intent.protect_at, account.price
    if stop is None or not stop.is_finite():
        return Verdict(RefusalCode.STOP_REQUIRED, limit, "none", ZERO)
    distance = (price - stop) / price * intent.side.sign
    return _all_or_nothing(
        RefusalCode.STOP_REQUIRED, limit, _share(distance), passes=stop > 0 and ZERO < distance <= farthest
    )


def order_notional(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One order is at most so large."""
    limit = policies.order.max_notional
    return Verdict(RefusalCode.ORDER_NOTIONAL, plain(limit), plain(round(notional, 2)), limit)


def position_share(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """One position, with its live entries, is at most such a share of equity."""
    room = policies.position.max_share * account.equity - account.symbol_notional
    actual = (account.symbol_notional + notional) / account.equity if account.equity > 0 else UNLIMITED
    return Verdict(
        RefusalCode.POSITION_SHARE, _share(policies.position.max_share), _times(actual, _share), max(ZERO, room)
    )


def gross_exposure(intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal) -> Verdict:
    """All positions and live entries together are at most such a multiple of equity."""
    room = policies.exposure.max_gross * account.equity - account.gross
    actual = (account.gross + notional) / account.equity if account.equity > 0 else UNLIMITED
    return Verdict(
        RefusalCode.GROSS_EXPOSURE, _share(policies.exposure.max_gross), _times(actual, _share), max(ZERO, room)
    )


def _times(value: Decimal, show: Callable[[Decimal], str]) -> str:
    return show(value) if value.is_finite() else "no equity"


LIMITS: Final[tuple[Limit, ...]] = (
    active,
    symbols,
    product,
    fresh,
    daily_loss,
    stop_required,
    order_notional,
    position_share,
    gross_exposure,
)
"""All of them, in the order in which the first refusal is told."""
