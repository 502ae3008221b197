"""What one limit says about one entry: the room it leaves, with the limit and the actual value for people."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode

UNLIMITED: Final = Decimal("Infinity")


class Verdict(msgspec.Struct, frozen=True):
    """What one limit says. `room` is the notional that it lets pass at the worst assumed fill, in quote currency.

    No room at all is how a limit that knows no size says no.
    """

    code: RefusalCode
    limit: str
    actual: str
    room: Decimal


Limit = Callable[[OrderIntent, AccountView, Policies, Decimal], Verdict]
"""(intent, account, policies, notional at the worst fill) → verdict."""


def all_or_nothing(code: RefusalCode, limit: str, actual: str, *, passes: bool) -> Verdict:
    """The verdict of a limit that knows no size."""
    return Verdict(code, limit, actual, UNLIMITED if passes else ZERO)


def of_equity(code: RefusalCode, limit: Decimal, used: Decimal, notional: Decimal, equity: Decimal) -> Verdict:
    """The verdict of a limit on a share of equity, of which some is used."""
    actual = share((used + notional) / equity) if equity > 0 else "no equity"
    return Verdict(code, share(limit), actual, max(ZERO, limit * equity - used))


def share(value: Decimal) -> str:
    """A share as text: `25%`."""
    # Formatting rounds numbers of any length; `round` raises on those beyond 28 digits.
    return f"{plain(Decimal(format(value * 100, '.4f')))}%"


def seconds(ms: int) -> str:
    """A span as text: `90s`."""
    return f"{ms / 1000:g}s"
