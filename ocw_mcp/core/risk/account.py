"""The account and the market at one instant, as the risk officer sees them."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.state import Mode, TradingState
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.domain.unknown import Unknown


class Pace(msgspec.Struct, frozen=True):
    """The counters that the limits on pace use, as seen for one symbol."""

    entries_last_minute: int
    entries_today: int
    turnover_today: Decimal
    """Notional traded today, and the notional that live entries may still trade."""
    fees_today: Decimal
    since_close_ms: int | None
    """Time since the symbol's last position was closed; None if re-entry is no longer limited."""
    losses_in_a_row: int
    paused_ms: int
    """The time until a pause of entries ends; 0 without a pause."""
    reductions_last_minute: int = 0
    """The number of reductions that an agent requested in the last 60 seconds."""

    def without_entry(self, sent_at: int, now: int) -> "Pace":
        """Return the counters at `now` (ms) without one entry that was counted at `sent_at` (ms)."""
        minute, day = int(sent_at > now - MINUTE), int(sent_at // DAY == now // DAY)
        return msgspec.structs.replace(
            self,
            entries_last_minute=max(0, self.entries_last_minute - minute),
            entries_today=max(0, self.entries_today - day),
        )


class PositionTerms(msgspec.Struct, frozen=True):
    """The margin terms of a symbol's open position, or of the live entry that will open one."""

    price: Decimal
    leverage: int
    lost: Decimal = ZERO
    """The funding that was paid from the margin, per unit of the base asset."""


class AccountView(msgspec.Struct, frozen=True):
    """The account, with the details of one symbol. Amounts in quote currency, quantities in the base asset."""

    version: int
    now: int
    mode: Mode
    agent: str
    state: TradingState
    product: Product
    instrument: Instrument
    equity: Decimal
    gross: Decimal
    """Absolute value of all positions, plus live entries (of unknown outcome, too) at their worst fill price."""
    quantity: Decimal
    symbol_notional: Decimal
    """The same as `gross`, for this symbol only."""
    price: Decimal
    """Mark price; the last price if the market has no mark price."""
    price_age_ms: int
    price_age_limit_ms: int
    daily_loss_reached: bool
    daily_loss: Decimal
    """The loss of the day so far, as a share of `day_opening`; a gain is below 0."""
    day_opening: Decimal
    correlated_long: Decimal | None
    """Notional of all longs and live long entries in the correlated symbols; None if this symbol is not one of them."""
    correlated_short: Decimal | None
    other_symbols: int
    """The number of other symbols with a position or a live entry."""
    pace: Pace
    free_margin: Decimal
    """The wallet without the margin of positions and live entries, less the unrealised loss."""
    symbol_quantity: Decimal
    """Absolute value of the symbol's position, plus the quantity that its live entries may still add."""
    held: PositionTerms | None = None
    """The margin terms of the symbol's position, or else of its first live entry; None if there is neither."""
    opened: Side | None = None
    """The side of the symbol's last position, if an agent opened it and did not close it; otherwise None."""
    spread: Decimal | None = None
    """The bid-ask spread, as a share of the mid price; None if it is not known."""
    bid_depth: Decimal | None = None
    ask_depth: Decimal | None = None
    """The quantities that can be sold (`bid_depth`) and bought near the best price; None if not known."""
    unreconciled: str = ""
    """Why the account at the exchange is not known to agree with the books; empty if it agrees, and on paper."""
    busy_ms: int = 0
    """The time until the exchange takes entries again; 0 if it takes them now."""
    adopted: str = ""
    """What stands of a position in this symbol that the book did not open; empty if there is none."""
    regime: Level | Unknown = Unknown("not read")
    """The level of the market regime."""
    macro: Quadrant | Unknown = Unknown("not read")
    """The macro regime."""
    anomaly: float | Unknown = Unknown("not read")
    """The quantile of the symbol's anomaly, 0..1."""
    begun: bool = True
    """Whether the book's first day has begun; before that the engine only reads history."""
