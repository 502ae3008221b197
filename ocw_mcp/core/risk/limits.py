"""Every limit on an entry, in the order in which the first refusal is told: what may be at all, how much, how large."""

from typing import Final

from ocw_mcp.core.risk import consent, margins, market, pace, sizes, standing
from ocw_mcp.core.risk.verdict import Limit

LIMITS: Final[tuple[Limit, ...]] = (
    standing.active,
    standing.symbols,
    standing.sides,
    standing.product,
    consent.fallback,
    standing.fresh,
    market.price_collar,
    market.price_moved,
    market.spread,
    standing.daily_loss,
    pace.losses_in_a_row,
    pace.entry_rate,
    pace.reentry,
    pace.fees,
    standing.stop_required,
    margins.leverage,
    sizes.open_positions,
    sizes.order_notional,
    sizes.position_share,
    sizes.gross_exposure,
    sizes.correlated_exposure,
    sizes.risk_per_trade,
    margins.liquidation,
    margins.free_margin,
    market.depth,
    pace.turnover,
    consent.mandate,
    # Last: nobody is asked to approve what could not pass anyway.
    consent.approval,
)

STANDING: Final[tuple[Limit, ...]] = (
    standing.active,
    standing.symbols,
    standing.sides,
    standing.product,
    consent.fallback,
    standing.fresh,
)
"""Those that close the desk, a symbol or a side to every entry. The engine asks them before it looks at the position.
"""

ONE_SIDE: Final[tuple[Limit, ...]] = (
    standing.sides,
    standing.product,
    consent.fallback,
    market.price_collar,
    standing.stop_required,
    margins.leverage,
    sizes.correlated_exposure,
    sizes.risk_per_trade,
    margins.liquidation,
    margins.free_margin,
    market.depth,
)
"""Those whose answer may hang on the side of an entry or on its stop."""
EITHER_SIDE: Final[tuple[Limit, ...]] = tuple(limit for limit in LIMITS if limit not in ONE_SIDE)
"""The others: they answer an entry of either side alike."""
