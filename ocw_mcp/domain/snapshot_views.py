"""The views of a snapshot: the market data, the position and the closed trades of single symbols."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import msgspec

from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.happenings import GuardPlan
from ocw_mcp.domain.metrics import DERIVATIVES, INDICATORS, RETURNS, no_metric
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.unknown import Reading, Unknown

_NOT_COMPUTED = Unknown("not computed")


class Remark(msgspec.Struct, frozen=True):
    """A text written for the reader of a later wake, and its time (ms)."""

    text: str
    by: str
    at: int
    wake: int | None = None
    """The number of the wake whose decision contains the text; None if it is not recorded."""


class IndicatorValues(msgspec.Struct, frozen=True):
    """The indicators at the last closed candle of one timeframe, or at a forming one as if it closed now.

    EMA, ATR, MACD and Supertrend are in quote currency; RSI, StochRSI, MFI and ADX are 0..100; the others are shares.
    """

    timeframe: str
    candles: int
    close: Reading
    ema_9: Reading
    ema_21: Reading
    ema_50: Reading
    rsi_14: Reading
    atr_14: Reading
    adx_14: Reading
    rsi_7: Reading = _NOT_COMPUTED
    stoch_rsi_k: Reading = _NOT_COMPUTED
    stoch_rsi_d: Reading = _NOT_COMPUTED
    macd: Reading = _NOT_COMPUTED
    macd_signal: Reading = _NOT_COMPUTED
    macd_histogram: Reading = _NOT_COMPUTED
    percent_b: Reading = _NOT_COMPUTED
    """0 on the lower Bollinger band (20, 2), 1 on the upper one."""
    bandwidth: Reading = _NOT_COMPUTED
    """The distance between the bands as a share of the middle band."""
    vwap_deviation: Reading = _NOT_COMPUTED
    """The close over the volume-weighted average price of the UTC day so far, minus 1."""
    mfi_14: Reading = _NOT_COMPUTED
    obv_change_14: Reading = _NOT_COMPUTED
    """The change of on-balance volume over 14 candles, as a share of their volume: −1..1."""
    obv_divergence_14: Reading = _NOT_COMPUTED
    """−1..1; above 0 volume flows in while the price falls, below 0 it flows out while the price rises."""
    supertrend: Reading = _NOT_COMPUTED
    supertrend_direction: Reading = _NOT_COMPUTED
    """1 while the price is above Supertrend (10, 3), −1 below."""
    closed_at: int | None = None
    """The time (ms) at which the candle closed; None for a forming one, and without any candle."""


class FormingCandle(msgspec.Struct, frozen=True, tag="candle", tag_field="is"):
    """A candle that has not closed, with its values so far: prices in quote currency, volume in the base asset."""

    opened_at: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    indicators: IndicatorValues


class FormingView(msgspec.Struct, frozen=True):
    """The forming candle of one timeframe, or the reason why it is unknown."""

    timeframe: str
    candle: FormingCandle | Unknown


class DerivativesView(msgspec.Struct, frozen=True):
    """The derivatives readings of a symbol as of the time of the snapshot."""

    composite: Reading = _NOT_COMPUTED
    """The weighted sum of the readings, −1..1; above 0 it favours a long position."""
    funding_8h: Reading = _NOT_COMPUTED
    """The last settled rate per eight hours; above 0 longs pay."""
    open_interest_change_24h: Reading = _NOT_COMPUTED
    taker_ratio_1h: Reading = _NOT_COMPUTED
    """Taker buy volume over taker sell volume in the last hour."""
    long_short: Reading = _NOT_COMPUTED
    long_short_z: Reading = _NOT_COMPUTED
    """The z-score of `long_short` among its values of the day before."""
    basis: Reading = _NOT_COMPUTED
    """The mean premium of the perpetual over its index in the last hour, as a share a year."""
    liquidations_1h: Reading = _NOT_COMPUTED
    """The notional (quote) that the exchange closed by force in the last hour, of both sides; a lower bound."""
    parts: dict[str, float] = {}
    """What each known component adds to `composite`."""
    extremes: tuple[str, ...] = ()
    """The readings of this view that are extreme (`domain/extremes.py`)."""
    as_of: int | None = None
    """The time (ms) of the newest row of metrics; None without one."""


class SizeStep(msgspec.Struct, frozen=True):
    """The largest entry that passes with a stop up to a distance, and the limit that refuses a larger one."""

    distance: Decimal
    """The largest distance of the stop from the price, as a share of the price."""
    size: Decimal
    """The notional at the worst fill price as a share of equity, rounded down; 0 if no entry passes."""
    quantity: Decimal
    """The same entry in the base asset."""
    code: RefusalCode
    key: str = ""
    """The policy key that sets the limit; empty for a limit without one."""
    scale: Decimal = Decimal(1)
    """The factor on the limit, which is included in `size`."""
    why: str = ""
    """The limit and the actual value, if no entry passes."""


class Feasible(msgspec.Struct, frozen=True, tag="feasible", tag_field="is"):
    """The entry sizes that pass the policies now; a largest size of 0 means that none passes.

    `long_max` and `short_max` (base asset) are the largest sizes with a stop at half the largest distance.
    """

    long_max: Decimal
    short_max: Decimal
    min: Decimal
    long: tuple[SizeStep, ...] = ()
    """The largest longs by stop distance, nearest first; empty if a short is open."""
    short: tuple[SizeStep, ...] = ()
    min_size: Decimal = Decimal(0)
    """The smallest entry as a share of equity, rounded up."""

    def within(self, distance: Decimal, *, long: bool) -> Decimal:
        """Return the largest quantity known to pass with a stop at this distance; 0 if none is known to."""
        steps = self.long if long else self.short
        return next((each.quantity for each in steps if distance <= each.distance), Decimal(0))


class SizesOnDemand:
    """The feasible sizes of one symbol, which are computed when they are read first, and once.

    The function reads only immutable values as of the snapshot's time, so that the result does not depend on the time
    of the reading. An encoder of snapshots needs `encode_sizes` as its hook.
    """

    __slots__ = ("_compute", "_found")

    def __init__(self, compute: Callable[[], Feasible]) -> None:
        self._compute = compute
        self._found: Feasible | None = None

    def read(self) -> Feasible:
        """Return the sizes."""
        if self._found is None:
            self._found = self._compute()
        return self._found

    def __eq__(self, other: object) -> bool:
        return self.read() == (other.read() if isinstance(other, SizesOnDemand) else other)

    def __hash__(self) -> int:
        return hash(self.read())

    def __repr__(self) -> str:
        return repr(self.read())

    def __reduce__(self) -> tuple[Any, ...]:
        return msgspec.structs.replace, (self.read(),)


def encode_sizes(value: object) -> Feasible:
    """Return the sizes that an encoder writes in the place of `SizesOnDemand`. Raises TypeError for another value."""
    if isinstance(value, SizesOnDemand):
        return value.read()
    raise TypeError(f"a value of type {type(value).__name__} cannot be encoded in a snapshot")


if TYPE_CHECKING:
    Sizes = Feasible | Unknown | SizesOnDemand
else:
    # A decoder makes only these two.
    Sizes = Feasible | Unknown


class OpenPosition(msgspec.Struct, frozen=True):
    """The fields of every view of an open position, in quote currency. The quantity of a short is below 0."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    mark: Decimal
    unrealised: Decimal


class PositionView(OpenPosition, frozen=True):
    """An open position as shown to deciders and clients."""

    opened_at: int
    stop: Decimal | None
    mfe: Reading = _NOT_COMPUTED
    """The largest unrealised gain so far, as a share of the average price at that time."""
    mae: Reading = _NOT_COMPUTED
    """The smallest unrealised gain so far, as a share of the average price at that time: below 0 for a loss."""
    leverage: int = 1
    liquidation_price: Decimal | None = None
    """The mark price at which the venue liquidates the position; None if there is none."""
    best_now: Reading = _NOT_COMPUTED
    """The largest gain so far as a share of the present cost, which differs from `mfe` after an addition."""
    target: Decimal | None = None
    guard: GuardPlan | None = None
    """The prices and times at which the guard will close the position; None if they were not computed."""
    trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price; None if it does not."""
    thesis: Remark | None = None
    """The reason of the decision that opened the position, from a leg that was carried out."""

    @property
    def best(self) -> Reading:
        """`best_now`, or `mfe` if that is unknown: the gain given back is measured from it."""
        return self.mfe if isinstance(self.best_now, Unknown) else self.best_now


class TradeView(msgspec.Struct, frozen=True):
    """A closed trade. `pnl` in quote currency, after fees."""

    symbol: str
    side: Literal["long", "short"]
    opened_at: int
    closed_at: int
    pnl: Decimal


class SymbolView(msgspec.Struct, frozen=True, rename={"sizes": "feasible"}):
    """The market data and the position of one symbol. Returns are shares, up to the last base candle's close."""

    symbol: str
    last: Reading
    age_ms: int
    indicators: tuple[IndicatorValues, ...]
    position: PositionView | None
    derivatives: DerivativesView = DerivativesView()
    next_funding_at: int | None = None
    """The time (ms) of the next funding settlement; None if it is unknown."""
    liquidations: Reading = _NOT_COMPUTED
    """The longs minus the shorts liquidated in five minutes, as a share of the hour's volume; both are lower bounds."""
    return_1h: Reading = _NOT_COMPUTED
    return_4h: Reading = _NOT_COMPUTED
    return_24h: Reading = _NOT_COMPUTED
    forming: tuple[FormingView, ...] = ()
    sizes: Sizes = _NOT_COMPUTED
    """`feasible`, perhaps not computed yet."""
    day_low: Reading = _NOT_COMPUTED
    day_high: Reading = _NOT_COMPUTED
    """The lowest and the highest price of the UTC day so far (quote)."""
    recent: tuple[float, ...] = ()
    """The last closes of `1h`, oldest first."""
    anomaly: AnomalyReading | Unknown = _NOT_COMPUTED
    """How unusual the last hour is among the hours before."""

    @property
    def feasible(self) -> Feasible | Unknown:
        """The sizes of entries that would pass now. They are computed at the first reading."""
        return self.sizes.read() if isinstance(self.sizes, SizesOnDemand) else self.sizes

    def all_indicators(self) -> dict[str, IndicatorValues]:
        """Return the indicators by timeframe: those of closed candles, then those of forming ones, named `1h*`."""
        forming = (each.candle.indicators for each in self.forming if not isinstance(each.candle, Unknown))
        closed = {each.timeframe: each for each in self.indicators}
        return closed | {f"{each.timeframe}*": each for each in forming}

    def reading(self, metric: str) -> Reading:
        """Return a reading by its name in a wake condition: `price`, `return_4h`, or `rsi_14@1h` at closed candles."""
        if metric == "price":
            return self.last
        if metric in RETURNS:
            return _number(self, metric)
        if metric in DERIVATIVES:
            return _number(self.derivatives, metric)
        name, _, timeframe = metric.partition("@")
        for values in self.indicators:
            if values.timeframe == timeframe and name in INDICATORS:
                return _number(values, name)
        return no_metric(metric, [values.timeframe for values in self.indicators])


def _number(values: msgspec.Struct, name: str) -> Reading:
    found: Reading = getattr(values, name)
    return found


class SymbolViews(dict[str, SymbolView]):
    """The symbols of a snapshot by name, in the engine's order; immutable."""

    @classmethod
    def of(cls, views: Iterable[SymbolView]) -> Self:
        """Return the views, each under the name of its symbol."""
        return cls({view.symbol: view for view in views})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise TypeError("a snapshot cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse
