"""Limits that do not depend on the size of an entry: whether it may be sent now, in its symbol and its direction."""

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import Proposal, limit_of
from ocw_mcp.core.risk.verdict import (
    UNLIMITED,
    DurationText,
    EntryLimit,
    LazyText,
    LimitUse,
    ShareText,
    Verdict,
    all_or_nothing,
    count,
)
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.domain.orders import RULES, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown

WAY: Final = {Side.BUY: "long", Side.SELL: "short"}


def active(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries unless the engine is ACTIVE."""
    passes = account.state is TradingState.ACTIVE
    return all_or_nothing(RefusalCode.NOT_ACTIVE, TradingState.ACTIVE, account.state, passes=passes)


def reconciled(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries until the account at the exchange is known to agree with the books."""
    why = account.unreconciled
    return all_or_nothing(RefusalCode.NOT_RECONCILED, "books that agree", why or "they agree", passes=not why)


def venue_ready(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries while the exchange refuses requests, or needs them for reductions."""
    actual = LazyText(lambda: f"{DurationText(account.busy_ms)} to wait")
    return all_or_nothing(RefusalCode.VENUE_BUSY, "no wait", actual, passes=not account.busy_ms)


def own_position(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries in a symbol with a position that the book did not open."""
    others = account.adopted
    return all_or_nothing(RefusalCode.ADOPTED, "no position of others", others or "none", passes=not others)


def symbols(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse symbols that the policy does not allow."""
    allowed, symbol = policies.symbols.allow, entry.intent.symbol
    passes = any(fnmatchcase(symbol, pattern) for pattern in allowed)
    return all_or_nothing(RefusalCode.SYMBOL_NOT_ALLOWED, ",".join(allowed), symbol, passes=passes)


def sides(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse directions that the policy does not allow."""
    allowed, way = policies.symbols.sides, WAY[entry.intent.side]
    return all_or_nothing(RefusalCode.SIDE_NOT_ALLOWED, ",".join(allowed), way, passes=way in allowed)


def product(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse a short on spot."""
    way = WAY[entry.intent.side]
    passes = not (way == "short" and account.product is Product.SPOT)
    return all_or_nothing(RefusalCode.SPOT_CANNOT_SHORT, account.product, way, passes=passes)


def fallback(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse the rules' entries in an agent's place if the policy forbids them or they reverse the agent's position."""
    code, may, side = RefusalCode.FALLBACK, policies.fallback.rules, entry.intent.side
    if entry.intent.principal != RULES or account.agent == RULES:
        return Verdict(code, may, f"{entry.intent.principal} decides", UNLIMITED)
    if may == "manage":
        return Verdict(code, may, "an entry", ZERO)
    reverses = account.opened is not None and account.opened is not side
    limit = f"{may}, but stay {WAY[account.opened]}" if account.opened is not None else may
    return all_or_nothing(code, limit, WAY[side], passes=not reverses)


def fresh(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries while the last price is too old, and before the book's first day has begun."""
    if not account.begun:
        return Verdict(RefusalCode.NO_PRICE, "a candle of this run", "none yet, the history before it is read", ZERO)
    age, limit = account.price_age_ms, account.price_age_limit_ms
    return all_or_nothing(RefusalCode.STALE_DATA, DurationText(limit), DurationText(age), passes=age <= limit)


def price_collar(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse a limit price that is too far from the mark price."""
    limit = limit_of(entry.intent)
    deviation = None if limit is None else abs(limit - account.price) / account.price
    return _at_most(RefusalCode.PRICE_COLLAR, policies.price.max_deviation, deviation, "no limit price")


def price_moved(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse an entry if the mark price has moved too far from the price that its caller was shown."""
    quoted = entry.intent.quoted
    move = None if quoted is None else (abs(account.price - quoted) / quoted if quoted > 0 else ONE)
    return _at_most(RefusalCode.PRICE_MOVED, policies.price.max_move, move, "no price was shown")


def spread(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries while the best prices of the order book are too far apart."""
    return _at_most(RefusalCode.SPREAD, policies.book.max_spread, account.spread, "not known")


def _at_most(code: RefusalCode, limit: Decimal, actual: Decimal | None, missing: str) -> Verdict:
    """Return the verdict of an upper limit on a share. An unknown `actual` passes, and is shown as `missing`."""
    if actual is None:
        return Verdict(code, ShareText(limit), missing, UNLIMITED)
    return all_or_nothing(code, ShareText(limit), ShareText(actual), passes=actual <= limit)


def anomaly(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries while the symbol's last hour is too unusual, or unknown; with a limit of 1 every entry passes."""
    limit, actual = policies.anomaly.max_entry_quantile, account.anomaly
    if isinstance(actual, Unknown):
        return all_or_nothing(RefusalCode.ANOMALY, ShareText(limit), f"unknown: {actual.reason}", passes=limit == ONE)
    quantile = Decimal(f"{actual:.4f}")
    return all_or_nothing(RefusalCode.ANOMALY, ShareText(limit), ShareText(quantile), passes=quantile <= limit)


def _daily_loss(account: AccountView, policies: Policies) -> LimitUse:
    """Measure today's loss as a share of the day's first equity. A limit once reached counts as used up all day."""
    limit, lost = policies.daily_loss.max_share, max(ZERO, account.daily_loss)
    return LimitUse("daily_loss.max_share", limit, max(lost, limit) if account.daily_loss_reached else lost)


def daily_loss(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries once a UTC day's loss reaches the limit, until the next day, even if equity recovers."""
    limit, passes = policies.daily_loss.max_share, _daily_loss(account, policies).left > ZERO
    return all_or_nothing(RefusalCode.DAILY_LOSS, ShareText(limit), ShareText(account.daily_loss), passes=passes)


def _losses(account: AccountView, policies: Policies) -> LimitUse:
    """Count losing trades in a row. During the pause that follows, the limit counts as used up."""
    limit, pace = policies.losses.in_a_row, account.pace
    return count("losses.in_a_row", limit, limit if pace.paused_ms else pace.losses_in_a_row)


def losses_in_a_row(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries during the pause after losing trades in a row."""
    paused, passes = account.pace.paused_ms, _losses(account, policies).left > ZERO
    limit = f"a pause of {policies.losses.pause_s}s"
    actual = f"{DurationText(paused)} of it left" if paused else "no pause"
    return all_or_nothing(RefusalCode.LOSSES_IN_A_ROW, limit, actual, passes=passes)


def _entries_in_a_minute(account: AccountView, policies: Policies) -> LimitUse:
    return count("pace.entries_per_minute", policies.pace.entries_per_minute, account.pace.entries_last_minute)


def _entries_in_a_day(account: AccountView, policies: Policies) -> LimitUse:
    return count("pace.entries_per_day", policies.pace.entries_per_day, account.pace.entries_today)


def entry_rate(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the number of entries in a minute, and in a day."""
    minute, day = _entries_in_a_minute(account, policies), _entries_in_a_day(account, policies)
    in_minute = minute.left > ZERO
    shown, span = (day, "day") if in_minute else (minute, "minute")
    limit, used = LazyText(lambda: f"{shown.limit} a {span}"), LazyText(lambda: str(shown.used))
    return all_or_nothing(RefusalCode.ENTRY_RATE, limit, used, passes=in_minute and day.left > ZERO)


def reentry(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries in a symbol for a while after its position was closed. An addition to a position passes."""
    since, wait = account.pace.since_close_ms, policies.pace.reentry_s * SECOND
    passes = since is None or since >= wait or account.quantity != ZERO
    actual = "long ago" if since is None else DurationText(since)
    return all_or_nothing(RefusalCode.REENTRY, f"{DurationText(wait)} after the last", actual, passes=passes)


def _fees(account: AccountView, policies: Policies) -> LimitUse:
    """Measure today's fees against the day's first equity."""
    return LimitUse("pace.max_fees", policies.pace.max_fees, account.pace.fees_today, account.day_opening)


def price_band(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse a limit price that the venue does not accept; a market entry is sent with one, too."""
    code, instrument = RefusalCode.PRICE_BAND, account.instrument
    band = instrument.bid_band if entry.intent.side is Side.BUY else instrument.ask_band
    if band is None:
        return all_or_nothing(code, "none known", "any", passes=True)
    allowed = LazyText(lambda: band.text(account.price))
    return all_or_nothing(code, allowed, plain(entry.adverse), passes=band.contains(entry.adverse, account.price))


def fees(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Refuse entries once the fees of a day reach a share of the equity with which the day began."""
    used = _fees(account, policies)
    actual = ShareText(used.share) if used.whole > 0 else "no equity"
    return all_or_nothing(RefusalCode.FEES, ShareText(used.limit), actual, passes=used.whole > 0 and used.left > 0)


def stop_required(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Require a stop on the losing side of the price, within the largest distance that the policy allows."""
    farthest, stop, begins = policies.stop.max_distance, entry.intent.protect_at, entry.begins
    limit = LazyText(lambda: f"a stop within {ShareText(farthest)}")
    if stop is None or not stop.is_finite():
        return Verdict(RefusalCode.STOP_REQUIRED, limit, "none", ZERO)
    distance = (begins - stop) / begins * entry.intent.side.sign
    return all_or_nothing(RefusalCode.STOP_REQUIRED, limit, ShareText(distance), passes=ZERO < distance <= farthest)


LIMITS: Final[tuple[EntryLimit, ...]] = (
    EntryLimit((), RefusalCode.NOT_ACTIVE, judge=active, standing=True),
    EntryLimit((), RefusalCode.NOT_RECONCILED, judge=reconciled, standing=True),
    EntryLimit((), RefusalCode.VENUE_BUSY, judge=venue_ready, standing=True),
    EntryLimit((), RefusalCode.ADOPTED, judge=own_position, standing=True),
    EntryLimit(("symbols.allow",), RefusalCode.SYMBOL_NOT_ALLOWED, judge=symbols, standing=True),
    EntryLimit(("symbols.sides",), RefusalCode.SIDE_NOT_ALLOWED, judge=sides, standing=True, one_side=True),
    EntryLimit((), RefusalCode.SPOT_CANNOT_SHORT, judge=product, standing=True, one_side=True),
    EntryLimit(("fallback.rules",), RefusalCode.FALLBACK, judge=fallback, standing=True, one_side=True),
    EntryLimit(("data.slack_s",), RefusalCode.STALE_DATA, judge=fresh, standing=True),
    EntryLimit(("price.max_deviation",), RefusalCode.PRICE_COLLAR, judge=price_collar, one_side=True),
    EntryLimit((), RefusalCode.PRICE_BAND, judge=price_band, one_side=True),
    EntryLimit(("price.max_move",), RefusalCode.PRICE_MOVED, judge=price_moved),
    EntryLimit(("book.max_spread",), RefusalCode.SPREAD, judge=spread),
    EntryLimit(("anomaly.max_entry_quantile",), RefusalCode.ANOMALY, judge=anomaly),
    EntryLimit(("daily_loss.max_share",), RefusalCode.DAILY_LOSS, judge=daily_loss, usage=(_daily_loss,)),
    EntryLimit(
        ("losses.in_a_row", "losses.pause_s"), RefusalCode.LOSSES_IN_A_ROW, judge=losses_in_a_row, usage=(_losses,)
    ),
    EntryLimit(
        ("pace.entries_per_minute", "pace.entries_per_day"),
        RefusalCode.ENTRY_RATE,
        judge=entry_rate,
        usage=(_entries_in_a_minute, _entries_in_a_day),
    ),
    EntryLimit(("pace.reentry_s",), RefusalCode.REENTRY, judge=reentry),
    EntryLimit(("pace.max_fees",), RefusalCode.FEES, judge=fees, usage=(_fees,)),
    EntryLimit(
        ("stop.max_distance",),
        RefusalCode.STOP_REQUIRED,
        judge=stop_required,
        one_side=True,
        by_stop=True,
        at_fill="stop",
    ),
)
"""The limits of this module, in the order in which the first refusal is shown."""
