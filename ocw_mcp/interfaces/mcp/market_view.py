"""Answers of the market tools: typed results for programs, with compact text for models."""

from collections.abc import Iterable, Mapping

import msgspec
from mcp.types import CallToolResult

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import Feasible, IndicatorValues, PositionView, Snapshot, SymbolView, SymbolViews
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.interfaces.mcp.access import headline
from ocw_mcp.interfaces.mcp.paging import CONCISE, DETAILED
from ocw_mcp.interfaces.mcp.results import (
    CandlesResult,
    DerivativesResult,
    IndicatorsResult,
    Meta,
    Readings,
    SnapshotResult,
    SymbolOut,
)
from ocw_mcp.interfaces.mcp.tool import respond
from ocw_mcp.render.snapshot_text import VOLUME_DIGITS, compact, significant

KEY_TIMEFRAMES = ("1h", "4h")
KEY_INDICATORS = ("close", "rsi_14", "adx_14", "atr_14", "macd_histogram", "ema_21", "ema_50", "percent_b")
"""Indicators in a concise snapshot."""

_ALL_INDICATORS = tuple(name for name in IndicatorValues.__struct_fields__ if name not in ("timeframe", "candles"))
_RETURNS = ("return_1h", "return_4h", "return_24h")
_PLACES_NAMED = 12


class _Reasons:
    """Why values are unknown: each reason with the names of the values."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, where: str, unknown: Unknown) -> None:
        self._places.setdefault(unknown.reason, []).append(where)

    def number(self, where: str, value: Reading) -> float | None:
        if isinstance(value, Unknown):
            self.add(where, value)
            return None
        return float(f"{value:.7g}")

    def numbers(self, where: str, values: msgspec.Struct, names: Iterable[str]) -> Readings:
        return {name: self.number(f"{where} {name}", getattr(values, name)) for name in names}

    def texts(self) -> dict[str, str]:
        """Return the first places of each reason, and the number of further ones."""
        return {
            reason: ", ".join(places[:_PLACES_NAMED])
            + (f" and {len(places) - _PLACES_NAMED} more" if len(places) > _PLACES_NAMED else "")
            for reason, places in self._places.items()
        }


def snapshot(meta: Meta, taken: Snapshot, *, detailed: bool) -> CallToolResult:
    """Return the answer of `market_get_snapshot`: as many symbols as fit, with the names of the others."""
    whole, most = (taken, DETAILED) if detailed else (_concise(taken), CONCISE)
    names = list(whole.symbols)
    shown = len(names)
    while True:
        part = msgspec.structs.replace(whole, symbols={name: whole.symbols[name] for name in names[:shown]})
        left_out = names[shown:]
        result, text = _snapshot(meta, part, left_out, detailed=detailed), _snapshot_text(meta, part, left_out)
        if shown <= 1 or max(len(text), len(result.model_dump_json())) <= most:
            return respond(result, text)
        shown -= 1


def candles(result: CandlesResult) -> CallToolResult:
    """Return the answer of `market_get_candles`: one line per candle, grouped by day."""
    lines, day = [], ""
    for opened, *prices, volume in result.rows:
        date, _, time = str(opened).removesuffix("Z").partition("T")
        if date != day:
            lines.append(date)
            day = date
        price_texts = (significant(float(price), 7) for price in prices)
        lines.append(" ".join([time.removesuffix(":00"), *price_texts, significant(float(volume), VOLUME_DIGITS)]))
    more = [f"older: cursor={result.cursor}"] if result.cursor else []
    of_what = f"{result.symbol} {result.timeframe}, {' '.join(result.columns)}"
    return respond(result, "\n".join([headline(result.meta), of_what, *lines, *more]))


def indicators(meta: Meta, symbol: str, found: Mapping[str, IndicatorValues]) -> CallToolResult:
    """Return the answer of `market_get_indicators`: one line per indicator."""
    reasons = _Reasons()
    values = {timeframe: reasons.numbers(timeframe, each, _ALL_INDICATORS) for timeframe, each in found.items()}
    result = IndicatorsResult(meta=meta, symbol=symbol, indicators=values, unknown=reasons.texts())
    lines = [
        " ".join([name, *(_number(readings[name], 5) for readings in values.values())]) for name in _ALL_INDICATORS
    ]
    return respond(
        result, "\n".join([headline(meta), " ".join([symbol, *values]), *lines, *_unknown_lines(result.unknown)])
    )


def derivatives(meta: Meta, taken: Snapshot, not_built: Mapping[str, str]) -> CallToolResult:
    """Return the answer of `derivatives_get_summary`; `not_built` are readings without a source, with the reason."""
    reasons = _Reasons()
    symbols = {name: _derivatives(view, reasons) for name, view in taken.symbols.items()}
    result = DerivativesResult(meta=meta, symbols=symbols, unknown=reasons.texts(), unavailable=dict(not_built))
    lines = [f"{symbol}: {_pairs(readings)}" for symbol, readings in symbols.items()]
    missing = [f"{name}: unavailable, {why}" for name, why in not_built.items()]
    return respond(result, "\n".join([headline(meta), *lines, *_unknown_lines(result.unknown), *missing]))


def position_line(held: PositionView) -> str:
    """Return a position in a few words."""
    stop = f"stop at {plain(held.stop)}" if held.stop is not None else "UNPROTECTED"
    average = plain(round(held.average_price, 8))
    unrealised = plain(round(held.unrealised, 2))
    return f"{plain(held.quantity)} at {average}, mark {plain(held.mark)}, unrealised {unrealised}, {stop}"


def _concise(taken: Snapshot) -> Snapshot:
    views = SymbolViews.of(
        msgspec.structs.replace(
            view, indicators=tuple(each for each in view.indicators if each.timeframe in KEY_TIMEFRAMES), forming=()
        )
        for view in taken.symbols.values()
    )
    return msgspec.structs.replace(taken, symbols=views, limits=(), trades=())


def _snapshot(meta: Meta, taken: Snapshot, left_out: list[str], *, detailed: bool) -> SnapshotResult:
    reasons = _Reasons()
    names = _ALL_INDICATORS if detailed else KEY_INDICATORS
    symbols = [_symbol(view, reasons, names) for view in taken.symbols.values()]
    for name, mood in (("regime", taken.regime), ("macro", taken.macro)):
        if isinstance(mood, Unknown):
            reasons.add(name, mood)
    return SnapshotResult(
        meta=meta,
        equity=plain(round(taken.equity, 2)),
        scale=plain(taken.scale),
        symbols=symbols,
        unknown=reasons.texts(),
        truncated=left_out,
    )


def _snapshot_text(meta: Meta, taken: Snapshot, left_out: list[str]) -> str:
    missing = [f"left out for length: {', '.join(left_out)}; ask for them by symbol"] if left_out else []
    return "\n".join([headline(meta), compact(taken), *missing])


def _symbol(view: SymbolView, reasons: _Reasons, names: tuple[str, ...]) -> SymbolOut:
    readings = {"last": reasons.number(f"{view.symbol} last", view.last)}
    readings |= reasons.numbers(view.symbol, view, _RETURNS) | _derivatives(view, reasons)
    indicators = {
        each.timeframe: reasons.numbers(f"{view.symbol} {each.timeframe}", each, names) for each in view.indicators
    }
    for each in view.forming:
        where = f"{each.timeframe}*"
        if isinstance(each.candle, Unknown):
            reasons.add(f"{view.symbol} {where}", each.candle)
        else:
            indicators[where] = reasons.numbers(f"{view.symbol} {where}", each.candle.indicators, names)
    return SymbolOut(
        symbol=view.symbol,
        readings=readings,
        sizes=_sizes(view, reasons),
        position=position_line(view.position) if view.position else None,
        indicators=indicators,
    )


def _sizes(view: SymbolView, reasons: _Reasons) -> dict[str, str]:
    sizes = view.feasible
    if isinstance(sizes, Feasible):
        return {name: plain(getattr(sizes, name)) for name in Feasible.__struct_fields__}
    reasons.add(f"{view.symbol} sizes", sizes)
    return {}


def _derivatives(view: SymbolView, reasons: _Reasons) -> Readings:
    return reasons.numbers(view.symbol, view.derivatives, type(view.derivatives).__struct_fields__)


def _pairs(readings: Readings) -> str:
    return " ".join(f"{name}={_number(value, 7)}" for name, value in readings.items())


def _number(value: float | None, digits: int) -> str:
    return "?" if value is None else significant(value, digits)


def _unknown_lines(unknown: dict[str, str]) -> list[str]:
    return [f"? {reason}: {where}" for reason, where in unknown.items()]
