"""What the risk officer looks at: the account and the market at one instant, every reservation counted in."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.activity import Pace
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.state import DeskState


class AccountView(msgspec.Struct, frozen=True):
    """The account as it stands, and one symbol of it. Quote currency; quantities in the base asset."""

    version: int
    state: DeskState
    product: Product
    instrument: Instrument
    equity: Decimal
    gross: Decimal
    """Absolute value of all positions, plus live entries and unknown orders at their worst fill."""
    quantity: Decimal
    """The symbol's signed position."""
    symbol_notional: Decimal
    """Absolute value of the symbol's position, plus its live entries and unknown orders at their worst fill."""
    price: Decimal
    """Mark price; on a market without one the last price."""
    price_age_ms: int
    price_age_limit_ms: int
    daily_loss_reached: bool
    daily_loss: Decimal
    """Share of the day's opening equity that is lost so far; below 0 is a gain."""
    day_opening: Decimal
    """Equity with which the UTC day began."""
    correlated_long: Decimal | None
    """Absolute value of all long positions and entries in symbols that move as one; None where this is not one."""
    correlated_short: Decimal | None
    other_symbols: int
    """How many other symbols have a position or a live entry."""
    pace: Pace
