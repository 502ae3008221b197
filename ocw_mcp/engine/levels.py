"""The prices at which something happens to a symbol's position or orders, between which marks may be left out."""

from collections.abc import Iterable, Mapping

from ocw_mcp.core.orders.table import OrderTable
from ocw_mcp.domain.snapshot import PositionView

PriceLevels = Mapping[str, tuple[float, float]]
"""The nearest level below and above the price (quote) of each symbol with a position or a live order."""


def price_levels(positions: Iterable[PositionView], orders: OrderTable, prices: Mapping[str, float]) -> PriceLevels:
    """Return the nearest levels around the present price: limits, triggers, hard exits and the liquidation."""
    found: dict[str, list[float]] = {}
    for view in positions:
        own = found.setdefault(view.symbol, [])
        own += [float(each) for each in (view.stop, view.target, view.liquidation_price) if each is not None]
        if (plan := view.guard) is not None:
            own += [plan.max_loss_at, plan.take_profit_at, plan.trail_from]
            own += [] if plan.trail_at is None else [plan.trail_at]
    for tracked in orders.live():
        order = tracked.order
        own = found.setdefault(order.symbol, [])
        own += [float(each) for each in (order.trigger_price, order.limit_price, order.take_at) if each is not None]
    levels = {}
    for symbol, own in found.items():
        price = prices.get(symbol, 0.0)
        below = max((each for each in own if each <= price), default=0.0)
        above = min((each for each in own if each > price), default=float("inf"))
        levels[symbol] = below, above
    return levels
