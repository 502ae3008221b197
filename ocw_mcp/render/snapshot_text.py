"""A snapshot as plain text for a model: tables with one header per table.

The text begins with the parts that change least (columns, limits, note, trades) and ends with those that change at
every wake, so that the texts of two wakes share the longest possible beginning. An unknown value is never omitted: it
is shown as `?`, and its reason at the end. Only remarks of other authors than `reader` are quoted as data.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView, TradeView
from ocw_mcp.domain.time import HOUR, SECOND, iso
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.render.quotations import note_line, wake_line, wake_quotations
from ocw_mcp.render.since_text import refused_then, since_lines, standing_lines

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


class _Column(NamedTuple):
    field: str
    short: str
    show: Beside


_COLUMNS: Final = (
    _Column("rsi_7", "rsi7", _points),
    _Column("rsi_14", "rsi14", _points),
    _Column("stoch_rsi_k", "k", _points),
    _Column("stoch_rsi_d", "d", _points),
    _Column("macd", "macd", _of_close),
    _Column("macd_signal", "sig", _of_close),
    _Column("macd_histogram", "hist", _of_close),
    _Column("ema_9", "ema9", _from_close),
    _Column("ema_21", "ema21", _from_close),
    _Column("ema_50", "ema50", _from_close),
    _Column("percent_b", "%b", _share),
    _Column("bandwidth", "bw", _percent),
    _Column("atr_14", "atr", _of_close),
    _Column("vwap_deviation", "vwap", _percent),
    _Column("mfi_14", "mfi", _points),
    _Column("obv_change_14", "obv", _share),
    _Column("obv_divergence_14", "div", _share),
    _Column("supertrend", "st", _from_close),
    _Column("adx_14", "adx", _points),
)

_DERIVATIVES: Final = (
    _Column("funding_8h", "fund8h", _fixed(4, 0.01)),
    _Column("open_interest_change_24h", "oi24h", _percent),
    _Column("taker_ratio_1h", "taker1h", _share),
    _Column("long_short", "ls", _share),
    _Column("long_short_z", "lsz", _share),
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
    lines += [note_line(snapshot.note, reader, "note") + refused_then(snapshot)] if snapshot.note else []
    lines += _listed("trades (opened, duration, pnl)", [_trade(each) for each in trades])
    lines.append(f"product {snapshot.product} {' '.join(shown)} scale {plain(snapshot.scale)}")
    lines.append(f"state {snapshot.state} equity {plain(round(snapshot.equity, 2))} at {_time(snapshot.at)}")
    lines += _listed("woken by", [wake_line(each, reader) for each in snapshot.wake])
    lines += wake_quotations(snapshot, reader)
    lines += since_lines(snapshot, reader) + standing_lines(snapshot, reader)
    lines.append("symbol last age_s ret1h ret4h ret24h deriv long_max short_max min")
    lines += [_symbol_row(view, unknowns) for view in views]
    lines += _derivatives_rows(snapshot, unknowns)
    lines += _position_rows(snapshot, unknowns)
    pairs = {f"{each.first}/{each.second}": each.value for each in snapshot.correlations}
    correlated = [f"{pair} {unknowns.cell(value, pair, 'correlation', _share)}" for pair, value in pairs.items()]
    lines += _listed("correlation", correlated)
    lines += _forming_rows(snapshot, unknowns)
    lines.append(" ".join(["symbol tf close", *(column.short for column in _COLUMNS)]))
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
    """Return the rows of symbols with a known value; others show `?` as their composite, with the reason."""
    rows = []
    for view in snapshot.symbols.values():
        values = {each: getattr(view.derivatives, each.field) for each in _DERIVATIVES}
        if not all(isinstance(value, Unknown) for value in values.values()):
            cells = [unknowns.cell(value, view.symbol, each.short, each.show) for each, value in values.items()]
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
        else unknowns.cell(getattr(values, each.field), where, each.short, each.show, close)
        for each in _COLUMNS
    ]
    return " ".join([where, unknowns.cell(close, where, "close", _price), *cells])


def _trade(trade: TradeView) -> str:
    hours = (trade.closed_at - trade.opened_at) / HOUR
    return f"{trade.symbol} {trade.side} {_time(trade.opened_at)} {hours:.1f}h {trade.pnl:+.2f}"


def _or_none(price: Decimal | None) -> str:
    return "none" if price is None else plain(price)


def _time(ms: int) -> str:
    return iso(ms)[:16]


def _age(age_ms: int) -> str:
    return "none" if age_ms < 0 else str(age_ms // SECOND)
