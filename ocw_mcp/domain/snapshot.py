"""What an agent is shown when it is woken: one value, made at one moment. Analytics are floats, money is Decimal."""

from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.unknown import Reading, Unknown

TRADES_SHOWN = 10

_NOT_TAKEN = Unknown("not taken")


class IndicatorValues(msgspec.Struct, frozen=True):
    """Indicators on the last closed candle of one timeframe, or on a forming one as if it closed now.

    EMA, ATR, MACD and Supertrend in quote currency; RSI, StochRSI, MFI and ADX in 0..100; the rest are shares.
    """

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
    rsi_7: Reading = _NOT_TAKEN
    stoch_rsi_k: Reading = _NOT_TAKEN
    stoch_rsi_d: Reading = _NOT_TAKEN
    macd: Reading = _NOT_TAKEN
    macd_signal: Reading = _NOT_TAKEN
    macd_histogram: Reading = _NOT_TAKEN
    percent_b: Reading = _NOT_TAKEN
    """0 on the lower Bollinger band (20, 2), 1 on the upper one."""
    bandwidth: Reading = _NOT_TAKEN
    """Distance of the bands over the middle one."""
    vwap_deviation: Reading = _NOT_TAKEN
    """The close over the volume-weighted average price of the UTC day so far, less 1."""
    mfi_14: Reading = _NOT_TAKEN
    obv_change_14: Reading = _NOT_TAKEN
    """The change of on-balance volume over 14 candles, as a share of their volume: −1..1."""
    obv_divergence_14: Reading = _NOT_TAKEN
    """−1..1; above 0 volume comes in while price falls, below 0 it leaves while price rises."""
    supertrend: Reading = _NOT_TAKEN
    supertrend_direction: Reading = _NOT_TAKEN
    """1 while the price is above Supertrend (10, 3), −1 below."""


class FormingCandle(msgspec.Struct, frozen=True, tag="candle", tag_field="is"):
    """A candle that has not closed yet: prices in quote currency and volume in the base asset, so far."""

    opened_at: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    indicators: IndicatorValues


class FormingView(msgspec.Struct, frozen=True):
    """What is forming in one timeframe, or why nothing is known of it."""

    timeframe: str
    candle: FormingCandle | Unknown


class DerivativesView(msgspec.Struct, frozen=True):
    """What derivatives say of a symbol, each reading as of the moment of the snapshot."""

    composite: Reading = _NOT_TAKEN
    """−1..1; above 0 all of it together leans long."""
    funding_8h: Reading = _NOT_TAKEN
    """The last settled rate, per eight hours; longs pay when it is above 0."""
    open_interest_change_24h: Reading = _NOT_TAKEN
    """A share."""
    taker_ratio_1h: Reading = _NOT_TAKEN
    """Volume that buyers took over volume that sellers took, in the last hour."""
    long_short: Reading = _NOT_TAKEN
    """Long over short positions of the top traders."""
    long_short_z: Reading = _NOT_TAKEN
    """Its standard deviations off the day before."""


class Feasible(msgspec.Struct, frozen=True, tag="feasible", tag_field="is"):
    """The sizes of an entry that today's policies would let pass, in the base asset; a largest one of 0 is none."""

    long_max: Decimal
    short_max: Decimal
    min: Decimal


class OpenPosition(msgspec.Struct, frozen=True):
    """The figures that every view of an open position has: prices and profit in quote currency.

    `quantity` is in the base asset and signed: above 0 long, below 0 short.
    """

    symbol: str
    quantity: Decimal
    average_price: Decimal
    mark: Decimal
    unrealised: Decimal


class PositionView(OpenPosition, frozen=True):
    """An open position as deciders and clients see it."""

    opened_at: int
    stop: Decimal | None
    mfe: Reading = _NOT_TAKEN
    """The best unrealised gain so far, as a share of the average price of that moment."""
    mae: Reading = _NOT_TAKEN
    """The worst unrealised gain so far, as a share of the average price of that moment: below 0 where it was a loss."""
    leverage: int = 1
    liquidation_price: Decimal | None = None
    """The mark price at which the venue takes the position over; None where none does."""
    best_now: Reading = _NOT_TAKEN
    """The most that it was ahead, as a share of what it costs now. It differs from `mfe` after an addition."""

    @property
    def best(self) -> Reading:
        """The gain from which is measured what the position gave back."""
        return self.mfe if isinstance(self.best_now, Unknown) else self.best_now


class TradeView(msgspec.Struct, frozen=True):
    """A closed trade. `pnl` in quote currency, after fees."""

    symbol: str
    side: Literal["long", "short"]
    opened_at: int
    closed_at: int
    pnl: Decimal


class SymbolView(msgspec.Struct, frozen=True):
    """One symbol as the engine sees it. Returns are shares, up to the last base candle's close."""

    symbol: str
    last: Reading
    age_ms: int
    indicators: tuple[IndicatorValues, ...]
    position: PositionView | None
    derivatives: DerivativesView = DerivativesView()
    return_1h: Reading = _NOT_TAKEN
    return_4h: Reading = _NOT_TAKEN
    return_24h: Reading = _NOT_TAKEN
    forming: tuple[FormingView, ...] = ()
    feasible: Feasible | Unknown = _NOT_TAKEN

    def all_indicators(self) -> dict[str, IndicatorValues]:
        """Return the indicators by timeframe, first of closed candles, then of forming ones, named `1h*`."""
        forming = (each.candle.indicators for each in self.forming if not isinstance(each.candle, Unknown))
        closed = {each.timeframe: each for each in self.indicators}
        return closed | {f"{each.timeframe}*": each for each in forming}


class Correlation(msgspec.Struct, frozen=True):
    """How alike two symbols' hourly returns were of late, −1..1."""

    first: str
    second: str
    value: Reading


class Remark(msgspec.Struct, frozen=True):
    """What somebody wrote to be read at a later wake, and when (ms)."""

    text: str
    by: str
    """The principal."""
    at: int


class WakeKind(StrEnum):
    """The kinds of reasons to wake the agent."""

    TIMER = "timer"
    """The agent's timer is due."""
    CLOSE = "close"
    """A candle closed; the subject is its timeframe."""
    OUTLIER = "outlier"
    """A return lies far off those before it; the subject is its length."""
    CONDITION = "condition"
    """A wake condition is met; the subject is its metric."""
    SCORE = "score"
    """The score of a position asks for a review; the subject is the score."""
    MORE = "more"
    """Reasons beyond those that are kept; the detail is their number."""
    EARLIER = "earlier"
    """A reason that an earlier version of OCW journaled as text, which is the detail."""


class WakeReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason to wake the agent."""

    kind: WakeKind
    subject: str = ""
    detail: str = ""
    remark: Remark | None = None
    """The words of the principal that set the condition, if it gave any."""

    @property
    def name(self) -> str:
        """The reason without its numbers: `close:1h`."""
        return f"{self.kind}:{self.subject}" if self.subject else self.kind.value

    def __str__(self) -> str:
        if self.kind is WakeKind.EARLIER:
            return self.detail
        if self.kind is WakeKind.MORE:
            return f"and {self.detail} more"
        return f"{self.name} {self.detail}" if self.detail else self.name


class SymbolWake(msgspec.Struct, frozen=True):
    """The reasons of one symbol to wake the agent; the symbol is None for the timer."""

    symbol: str | None
    reasons: tuple[WakeReason, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The input contract of a decision."""

    at: int
    product: Product
    state: TradingState
    equity: Decimal
    symbols: tuple[SymbolView, ...]
    wake: tuple[SymbolWake, ...]
    regime: str | Unknown
    macro: str | Unknown
    scale: Decimal
    """What limits of size are multiplied by under this regime and macro reading; the smallest one when unknown."""
    trades: tuple[TradeView, ...] = ()
    """The last trades, oldest first; at most `TRADES_SHOWN`."""
    note: Remark | None = None
    """What was left at an earlier wake for the next."""
    undone: tuple[Remark, ...] = ()
    """What of the last decision came to nothing beside its legs, one sentence each, by whoever decided."""
    limits: tuple[tuple[str, str], ...] = ()
    """The safety limits in force: name and text."""
    correlations: tuple[Correlation, ...] = ()
    """Of every open position with every other symbol."""

    def quotes_others(self, reader: str) -> bool:
        """Whether words of somebody else than `reader` stand in it."""
        remarks = [self.note, *(each.remark for wake in self.wake for each in wake.reasons)]
        return any(each is not None and each.by != reader for each in remarks)

    def symbol(self, name: str) -> SymbolView | None:
        """The view of one symbol, or None."""
        return next((view for view in self.symbols if view.symbol == name), None)

    def correlation(self, first: str, second: str) -> Reading:
        """The correlation of two symbols, whichever comes first."""
        for each in self.correlations:
            if {each.first, each.second} == {first, second}:
                return each.value
        return Unknown(f"the correlation of {first} and {second} was not taken")


class DecisionRequest(msgspec.Struct, frozen=True):
    """A wake, handed to whoever decides."""

    wake_id: int
    snapshot: Snapshot
    deadline: int
    """Engine time (ms) after which an answer is no longer taken."""
    version: int = 0
    """Of the account, as the snapshot shows it: the same one means the same positions, orders, stops and state."""
    held: "DecisionRequest | None" = None
    """The last wake, if a model that was asked about it meant to hold everything."""
