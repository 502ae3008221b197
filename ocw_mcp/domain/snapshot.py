"""What an agent is shown when it is woken: one value, made at one moment. Analytics are floats, money is Decimal."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, NoReturn, Self

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


class PositionView(msgspec.Struct, frozen=True):
    """An open position. `quantity` is signed: above 0 long, below 0 short."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    mark: Decimal
    unrealised: Decimal
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

    def reading(self, metric: str) -> Reading:
        """Return a reading by the name that a wake condition gives it: `price`, `funding_8h` or `rsi_14@1h`.

        An indicator is that of the last closed candle. Unknown when the snapshot has no such reading.
        """
        if metric == "price":
            return self.last
        if metric in DerivativesView.__struct_fields__:
            return _number(self.derivatives, metric)
        name, _, timeframe = metric.partition("@")
        for values in self.indicators:
            if values.timeframe == timeframe and name in IndicatorValues.__struct_fields__[2:]:
                return _number(values, name)
        there = ", ".join(values.timeframe for values in self.indicators) or "none yet"
        return Unknown(f"{metric[:40]!r} is not in this snapshot; expected such as rsi_14@1h, on one of {there}")


def _number(values: msgspec.Struct, name: str) -> Reading:
    found: Reading = getattr(values, name)
    return found


class SymbolViews(dict[str, SymbolView]):
    """The symbols of a snapshot by name, in the engine's order. It cannot be changed."""

    @classmethod
    def of(cls, views: Iterable[SymbolView]) -> Self:
        """Return the views under their own names."""
        return cls({view.symbol: view for view in views})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise TypeError("a snapshot cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


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
    about: str = ""
    """The reason of a wake that it belongs to, if any."""


class WakeReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the gate woke the agent: the symbol that gave the reason, or None for the timer."""

    symbol: str | None
    reasons: tuple[str, ...]
    """In the engine's own words."""
    remarks: tuple[Remark, ...] = ()
    """What whoever set the conditions among them wrote beside these."""


class Snapshot(msgspec.Struct, frozen=True):
    """The input contract of a decision."""

    at: int
    product: Product
    state: TradingState
    equity: Decimal
    symbols: Mapping[str, SymbolView]
    """By name, in the engine's order."""
    wake: tuple[WakeReason, ...]
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

    def __post_init__(self) -> None:
        if type(self.symbols) is not SymbolViews:
            msgspec.structs.force_setattr(self, "symbols", SymbolViews(self.symbols))

    @property
    def positions(self) -> dict[str, PositionView]:
        """The open positions by symbol, of the symbols of this snapshot; empty when nothing is open."""
        return {name: view.position for name, view in self.symbols.items() if view.position is not None}

    def quotes_others(self, reader: str) -> bool:
        """Whether words of somebody else than `reader` stand in it."""
        remarks = [each for reason in self.wake for each in reason.remarks]
        remarks += [self.note] if self.note is not None else []
        return any(each.by != reader for each in remarks)

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
