"""How much of each limit is used up at this moment: what `ocw policies show` tells of a book.

What an entry is held to comes from `core/risk/usage`, as the risk officer's verdicts do.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.budget import Budget
from ocw_mcp.core.risk.usage import LimitUsage
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.domain.orders import Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.exposure import account_view, moves_together
from ocw_mcp.engine.price_board import PriceBoard, Quote

AT_MOST, AT_LEAST = "at most", "at least"
"""Which way a limit bounds what is held against it."""
FLOORS: Final = ("margin.min_free",)
"""The limits that are at-least: of these, what is used is what there is."""


def limit_usage(
    config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, budget: Budget, now: int
) -> list[dict[str, str]]:
    """One row per limit that fills up: its name in the policy file, the limit in force, which way it bounds, its use.

    Limits of size are multiplied by the scale. Live entries count as they do when another one is checked. All values
    are text, as the policy file writes them; of `margin.min_free`, at least a share of equity, `used` is what is free.
    """
    policies = config.policies
    views = _views(config, account, prices, orders, now)
    rows = [
        usage.daily_loss(views[0], policies),
        LimitUsage(
            "drawdown.max_share", policies.drawdown.max_share, max(ZERO, account.drawdown.fall(views[0].equity))
        ),
        usage.gross(views[0], policies),
        max((usage.position(each, policies) for each in views), key=lambda each: each.used),
        _correlated(views, policies),
        usage.free_margin(views[0], policies),
        usage.positions(views[0], policies),
        usage.entries_in_a_minute(views[0], policies),
        usage.entries_in_a_day(views[0], policies),
        usage.reductions_in_a_minute(views[0], policies),
        usage.turnover(views[0], policies),
        usage.fees(views[0], policies),
        usage.losses(views[0], policies),
    ]
    if policies.mandate is not None:
        rows.append(usage.mandate(views[0], policies.mandate))
    if config.fallback:
        today, this_month = budget.spent(now)
        rows.append(LimitUsage("budget.usd_per_day", policies.budget.usd_per_day, today))
        rows.append(LimitUsage("budget.usd_per_month", policies.budget.usd_per_month, this_month))
    return [_row(each) for each in rows]


def _views(
    config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, now: int
) -> list[AccountView]:
    """The account as risk sees it for each symbol that stands, and one that moves with others; the first is any."""
    marks = account.ledger.marks
    standing = {*account.ledger.positions, *(each.order.symbol for each in orders.live(purpose=Purpose.ENTRY))}
    as_one = [symbol for symbol in config.symbols if moves_together(symbol, config.policies.correlated.symbols)]
    asked = sorted(standing | set(as_one[:1])) or config.symbols[:1]
    views = []
    for symbol in asked:
        # Before its first price a symbol has no filters; none is asked for here.
        unpriced = Quote(marks.get(symbol, ONE), 0, Instrument(symbol, config.product, ONE, ONE, ONE, ONE))
        quote = prices.get(symbol, now) or unpriced
        views.append(account_view(symbol, now, config, account, prices, orders, quote))
    return views


def _correlated(views: list[AccountView], policies: Policies) -> LimitUsage:
    found = [usage.correlated(each, policies, side) for each in views for side in Side]
    known = [each for each in found if each is not None]
    return max(known, key=lambda each: each.used) if known else usage.no_correlated(views[0], policies)


def _row(used: LimitUsage) -> dict[str, str]:
    floor = used.name in FLOORS
    # Without equity nothing is free, and of every other limit all is used.
    share = ZERO if floor and used.whole <= 0 else used.share
    bound = AT_LEAST if floor else AT_MOST
    return {"name": used.name, "bound": bound, "limit": _text(used.limit), "used": _text(share)}


def _text(value: Decimal) -> str:
    return plain(round(value, 6))
