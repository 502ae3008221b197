"""How much of each limit is used. The risk officer and every view of the limits compute it here, so that both agree."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.scale import exposure_scale
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.policies import MandatePolicy, Policies


class LimitUsage(msgspec.Struct, frozen=True, gc=False):
    """One limit in force, named as in the policy file, and what is used of it.

    `limit` is in the unit of the policy and already multiplied by `scale`; `used` is in the unit of `limit × whole`.
    """

    name: str
    limit: Decimal
    used: Decimal
    whole: Decimal = ONE
    """The amount (quote) that the limit is a share of: equity now or at the start of the day; 1 for a count."""
    scale: Decimal = ONE

    @property
    def share(self) -> Decimal:
        """What is used, in the unit of the limit. Without equity all of the limit is used."""
        return self.used / self.whole if self.whole > 0 else self.limit

    @property
    def left(self) -> Decimal:
        """What the limit still lets pass, in the unit of `used`; 0 where nothing."""
        return max(ZERO, self.limit * self.whole - self.used)


def position(account: AccountView, policies: Policies) -> LimitUsage:
    """The symbol's position with its live entries, of equity."""
    return _scaled("position.max_share", policies.position.max_share, account.symbol_notional, account.equity, policies)


def gross(account: AccountView, policies: Policies) -> LimitUsage:
    """All positions and live entries, as a multiple of equity."""
    return _scaled("exposure.max_gross", policies.exposure.max_gross, account.gross, account.equity, policies)


def correlated(account: AccountView, policies: Policies, side: Side) -> LimitUsage | None:
    """What moves as one, one way, of equity; None where the symbol is not one of them."""
    used = account.correlated_long if side is Side.BUY else account.correlated_short
    return None if used is None else _together(used, account, policies)


def no_correlated(account: AccountView, policies: Policies) -> LimitUsage:
    """The same where no symbol is one of them."""
    return _together(ZERO, account, policies)


def risk(account: AccountView, policies: Policies, distance: Decimal) -> LimitUsage:
    """What the symbol's position loses when the price moves by `distance` (a share of it), of equity."""
    used = account.symbol_notional * distance
    return _scaled("risk.max_share", policies.risk.max_share, used, account.equity, policies)


def free_margin(account: AccountView, policies: Policies) -> LimitUsage:
    """What no position or live entry claims, less losses so far, of equity. At least so much has to be free."""
    return LimitUsage("margin.min_free", policies.margin.min_free, account.free_margin, account.equity)


def positions(account: AccountView, policies: Policies) -> LimitUsage:
    """Symbols with a position or a live entry, this one among them if it has one."""
    standing = account.other_symbols + (account.symbol_quantity > ZERO)
    return LimitUsage("positions.max_open", Decimal(policies.positions.max_open), Decimal(standing))


def turnover(account: AccountView, policies: Policies) -> LimitUsage:
    """What was traded today and what live entries may still trade, as a multiple of the day's first equity."""
    return LimitUsage("pace.max_turnover", policies.pace.max_turnover, account.pace.turnover_today, account.day_opening)


def fees(account: AccountView, policies: Policies) -> LimitUsage:
    """Today's fees, of the day's first equity."""
    return LimitUsage("pace.max_fees", policies.pace.max_fees, account.pace.fees_today, account.day_opening)


def daily_loss(account: AccountView, policies: Policies) -> LimitUsage:
    """Today's loss, of the day's first equity. Once the limit was reached, all of it is used until the next day."""
    limit, lost = policies.daily_loss.max_share, max(ZERO, account.daily_loss)
    return LimitUsage("daily_loss.max_share", limit, max(lost, limit) if account.daily_loss_reached else lost)


def losses(account: AccountView, policies: Policies) -> LimitUsage:
    """Losing trades in a row. While entries pause after them, all of the limit is used."""
    limit, pace = policies.losses.in_a_row, account.pace
    return _count("losses.in_a_row", limit, limit if pace.paused_ms else pace.losses_in_a_row)


def entries_in_a_minute(account: AccountView, policies: Policies) -> LimitUsage:
    """Entries of the last 60 seconds."""
    return _count("pace.entries_per_minute", policies.pace.entries_per_minute, account.pace.entries_last_minute)


def entries_in_a_day(account: AccountView, policies: Policies) -> LimitUsage:
    """Entries of the UTC day."""
    return _count("pace.entries_per_day", policies.pace.entries_per_day, account.pace.entries_today)


def reductions_in_a_minute(account: AccountView, policies: Policies) -> LimitUsage:
    """Reductions of the last 60 seconds that an agent asked for."""
    return _count(
        "pace.reductions_per_minute", policies.pace.reductions_per_minute, account.pace.reductions_last_minute
    )


def mandate(account: AccountView, given: MandatePolicy) -> LimitUsage:
    """All positions and live entries (quote)."""
    return LimitUsage("mandate.amount", given.amount, account.gross)


def _together(used: Decimal, account: AccountView, policies: Policies) -> LimitUsage:
    return _scaled("correlated.max_share", policies.correlated.max_share, used, account.equity, policies)


def _count(name: str, limit: int, used: int) -> LimitUsage:
    return LimitUsage(name, Decimal(limit), Decimal(used))


def _scaled(name: str, limit: Decimal, used: Decimal, whole: Decimal, policies: Policies) -> LimitUsage:
    scale = exposure_scale(policies.scale)
    return LimitUsage(name, limit * scale, used, whole, scale)
