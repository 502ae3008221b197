"""What an agent is shown when it is woken: one value, made at one moment. Analytics are floats, money is Decimal."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import DeskState
from ocw_mcp.domain.unknown import Reading, Unknown


class IndicatorValues(msgspec.Struct, frozen=True):
    """Indicators on the last closed candle of one timeframe. Prices in quote currency, RSI and ADX in 0..100."""

    timeframe: str
    candles: int
    """How many closed candles of this timeframe the values were computed from, at most."""
    close: Reading
    ema_9: Reading
    ema_21: Reading
    ema_50: Reading
    rsi_14: Reading
    atr_14: Reading
    adx_14: Reading


class PositionView(msgspec.Struct, frozen=True):
    """An open position. `quantity` is signed: above 0 long, below 0 short."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    mark: Decimal
    unrealised: Decimal
    opened_at: int
    stop: Decimal | None


class SymbolView(msgspec.Struct, frozen=True):
    """One symbol as the engine sees it."""

    symbol: str
    last: Reading
    age_ms: int
    indicators: tuple[IndicatorValues, ...]
    position: PositionView | None
    derivatives: Reading
    """The composite in [-1, 1]."""


class WakeReason(msgspec.Struct, frozen=True):
    """Why the gate woke the agent: the symbol that gave the reason, or None for the timer."""

    symbol: str | None
    reasons: tuple[str, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The input contract of a decision."""

    at: int
    product: Product
    state: DeskState
    equity: Decimal
    symbols: tuple[SymbolView, ...]
    wake: tuple[WakeReason, ...]
    regime: str | Unknown
    macro: str | Unknown
    scale: Decimal
    """What every entry's size is multiplied by under this regime and macro reading; the smallest one when unknown."""

    def symbol(self, name: str) -> SymbolView | None:
        """The view of one symbol, or None."""
        return next((view for view in self.symbols if view.symbol == name), None)


class DecisionRequest(msgspec.Struct, frozen=True):
    """A wake, handed to whoever decides."""

    wake_id: int
    snapshot: Snapshot
    deadline: int
    """Engine time (ms) after which an answer is no longer taken."""
