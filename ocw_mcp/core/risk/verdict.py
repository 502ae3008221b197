"""What one limit says about one entry: the room it leaves, with the limit and the actual value for people."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.usage import LimitUsage
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.domain.orders import OrderIntent
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode

UNLIMITED: Final = Decimal("Infinity")


class ShareText(msgspec.Struct, frozen=True, gc=False):
    """A share that reads as text: `25%`. It is written only where somebody reads it, which is after a refusal."""

    value: Decimal

    def __str__(self) -> str:
        # Formatting rounds numbers of any length; `round` raises on those beyond 28 digits.
        return f"{plain(Decimal(format(self.value * 100, '.4f')))}%"


class ScaledShareText(msgspec.Struct, frozen=True, gc=False):
    """A share that the scale was applied to, and reads as text: `13.5% (25% x 0.54)`, or `25%` where the scale is 1."""

    value: Decimal
    scale: Decimal

    def __str__(self) -> str:
        text = str(ShareText(self.value))
        return text if self.scale == ONE else f"{text} ({ShareText(self.value / self.scale)} x {plain(self.scale)})"


class DurationText(msgspec.Struct, frozen=True, gc=False):
    """A span of time that reads as text: `90s`."""

    ms: int

    def __str__(self) -> str:
        return f"{self.ms / 1000:g}s"


class AmountText(msgspec.Struct, frozen=True, gc=False):
    """An amount in quote currency that reads as text: `5000`, with two decimals at most."""

    value: Decimal

    def __str__(self) -> str:
        return plain(round(self.value, 2))


class LazyText(msgspec.Struct, frozen=True):
    """What takes a while to say."""

    say: Callable[[], str]

    def __str__(self) -> str:
        return self.say()


OperatorCommands = str | ShareText | ScaledShareText | DurationText | AmountText | LazyText
"""What a person is told of a limit, or of the value held against it."""


class Verdict(msgspec.Struct, frozen=True):
    """What one limit says. `room` is the notional that it lets pass at the worst assumed fill, in quote currency.

    No room at all is how a limit that knows no size says no.
    """

    code: RefusalCode
    limit: OperatorCommands
    actual: OperatorCommands
    room: Decimal

    def passes(self, notional: Decimal) -> bool:
        """Whether an entry of this notional has room."""
        return self.room > ZERO and notional <= self.room


Limit = Callable[[OrderIntent, AccountView, Policies, Decimal], Verdict]
"""(intent, account, policies, notional at the worst fill) → verdict."""


def all_or_nothing(code: RefusalCode, limit: OperatorCommands, actual: OperatorCommands, *, passes: bool) -> Verdict:
    """The verdict of a limit that knows no size."""
    return Verdict(code, limit, actual, UNLIMITED if passes else ZERO)


def limit_of(usage: LimitUsage) -> ScaledShareText:
    """The limit in force, with what it was scaled by."""
    return ScaledShareText(usage.limit, usage.scale)


def of_usage(code: RefusalCode, usage: LimitUsage, notional: Decimal, share: Decimal = ONE) -> Verdict:
    """The verdict of a limit of which some is used and an entry takes `share` of its notional (quote) more."""
    whole = usage.whole
    actual: OperatorCommands = ShareText((usage.used + notional * share) / whole) if whole > 0 else "no equity"
    return Verdict(code, limit_of(usage), actual, usage.left if share == ONE else usage.left / share)
