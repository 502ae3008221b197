"""Types for limits: the declaration of a limit, its verdict on one entry, and how much of it is used."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Literal

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import Proposal
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode

UNLIMITED: Final = Decimal("Infinity")


class ShareText(msgspec.Struct, frozen=True, gc=False):
    """A share, shown as `25%`; a share multiplied by a `scale` is shown as `13.5% (25% x 0.54)`."""

    value: Decimal
    scale: Decimal = ONE

    def __str__(self) -> str:
        # Formatting rounds numbers of any length; `round` raises on those beyond 28 digits.
        text = f"{plain(Decimal(format(self.value * 100, '.4f')))}%"
        return text if self.scale == ONE else f"{text} ({ShareText(self.value / self.scale)} x {plain(self.scale)})"


class DurationText(msgspec.Struct, frozen=True, gc=False):
    """A span of time, shown as `90s`."""

    ms: int

    def __str__(self) -> str:
        return f"{self.ms / 1000:g}s"


class AmountText(msgspec.Struct, frozen=True, gc=False):
    """An amount in quote currency, shown as `5000`, with two decimals at most."""

    value: Decimal

    def __str__(self) -> str:
        return plain(round(self.value, 2))


class LazyText(msgspec.Struct, frozen=True):
    """A text that is created only when it is shown, because creating it is expensive."""

    say: Callable[[], str]

    def __str__(self) -> str:
        return self.say()


Shown = str | ShareText | DurationText | AmountText | LazyText
"""A limit or an actual value, in a form that can be shown to a person."""


class Verdict(msgspec.Struct, frozen=True):
    """The answer of one limit to one entry. `room` is the largest notional (quote) that passes at the worst fill."""

    code: RefusalCode
    limit: Shown
    actual: Shown
    room: Decimal

    def passes(self, notional: Decimal) -> bool:
        """Return whether an entry of this notional passes the limit."""
        return self.room > ZERO and notional <= self.room


class LimitUse(msgspec.Struct, frozen=True, gc=False):
    """How much of a limit is used: `used` of `limit × whole`. `limit` is already multiplied by `scale`."""

    key: str
    limit: Decimal
    used: Decimal
    whole: Decimal = ONE
    """The amount (quote) that the limit is a share of: equity now or at the start of the day; 1 for a count."""
    scale: Decimal = ONE

    @property
    def share(self) -> Decimal:
        """The used amount in the unit of `limit`; without equity the whole limit counts as used."""
        return self.used / self.whole if self.whole > 0 else self.limit

    @property
    def shown(self) -> ShareText:
        """The limit in force as text, with its scale."""
        return ShareText(self.limit, self.scale)

    @property
    def left(self) -> Decimal:
        """The unused part, in the unit of `used`; at least 0."""
        return max(ZERO, self.limit * self.whole - self.used)


Judge = Callable[[Proposal, AccountView, Policies], Verdict]
Measure = Callable[[AccountView, Policies], LimitUse | None]
"""Measures how much of a limit one symbol or the account uses; None if the limit does not apply now."""

AtFill = Literal["", "stop", "order", "position", "gross", "correlated"]


class Limit(msgspec.Struct, frozen=True):
    """One limit, declared once. The bounds, text and strictest value of each key are in the policy models."""

    keys: tuple[str, ...]
    """The policy keys that set the limit; the first gives its value. Each key belongs to one limit."""
    code: RefusalCode | None = None
    """The code of the limit's refusals, whose meaning explains the limit; None if the limit refuses no order."""
    meaning: str = ""
    usage: tuple[Measure, ...] = ()
    """The functions that measure the limit's use; drawdown and budget are measured by their classes in `counters`."""


class EntryLimit(Limit, frozen=True, kw_only=True):
    """A limit that each entry is checked against."""

    judge: Judge
    standing: bool = False
    """Whether the limit can refuse every entry of the account, a symbol or a side; it is then checked first."""
    one_side: bool = False
    """Whether the answer depends on the side of the entry or on its stop."""
    by_stop: bool = False
    """Whether the answer depends on the stop of the entry."""
    at_fill: AtFill = ""
    """The `LimitExcess` field with the excess of fills over this limit; "stop" if a tighter stop is the remedy."""


def count(key: str, limit: int, used: int) -> LimitUse:
    """Return the use of a limit on a count, such as the number of positions."""
    return LimitUse(key, Decimal(limit), Decimal(used))


def all_or_nothing(code: RefusalCode, limit: Shown, actual: Shown, *, passes: bool) -> Verdict:
    """Return the verdict of a limit that does not depend on the size."""
    return Verdict(code, limit, actual, UNLIMITED if passes else ZERO)


def of_usage(code: RefusalCode, usage: LimitUse, notional: Decimal, share: Decimal = ONE) -> Verdict:
    """Return the verdict of a limit with this usage, to which an entry would add `notional` (quote) × `share`."""
    whole = usage.whole
    actual: Shown = ShareText((usage.used + notional * share) / whole) if whole > 0 else "no equity"
    return Verdict(code, usage.shown, actual, usage.left if share == ONE else usage.left / share)
