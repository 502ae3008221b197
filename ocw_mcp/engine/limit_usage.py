"""How much of each limit is used at this moment, as `ocw policies show` and `policies_get` report it.

Each limit declares its measures in `core/risk`, and its verdict uses the same ones.
"""

from decimal import Decimal

from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.counters import Budget
from ocw_mcp.core.risk.limits import ALL_LIMITS, AT_LEAST, bound_of
from ocw_mcp.core.risk.verdict import LimitUse
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.exposure import account_view, moves_together
from ocw_mcp.engine.price_board import PriceBoard, Quote


def limit_usage(
    config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, budget: Budget, now: int
) -> list[dict[str, str]]:
    """Return one row per key of a limit that fills up: `name`, `bound` (at most, at least), `limit` and `used`.

    All values are text in the unit of the policy file. Limits of size are multiplied by the scale. Live entries count
    as they do when another entry is checked. Of an at-least limit, `used` is the part that is there.
    """
    views = _views(config, account, prices, orders, now)
    rows = [account.drawdown.usage(views[0].equity), *(budget.usage(now) if config.fallback else ())]
    for measure in (each for limit in ALL_LIMITS for each in limit.usage):
        # A measure of the whole account is the same in each view; of a symbol the fullest one counts.
        found = [use for view in views if (use := measure(view, config.policies)) is not None]
        rows += [max(found, key=lambda use: use.used)] if found else []
    return [_row(each) for each in rows]


def _views(
    config: EngineConfig, account: Account, prices: PriceBoard, orders: OrderTable, now: int
) -> list[AccountView]:
    """Return the account's view of each symbol with a position or entry, and of one correlated symbol; else of any."""
    marks = account.ledger.marks
    standing = {*account.ledger.positions, *(each.order.symbol for each in orders.live(purpose=Purpose.ENTRY))}
    as_one = [symbol for symbol in config.symbols if moves_together(symbol, config.policies.correlated.symbols)]
    asked = sorted(standing | set(as_one[:1])) or config.symbols[:1]
    views = []
    for symbol in asked:
        # Before its first price a symbol has no filters; no filter is needed here.
        unpriced = Quote(marks.get(symbol, ONE), 0, Instrument(symbol, config.product, ONE, ONE, ONE, ONE))
        quote = prices.get(symbol, now) or unpriced
        views.append(account_view(symbol, now, config, account, prices, orders, quote))
    return views


def _row(used: LimitUse) -> dict[str, str]:
    bound = bound_of(used.key)
    # Without equity nothing is free, and all of every other limit is used.
    share = ZERO if bound == AT_LEAST and used.whole <= 0 else used.share
    return {"name": used.key, "bound": bound, "limit": _text(used.limit), "used": _text(share)}


def _text(value: Decimal) -> str:
    return plain(round(value, 6))
