"""How much of each limit is used up at this moment: what `ocw policies show` tells of a book."""

from decimal import Decimal

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig


def headroom(config: EngineConfig, account: Account) -> list[dict[str, str]]:
    """One row per limit that fills up: its name in the policy file, the limit, and what is used of it, as text."""
    policies, activity = config.policies, account.activity.state
    equity, opening = account.ledger.equity(), account.day.today.opening
    rows: list[tuple[str, Decimal | int, Decimal | int]] = [
        ("daily_loss.max_share", policies.daily_loss.max_share, max(ZERO, account.day.loss(equity))),
        ("drawdown.max_share", policies.drawdown.max_share, max(ZERO, account.drawdown.fall(equity))),
        ("exposure.max_gross", policies.exposure.max_gross, _over(account.ledger.gross(), equity)),
        ("positions.max_open", policies.positions.max_open, len(account.ledger.positions)),
        ("pace.entries_per_day", policies.pace.entries_per_day, activity.entries_today),
        ("pace.max_turnover", policies.pace.max_turnover, _over(activity.turnover_today, opening)),
        ("pace.max_fees", policies.pace.max_fees, _over(activity.fees_today, opening)),
        ("losses.in_a_row", policies.losses.in_a_row, activity.losses_in_a_row),
    ]
    return [{"name": name, "limit": _text(limit), "used": _text(used)} for name, limit, used in rows]


def _over(amount: Decimal, whole: Decimal) -> Decimal:
    return amount / whole if whole > 0 else ZERO


def _text(value: Decimal | int) -> str:
    return str(value) if isinstance(value, int) else plain(round(value, 6))
