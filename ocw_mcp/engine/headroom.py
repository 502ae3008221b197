"""How much of each limit is used up at this moment: what `ocw policies show` tells of a book."""

from decimal import Decimal

from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.core.risk.budget import Budget
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.exposure import moving_as_one, reserved_by

Row = tuple[str, Decimal | int, Decimal | int]

AT_MOST, AT_LEAST = "at most", "at least"
"""Which way a limit bounds what is held against it."""
FLOORS = ("margin.min_free",)
"""The limits that are at-least: of these, what is used is what there is."""


def headroom(
    config: EngineConfig, account: Account, orders: OrderTable, budget: Budget, now: int
) -> list[dict[str, str]]:
    """One row per limit that fills up: its name in the policy file, the limit, which way it bounds, and what is used.

    Live entries count as they do when another one is checked. All values are text, as the policy file writes them; of
    `margin.min_free`, which is at least a share of equity, `used` is the share that is free.
    """
    policies, pace, ledger = config.policies, account.activity.seen("", now), account.ledger
    equity, opening = ledger.equity(), account.day.today.opening
    entries = reserved_by(orders)
    standing = {name: abs(held.quantity) * ledger.marks[name] for name, held in ledger.positions.items()}
    for name, each in entries.items():
        standing[name] = standing.get(name, ZERO) + each.notional
    together = max(moving_as_one(policies.correlated.symbols, ledger, orders).values())
    gross = sum(standing.values(), ZERO)
    claimed = ledger.wallet - ledger.free() + sum((each.margin for each in entries.values()), ZERO)
    rows: list[Row] = [
        ("daily_loss.max_share", policies.daily_loss.max_share, max(ZERO, account.day.loss(equity))),
        ("drawdown.max_share", policies.drawdown.max_share, max(ZERO, account.drawdown.fall(equity))),
        ("exposure.max_gross", policies.exposure.max_gross, _over(gross, equity)),
        ("position.max_share", policies.position.max_share, _over(max(standing.values(), default=ZERO), equity)),
        ("correlated.max_share", policies.correlated.max_share, _over(together, equity)),
        ("margin.min_free", policies.margin.min_free, ONE - _over(claimed, equity) if equity > 0 else ZERO),
        ("positions.max_open", policies.positions.max_open, len(standing)),
        ("pace.entries_per_minute", policies.pace.entries_per_minute, pace.entries_last_minute),
        ("pace.entries_per_day", policies.pace.entries_per_day, pace.entries_today),
        ("pace.reductions_per_minute", policies.pace.reductions_per_minute, pace.reductions_last_minute),
        ("pace.max_turnover", policies.pace.max_turnover, _over(pace.turnover_today, opening)),
        ("pace.max_fees", policies.pace.max_fees, _over(pace.fees_today, opening)),
        ("losses.in_a_row", policies.losses.in_a_row, pace.losses_in_a_row),
    ]
    if policies.mandate is not None:
        rows.append(("mandate.amount", policies.mandate.amount, gross))
    if config.fallback:
        today, this_month = budget.spent(now)
        rows.append(("budget.usd_per_day", policies.budget.usd_per_day, today))
        rows.append(("budget.usd_per_month", policies.budget.usd_per_month, this_month))
    return [
        {"name": name, "bound": AT_LEAST if name in FLOORS else AT_MOST, "limit": _text(limit), "used": _text(used)}
        for name, limit, used in rows
    ]


def _over(amount: Decimal, whole: Decimal) -> Decimal:
    return amount / whole if whole > 0 else ZERO


def _text(value: Decimal | int) -> str:
    return str(value) if isinstance(value, int) else plain(round(value, 6))
