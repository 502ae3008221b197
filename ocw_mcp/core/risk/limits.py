"""All limits: those on entries, declared in `admission` and `sizes`, and those on other orders and on callers."""

from typing import Final

from ocw_mcp.core.risk import admission, sizes
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.verdict import EntryLimit, Limit, LimitUse, count
from ocw_mcp.domain.policies import Policies, ScalePolicy, policy_keys, value_of, value_text
from ocw_mcp.domain.policy_table import HIGHER, stricter_of
from ocw_mcp.domain.reasons import RefusalCode

LIMITS: Final[tuple[EntryLimit, ...]] = (*admission.LIMITS, *sizes.LIMITS)
"""The limits on an entry, in the order in which the first refusal is shown: limits on size come last."""
SCALES: Final = tuple(f"scale.{key}" for key, declared in ScalePolicy.model_fields.items() if stricter_of(declared))
"""The keys of the factors on size limits."""


def reductions_in_a_minute(account: AccountView, policies: Policies) -> LimitUse:
    """Count the reductions that an agent requested in the last 60 seconds."""
    return count("pace.reductions_per_minute", policies.pace.reductions_per_minute, account.pace.reductions_last_minute)


OTHER_LIMITS: Final[tuple[Limit, ...]] = (
    Limit(
        ("order.price_allowance",),
        meaning="a market entry is sized, checked and limited at a price worse than the last price by this share",
    ),
    Limit(
        SCALES,
        meaning="size limits are multiplied by the factors of the market regime and the macro regime",
    ),
    Limit(("tainted.policy",), meaning="an entry must pass two policies if the agent read text of others before"),
    Limit(("pace.reductions_per_minute",), RefusalCode.REDUCTION_RATE, usage=(reductions_in_a_minute,)),
    Limit(("stop.deadline_s",), meaning="a position without a live stop is closed after this time"),
    Limit(
        ("exits.max_loss", "exits.take_profit", "exits.trail_from", "exits.trail_gives_back", "exits.max_hold_h"),
        meaning="the guard closes a position by its loss, profit, profit given back, and age",
    ),
    Limit(
        ("score.every_s", "score.review", "score.exit"),
        meaning="the exit score of each position is computed repeatedly; it wakes the agent, or closes the position",
    ),
    Limit(("drawdown.max_share",), meaning="trading halts at this drawdown of equity until a person resumes"),
    Limit(
        ("adopt.positions", "adopt.orders"),
        meaning="positions and orders of others on the account are treated in this way, and no entry adds to them",
    ),
)
"""The limits on orders, positions and the account that do not apply to a single entry."""

QUOTAS: Final[tuple[Limit, ...]] = (
    Limit(("callers.notes_per_minute", "callers.refusals_per_minute"), RefusalCode.CALLER_RATE),
    Limit(
        ("budget.usd_per_day", "budget.usd_per_month"),
        meaning="when the cost of model calls reaches one of these amounts, the rules decide",
    ),
)
"""The quotas of callers, and the budget for model calls; they limit no trade."""

TRADING_LIMITS: Final[tuple[Limit, ...]] = (*LIMITS, *OTHER_LIMITS)
ALL_LIMITS: Final = (*TRADING_LIMITS, *QUOTAS)

TAINTED_KEYS: Final = {key for limit in LIMITS for key in limit.keys} - {
    "data.slack_s",
    "correlated.symbols",
    "losses.pause_s",
    "approval.answer_s",
} | {"order.price_allowance", *SCALES}
"""The keys in which the `[tainted]` policy must not be looser; the subtracted keys come from the usual policy only."""

AT_MOST: Final = "at most"
AT_LEAST: Final = "at least"

_HIGHER: Final = frozenset(key for key, declared in policy_keys() if stricter_of(declared) is HIGHER)


def limits_in_force(policies: Policies, limits: tuple[Limit, ...] = TRADING_LIMITS) -> tuple[tuple[str, str], ...]:
    """Return the keys of some limits, in the order of the policy models, each with its value as text."""
    claimed = {key for limit in limits for key in limit.keys}
    return tuple(
        (key, value_text(value, " "))
        for key, _ in policy_keys()
        if key in claimed and (value := value_of(policies, key)) is not None
    )


def bound_of(key: str) -> str:
    """Return `at least` if a higher value of the key is stricter, else `at most`."""
    return AT_LEAST if key in _HIGHER else AT_MOST
