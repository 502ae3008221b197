"""Every limit on an entry, in the order in which the first refusal is told: what may be at all, how much, how large."""

from typing import Final

from ocw_mcp.core.risk import pace, sizes, standing
from ocw_mcp.core.risk.verdict import Limit

LIMITS: Final[tuple[Limit, ...]] = (
    standing.active,
    standing.symbols,
    standing.sides,
    standing.product,
    standing.fresh,
    standing.daily_loss,
    pace.losses_in_a_row,
    pace.entry_rate,
    pace.reentry,
    pace.fees,
    standing.stop_required,
    sizes.open_positions,
    sizes.order_notional,
    sizes.position_share,
    sizes.gross_exposure,
    sizes.correlated_exposure,
    sizes.risk_per_trade,
    pace.turnover,
)
