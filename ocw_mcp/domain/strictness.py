"""Whether one policy is stricter than another: `[tainted] policy` names one that has to be."""

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from ocw_mcp.domain.policies import Policies

_LOWER: Final = (
    "order.max_notional",
    "order.price_allowance",
    "price.max_deviation",
    "price.max_move",
    "book.max_spread",
    "book.max_depth_share",
    "position.max_share",
    "positions.max_open",
    "exposure.max_gross",
    "correlated.max_share",
    "leverage.max",
    "stop.max_distance",
    "risk.max_share",
    "daily_loss.max_share",
    "drawdown.max_share",
    "losses.in_a_row",
    "pace.entries_per_minute",
    "pace.entries_per_day",
    "pace.max_turnover",
    "pace.max_fees",
    "data.slack_s",
    "scale.regime_unknown",
    "scale.macro_unknown",
)
"""Limits that are stricter when they are lower."""
_HIGHER: Final = (
    "margin.min_free",
    "stop.liquidation_buffer",
    "risk.gap_allowance",
    "losses.pause_s",
    "pace.reentry_s",
)
"""Limits that are stricter when they are higher."""
_KEYS_SHOWN: Final = 5


def looser_and_stricter(one: Policies, than: Policies) -> tuple[list[str], list[str]]:
    """Return the keys in which one policy is looser than another, and those in which it is stricter."""
    looser, stricter = [], []
    for keys, tighter in ((_LOWER, _below), (_HIGHER, _above)):
        for key in keys:
            mine, theirs = _value(one, key), _value(than, key)
            if tighter(mine, theirs):
                stricter.append(key)
            elif mine != theirs:
                looser.append(key)
    for key, mine, theirs in (
        ("symbols.allow", one.symbols.allow, than.symbols.allow),
        ("symbols.sides", one.symbols.sides, than.symbols.sides),
    ):
        if not _covers(theirs, mine):
            looser.append(key)
        elif not _covers(mine, theirs):
            stricter.append(key)
    if not _covers(one.correlated.symbols, than.correlated.symbols):
        looser.append("correlated.symbols")
    return looser, stricter


def not_stricter(strict: Policies, usual: Policies) -> str:
    """Return a sentence where the policy of `[tainted]` is not stricter than the one that names it, else nothing."""
    looser, stricter = looser_and_stricter(strict, usual)
    if stricter and not looser:
        return ""
    if looser:
        more = f" and {len(looser) - _KEYS_SHOWN} more" if len(looser) > _KEYS_SHOWN else ""
        why = f"{', '.join(looser[:_KEYS_SHOWN])}{more} {'are' if len(looser) > 1 else 'is'} looser there"
    else:
        why = "it is the same policy" if strict == usual else "no limit is stricter there"
    return (
        f"[tainted] policy = {strict.name} is not stricter than {usual.name}: {why}; an entry that was decided on "
        "after reading what others wrote still has to pass the limits of both; name a stricter policy there"
    )


def _value(policies: Policies, key: str) -> Any:
    table, name = key.split(".")
    return getattr(getattr(policies, table), name)


def _below(mine: Decimal, theirs: Decimal) -> bool:
    return mine < theirs


def _above(mine: Decimal, theirs: Decimal) -> bool:
    return mine > theirs


def _covers(patterns: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether each of some patterns is one of others, or matched by one."""
    return all(any(other == pattern or fnmatchcase(other, pattern) for pattern in patterns) for other in others)
