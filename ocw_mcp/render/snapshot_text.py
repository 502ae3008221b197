"""A snapshot as plain text for a model: `compact` as tables with one header per table, `full` with a label per value.

Both begin with the parts that change least (columns, limits, note, trades) and end with those that change at every
wake, so that two snapshots share the longest possible beginning. An unknown value is never omitted: `compact` shows
`?` and lists the reasons at its end. Remarks by `reader` are not quoted; those of other authors are quoted as data.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView, TradeView
from ocw_mcp.domain.time import HOUR, SECOND, iso
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.render.quotations import not_taken_lines, note_line, wake_line, wake_quotations

VOLUME_DIGITS = 5
BRIEFED_TRADES = 5
"""Number of trades shown to a reader that can look up earlier ones."""

Beside = Callable[[float, float], str]
"""Returns a value as text; the second argument is the close price in the same row."""


def significant(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits, without an exponent; digits before the point are all kept."""
    decimals = min(12, max(0, digits - 1 - math.floor(math.log10(abs(value))))) if value else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _price(value: float, close: float = 0.0) -> str:
    return significant(value, 6)


def _fixed(decimals: int, unit: float = 1.0) -> Beside:
    return lambda value, close: f"{value / unit:.{decimals}f}"


_points, _share, _percent = _fixed(1), _fixed(2), _fixed(2, 0.01)


def _of_close(value: float, close: float) -> str:
    return f"{100 * value / close:.3f}"


def _from_close(value: float, close: float) -> str:
    return f"{100 * (value / close - 1):.2f}"


def _direction(value: float, close: float) -> str:
    return "up" if value > 0 else "down"


class _Column(NamedTuple):
    field: str
    short: str
    long: str
    compact: Beside
    full: Beside
    in_compact: bool = True


_COLUMNS: Final = (
    _Column("rsi_7", "rsi7", "RSI 7", _points, _points),
    _Column("rsi_14", "rsi14", "RSI 14", _points, _points),
    _Column("stoch_rsi_k", "k", "StochRSI %K", _points, _points),
    _Column("stoch_rsi_d", "d", "StochRSI %D", _points, _points),
    _Column("macd", "macd", "MACD (12, 26)", _of_close, _price),
    _Column("macd_signal", "sig", "MACD signal (9)", _of_close, _price),
    _Column("macd_histogram", "hist", "MACD histogram", _of_close, _price),
    _Column("ema_9", "ema9", "EMA 9", _from_close, _price),
    _Column("ema_21", "ema21", "EMA 21", _from_close, _price),
    _Column("ema_50", "ema50", "EMA 50", _from_close, _price),
    _Column("percent_b", "%b", "Bollinger %B (20, 2)", _share, _share),
    _Column("bandwidth", "bw", "Bollinger bandwidth, %", _percent, _percent),
    _Column("atr_14", "atr", "ATR 14", _of_close, _price),
    _Column("vwap_deviation", "vwap", "close from the VWAP of the UTC day, %", _percent, _percent),
    _Column("mfi_14", "mfi", "MFI 14", _points, _points),
    _Column("obv_change_14", "obv", "OBV change over 14 candles, share of their volume", _share, _share),
    _Column("obv_divergence_14", "div", "OBV divergence over 14 candles", _share, _share),
    _Column("supertrend", "st", "Supertrend (10, 3)", _from_close, _price),
    _Column("supertrend_direction", "dir", "Supertrend direction", _direction, _direction, in_compact=False),
    _Column("adx_14", "adx", "ADX 14", _points, _points),
)

_IN_COMPACT: Final = tuple(column for column in _COLUMNS if column.in_compact)

_DERIVATIVES: Final = (
    _Column("funding_8h", "fund8h", "funding, % in 8 h", _fixed(4, 0.01), _fixed(4, 0.01)),
    _Column("open_interest_change_24h", "oi24h", "open interest over 24h, %", _percent, _percent),
    _Column("taker_ratio_1h", "taker1h", "taker buys over sells, 1h", _share, _share),
    _Column("long_short", "ls", "top traders' long over short positions", _share, _share),
    _Column("long_short_z", "lsz", "its z-score against the day before", _share, _share),
)

_LEGEND: Final = (
    "? unknown, reasons at the end; * forming candle; um USD-M futures; times UTC, sizes in base asset, a "
    "quantity below 0 is short. In %: ret, mfe, mae (best, worst gain so far), fund8h (funding in 8 h, above 0 longs "
    "pay), oi24h (open interest). deriv: all derivatives, -1..1, above 0 leans long; taker1h taker buys over sells; ls "
    "top traders' longs over shorts, lsz its z-score; liq liquidation price. rsi, k d (StochRSI), mfi, adx: 0..100. "
    "macd sig hist atr: % of close. ema, st (Supertrend): % from close to line, st below 0 in an uptrend. vwap: % from "
    "the VWAP of the UTC day to close. %b: 0 lower, 1 upper Bollinger band; bw their width, %. -1..1: obv (change in "
    "14 candles over volume), div (above 0: volume in, price down)"
)


class _Unknowns:
    """The reasons of unknown values, each with its places, in order of appearance."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, list[str]]] = {}

    def cell(self, value: Reading, where: str, name: str, show: Beside, close: float = 0.0) -> str:
        """Return the text of a number, or `?` for an unknown one; its reason is kept."""
        return self.mark(value, where, name) if isinstance(value, Unknown) else show(value, close)

    def mark(self, unknown: Unknown, where: str, name: str) -> str:
        """Keep the reason of an unknown value and return `?`."""
        self._places.setdefault(unknown.reason, {}).setdefault(where, []).append(name)
        return "?"

    def lines(self) -> list[str]:
        """Return one line per reason."""
        return [
            f"? {reason}: " + "; ".join(f"{where} {' '.join(names)}".strip() for where, names in places.items())
            for reason, places in self._places.items()
        ]


def standing(limits: tuple[tuple[str, str], ...]) -> str:
    """Return the part that is the same at every wake: the legend of the tables and the limits in force."""
    tables: dict[str, list[str]] = {}
    for key, text in limits:
        table, _, name = key.rpartition(".")
        tables.setdefault(table or name, []).append(f"{name} {text}" if table else text)
    return "\n".join([_LEGEND, *_listed("limits", [f"{table}: {', '.join(each)}" for table, each in tables.items()])])


def compact(snapshot: Snapshot, *, reader: str = "", briefed: bool = False) -> str:
    """Return the snapshot as tables: one line per symbol and timeframe, then the unknown values by reason.

    For a `briefed` reader, which has `standing` in its system prompt and can look up more, the legend, the limits,
    earlier trades and the indicators of forming candles are omitted.
    """
    unknowns, views = _Unknowns(), snapshot.symbols.values()
    regimes = {"regime": snapshot.regime, "macro": snapshot.macro}
    shown = [f"{k} {unknowns.mark(v, '', k) if isinstance(v, Unknown) else v}" for k, v in regimes.items()]
    trades = snapshot.trades[-BRIEFED_TRADES:] if briefed else snapshot.trades
    lines = [] if briefed else [standing(snapshot.limits)]
    lines += [note_line(snapshot.note, reader, "note")] if snapshot.note else []
    lines += not_taken_lines(snapshot, reader)
    lines += _listed("trades (opened, duration, pnl)", [_trade(each) for each in trades])
    lines.append(f"product {snapshot.product} {' '.join(shown)} scale {plain(snapshot.scale)}")
    lines.append(f"state {snapshot.state} equity {plain(round(snapshot.equity, 2))} at {_time(snapshot.at)}")
    lines += _listed("woken by", [wake_line(each, reader) for each in snapshot.wake])
    lines += wake_quotations(snapshot, reader)
    lines.append("symbol last age_s ret1h ret4h ret24h deriv long_max short_max min")
    lines += [_symbol_row(view, unknowns) for view in views]
    lines += _derivatives_rows(snapshot, unknowns)
    lines += _position_rows(snapshot, unknowns)
    pairs = {f"{each.first}/{each.second}": each.value for each in snapshot.correlations}
    correlated = [f"{pair} {unknowns.cell(value, pair, 'correlation', _share)}" for pair, value in pairs.items()]
    lines += _listed("correlation", correlated)
    lines += _forming_rows(snapshot, unknowns)
    lines.append(" ".join(["symbol tf close", *(column.short for column in _IN_COMPACT)]))
    lines += [
        _values_row(f"{view.symbol} {name}", values, unknowns)
        for view in views
        for name, values in view.all_indicators().items()
        if name == values.timeframe or not briefed
    ]
    return "\n".join(lines + unknowns.lines())


def _listed(what: str, texts: list[str]) -> list[str]:
    return [f"{what}: {'; '.join(texts)}"] if texts else []


def _symbol_row(view: SymbolView, unknowns: _Unknowns) -> str:
    returns = {"ret1h": view.return_1h, "ret4h": view.return_4h, "ret24h": view.return_24h}
    cells = [
        unknowns.cell(view.last, view.symbol, "last", _price),
        _age(view.age_ms),
        *(unknowns.cell(value, view.symbol, name, _percent) for name, value in returns.items()),
        unknowns.cell(view.derivatives.composite, view.symbol, "deriv", _share),
    ]
    if isinstance(sizes := view.feasible, Unknown):
        cells += [unknowns.mark(sizes, view.symbol, "sizes"), "?", "?"]
    else:
        cells += [plain(sizes.long_max), plain(sizes.short_max), plain(sizes.min)]
    return " ".join([view.symbol, *cells])


def _derivatives_rows(snapshot: Snapshot, unknowns: _Unknowns) -> list[str]:
    """Return the rows of symbols with a known value; for other symbols, the unknown composite gives the reason."""
    rows = []
    for view in snapshot.symbols.values():
        values = {each: getattr(view.derivatives, each.field) for each in _DERIVATIVES}
        if not all(isinstance(value, Unknown) for value in values.values()):
            cells = [unknowns.cell(value, view.symbol, each.short, each.compact) for each, value in values.items()]
            rows.append(" ".join([view.symbol, *cells]))
    return [" ".join(["derivatives", *(each.short for each in _DERIVATIVES)]), *rows] if rows else []


def _position_rows(snapshot: Snapshot, unknowns: _Unknowns) -> list[str]:
    rows = [
        f"{held.symbol} {plain(held.quantity)} {_price(float(held.average_price))} {plain(held.mark)} "
        f"{plain(round(held.unrealised, 2))} {_or_none(held.stop)} {held.leverage}x {_or_none(held.liquidation_price)} "
        f"{unknowns.cell(held.mfe, held.symbol, 'mfe', _percent)} "
        f"{unknowns.cell(held.mae, held.symbol, 'mae', _percent)} {_time(held.opened_at)}"
        for held in snapshot.positions.values()
    ]
    return ["position quantity average mark pnl stop lev liq mfe mae since", *rows] if rows else ["no open position"]


def _forming_rows(snapshot: Snapshot, unknowns: _Unknowns) -> list[str]:
    rows = []
    for view in snapshot.symbols.values():
        for each in view.forming:
            name = f"{view.symbol} {each.timeframe}*"
            if isinstance(candle := each.candle, Unknown):
                unknowns.mark(candle, name, "candle")
            else:
                prices = " ".join(map(_price, (candle.open, candle.high, candle.low)))
                rows.append(f"{name} {prices} {significant(candle.volume, VOLUME_DIGITS)}")
    return ["forming tf open high low volume", *rows] if rows else []


def _values_row(where: str, values: IndicatorValues, unknowns: _Unknowns) -> str:
    # Most columns are relative to the close: without one the whole row is unknown.
    close = values.close
    cells = [
        unknowns.mark(close, where, each.short)
        if isinstance(close, Unknown)
        else unknowns.cell(getattr(values, each.field), where, each.short, each.compact, close)
        for each in _IN_COMPACT
    ]
    return " ".join([where, unknowns.cell(close, where, "close", _price), *cells])


def full(snapshot: Snapshot, *, reader: str = "") -> str:
    """Return the snapshot with a label for every value, and the reason of each unknown value in its place."""
    return "\n".join(
        [
            "Safety limits in force:",
            *([f"  {name}: {text}" for name, text in snapshot.limits] or ["  not shown here"]),
            note_line(snapshot.note, reader, "Note") if snapshot.note else "Note: none",
            *not_taken_lines(snapshot, reader),
            f"Last trades (opened, duration, PnL), oldest first:{'' if snapshot.trades else ' none'}",
            *(f"  {_trade(each)}" for each in snapshot.trades),
            f"Product: {snapshot.product}",
            f"Market regime: {_or_why(snapshot.regime)}",
            f"Macro regime: {_or_why(snapshot.macro)}",
            f"Scale of size limits: {plain(snapshot.scale)}",
            f"State: {snapshot.state}; equity: {plain(round(snapshot.equity, 2))}; now: {iso(snapshot.at)}",
            "Woken by:",
            *(f"  {wake_line(each, reader)}" for each in snapshot.wake),
            *(f"  {each}" for each in wake_quotations(snapshot, reader)),
            f"Correlations of open positions:{'' if snapshot.correlations else ' none'}",
            *(f"  {each.first} with {each.second}: {_shown(each.value, _share)}" for each in snapshot.correlations),
            *(line for view in snapshot.symbols.values() for line in _symbol_lines(view)),
        ]
    )


def _symbol_lines(view: SymbolView) -> list[str]:
    lines = [
        view.symbol,
        f"  last price: {_shown(view.last, _price)}",
        f"  age of it, s: {_age(view.age_ms)}",
        f"  return over 1h, %: {_shown(view.return_1h, _percent)}; 4h: {_shown(view.return_4h, _percent)}; "
        f"24h: {_shown(view.return_24h, _percent)}",
        f"  derivatives, -1..1: {_shown(view.derivatives.composite, _share)}",
        *(f"    {each.long}: {_shown(getattr(view.derivatives, each.field), each.full)}" for each in _DERIVATIVES),
    ]
    if isinstance(sizes := view.feasible, Unknown):
        lines.append(f"  sizes that would pass: {_or_why(sizes)}")
    else:
        most = f"long up to {plain(sizes.long_max)}, short up to {plain(sizes.short_max)}"
        lines.append(f"  sizes that would pass: {most}, at least {plain(sizes.min)}")
    if (held := view.position) is None:
        lines.append("  position: none")
    else:
        lines += [
            f"  position: {plain(held.quantity)} at {_price(float(held.average_price))} since {_time(held.opened_at)}",
            f"    mark: {plain(held.mark)}; unrealised: {plain(round(held.unrealised, 2))}; "
            f"stop: {_or_none(held.stop)}",
            f"    leverage: {held.leverage}; liquidation price: {_or_none(held.liquidation_price)}",
            f"    most favourable excursion, %: {_shown(held.mfe, _percent)}; "
            f"most adverse: {_shown(held.mae, _percent)}",
        ]
    for values in view.indicators:
        lines += [f"  {values.timeframe}, {values.candles} closed candles:", *_values_lines(values)]
    for each in view.forming:
        if isinstance(candle := each.candle, Unknown):
            lines.append(f"  {each.timeframe}, still forming: {_or_why(candle)}")
        else:
            lines += [
                f"  {each.timeframe}, still forming since {_time(candle.opened_at)}, as if it closed now:",
                f"    open: {_price(candle.open)}; high: {_price(candle.high)}; low: {_price(candle.low)}; "
                f"volume: {significant(candle.volume, VOLUME_DIGITS)}",
                *_values_lines(candle.indicators),
            ]
    return lines


def _values_lines(values: IndicatorValues) -> list[str]:
    shown = [f"    {each.long}: {_shown(getattr(values, each.field), each.full)}" for each in _COLUMNS]
    return [f"    close: {_shown(values.close, _price)}", *shown]


def _shown(value: Reading, show: Beside) -> str:
    return _or_why(value) if isinstance(value, Unknown) else show(value, 0.0)


def _or_why(value: str | Unknown) -> str:
    return f"unknown ({value.reason})" if isinstance(value, Unknown) else value


def _trade(trade: TradeView) -> str:
    hours = (trade.closed_at - trade.opened_at) / HOUR
    return f"{trade.symbol} {trade.side} {_time(trade.opened_at)} {hours:.1f}h {trade.pnl:+.2f}"


def _or_none(price: Decimal | None) -> str:
    return "none" if price is None else plain(price)


def _time(ms: int) -> str:
    return iso(ms)[:16]


def _age(age_ms: int) -> str:
    return "none" if age_ms < 0 else str(age_ms // SECOND)
