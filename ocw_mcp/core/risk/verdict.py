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


class Share(msgspec.Struct, frozen=True, gc=False):
    """A share that reads as text: `25%`. It is written only where somebody reads it, which is after a refusal."""

    value: Decimal

    def __str__(self) -> str:
        # Formatting rounds numbers of any length; `round` raises on those beyond 28 digits.
        return f"{plain(Decimal(format(self.value * 100, '.4f')))}%"


class Span(msgspec.Struct, frozen=True, gc=False):
    """A span of time that reads as text: `90s`."""

    ms: int

    def __str__(self) -> str:
        return f"{self.ms / 1000:g}s"


class Amount(msgspec.Struct, frozen=True, gc=False):
    """An amount in quote currency that reads as text: `5000`, with two decimals at most."""

    value: Decimal

    def __str__(self) -> str:
        return plain(round(self.value, 2))


class Lazily(msgspec.Struct, frozen=True):
    """What takes a while to say."""

    say: Callable[[], str]

    def __str__(self) -> str:
        return self.say()


Told = str | Share | Span | Amount | Lazily
"""What a person is told of a limit, or of the value held against it."""


class Verdict(msgspec.Struct, frozen=True):
    """What one limit says. `room` is the notional that it lets pass at the worst assumed fill, in quote currency.

    No room at all is how a limit that knows no size says no.
    """

    code: RefusalCode
    limit: Told
    actual: Told
    room: Decimal

    def passes(self, notional: Decimal) -> bool:
        """Whether an entry of this notional has room."""
        return self.room > ZERO and notional <= self.room


Limit = Callable[[OrderIntent, AccountView, Policies, Decimal], Verdict]
"""(intent, account, policies, notional at the worst fill) → verdict."""


def all_or_nothing(code: RefusalCode, limit: Told, actual: Told, *, passes: bool) -> Verdict:
    """The verdict of a limit that knows no size."""
    return Verdict(code, limit, actual, UNLIMITED if passes else ZERO)


def of_equity(code: RefusalCode, limit: Decimal, used: Decimal, notional: Decimal, equity: Decimal) -> Verdict:
    """The verdict of a limit on a share of equity, of which some is used."""
    actual: Told = Share((used + notional) / equity) if equity > 0 else "no equity"
    return Verdict(code, Share(limit), actual, max(ZERO, limit * equity - used))
