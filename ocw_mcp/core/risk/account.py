"""What the risk officer looks at: the account and the market at one instant, every reservation counted in."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.risk.activity import Pace
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.state import Mode, TradingState


class PositionTerms(msgspec.Struct, frozen=True):
    """What an addition joins: a position's average price and leverage, or those of the entry about to open it."""

    price: Decimal
    leverage: int
    lost: Decimal = ZERO
    """What funding took of its margin, for each unit."""


class AccountView(msgspec.Struct, frozen=True):
    """The account as it stands, and one symbol of it. Quote currency; quantities in the base asset."""

    version: int
    now: int
    mode: Mode
    agent: str
    """Who decides on this book; the rules may stand in for it."""
    state: TradingState
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
    free_margin: Decimal
    """What is not isolated for positions and live entries, less what is lost on positions so far."""
    symbol_quantity: Decimal
    """Absolute value of the symbol's position, plus what its live entries may still add."""
    held: PositionTerms | None = None
    """The symbol's position, or its first live entry, as far as margin goes; None where there is neither."""
    opened: Side | None = None
    """Which way the symbol's last position went, if somebody else than the rules opened it and is not done with it."""
    spread: Decimal | None = None
    """Distance of the best prices, as a share of their middle; None where the market does not tell."""
    bid_depth: Decimal | None = None
    """What can be sold near the best price; None where the market does not tell."""
    ask_depth: Decimal | None = None
    """What can be bought there."""
    begun: bool = True
    """Whether the book's first day is open; until its first candle only the history before it is read."""
