"""The readings of one symbol as text, under the names, units and signs of wake conditions.

Readings are absolute values: prices in quote currency, returns and rates as shares. Sizes, gains and distances are in
percent, with their sign `%`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from ocw_mcp.domain.metrics import DERIVATIVES, RETURNS
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import FormingCandle, IndicatorValues, SizeStep, SymbolView
from ocw_mcp.domain.time import MINUTE, SECOND, iso, span_ms
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.render.text import span

VOLUME_DIGITS: Final = 4
PRICE_DIGITS: Final = 7
LEVEL_DIGITS: Final = 5
"""Significant digits of prices of candles and of indicators: they differ from the whole price by 0.005 % at most."""
BRIEFED: Final = (
    *("close", "rsi_14", "adx_14", "atr_14", "macd_histogram", "ema_21", "ema_50", "percent_b", "supertrend"),
)
"""The indicators of a briefed context, which has the VWAP beside the price; a tool has the others."""
_LEVELS: Final = ("close", "ema_9", "ema_21", "ema_50", "supertrend")
"""The indicators that are price levels."""
_ENOUGH: Final = 50
"""The number of candles from which every indicator has a value."""
_TOO_FEW: Final = Unknown("too few candles yet")
_CLOSE: Final = Decimal("0.001")
"""Distances of stops that differ by so much are shown as one."""
_IF_KNOWN: Final = ("basis", "liquidations_1h")
"""Derivatives readings that are shown only if they are known."""
_JUMP: Final = 0.0005
"""The difference of an open from the close before, as a share of it, from which the open is shown."""
_STALE_BY: Final = MINUTE
"""A row is stale if its candle should have been followed by another one so long ago."""


class Unknowns:
    """The reasons of unknown values, each with the places of the values, in order of appearance."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, list[str]]] = {}

    def number(self, value: Reading, where: str, name: str, digits: int, *, sign: bool = False) -> str:
        """Return a number with some significant digits, or `?` for an unknown one, whose reason is kept."""
        if isinstance(value, Unknown):
            return self.mark(value, where, name)
        text = significant(value, digits)
        return f"+{text}" if sign and value > 0 else text

    def mark(self, unknown: Unknown, where: str, name: str) -> str:
        """Keep the reason of an unknown value and return `?`."""
        names = self._places.setdefault(unknown.reason, {}).setdefault(name, [])
        if where and where not in names:
            names.append(where)
        return "?"

    def lines(self) -> list[str]:
        """Return one line per reason: the names of the values, each with its places if they are not the same."""
        lines = []
        for reason, names in self._places.items():
            by_places: dict[str, list[str]] = {}
            for name, places in names.items():
                by_places.setdefault(" ".join(places), []).append(name)
            texts = (f"{' '.join(each)}{f' of {places}' if places else ''}" for places, each in by_places.items())
            lines.append(f"? {reason}: {'; '.join(texts)}")
        return lines


def significant(value: float, digits: int) -> str:
    """Return a number with `digits` significant digits, without an exponent; digits before the point are all kept."""
    decimals = min(12, max(0, digits - 1 - math.floor(math.log10(abs(value))))) if value else 0
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def percent(share: Decimal | float, *, sign: bool = False) -> str:
    """Return a share in percent: `13.49 %`."""
    return f"{100 * share:{'+' if sign else ''}.2f} %"


def floored(share: Decimal) -> str:
    """Return a largest size in percent, rounded down: `13.49 %`."""
    return f"{plain(Decimal(int(share * 10_000)) / 100)} %"


def digits_of(metric: str) -> int:
    """Return the significant digits with which an indicator is shown."""
    return LEVEL_DIGITS if metric in _LEVELS else 3


def price_line(view: SymbolView, unknowns: Unknowns) -> str:
    """Return the price with its age, the returns, and the range and the VWAP of the UTC day, on one line."""
    where = view.symbol
    returns = " ".join(f"{each} {unknowns.number(getattr(view, each), where, each, 3, sign=True)}" for each in RETURNS)
    parts = [f"{where} price {unknowns.number(view.last, where, 'price', PRICE_DIGITS)}{_age(view.age_ms)}", returns]
    low, high = view.day_low, view.day_high
    if not (isinstance(low, Unknown) or isinstance(high, Unknown)):
        parts.append(f"day low {significant(low, LEVEL_DIGITS)} high {significant(high, LEVEL_DIGITS)}{_vwap(view)}")
    return ", ".join(parts)


def _age(age_ms: int) -> str:
    return "" if age_ms == 0 else " (none yet)" if age_ms < 0 else f" ({span(age_ms // SECOND * SECOND)} old)"


def _vwap(view: SymbolView) -> str:
    """Return the VWAP of the UTC day, from the shortest forming candle, or else from the shortest closed one."""
    forming = (values for name, values in view.all_indicators().items() if name.endswith("*"))
    values = next(iter([*forming, *view.indicators]), None)
    if values is None or isinstance(values.close, Unknown) or isinstance(values.vwap_deviation, Unknown):
        return ""
    return f" VWAP {significant(values.close / (1 + values.vwap_deviation), LEVEL_DIGITS)}"


def derivatives_line(view: SymbolView, unknowns: Unknowns) -> str:
    """Return the derivatives readings on one line, funding and liquidations in words; empty if none is known."""
    values, where, liquidations = view.derivatives, view.symbol, view.liquidations
    forced = "" if isinstance(liquidations, Unknown) or not liquidations else liquidated(liquidations)
    known = {name: getattr(values, name) for name in DERIVATIVES}
    if all(isinstance(value, Unknown) for value in known.values()):
        return forced
    # A market without index prices or liquidations has no reading of them: its line does not name them.
    known = {name: value for name, value in known.items() if name not in _IF_KNOWN or not isinstance(value, Unknown)}
    texts = {name: f"{name} {unknowns.number(value, where, name, 3)}" for name, value in known.items()}
    # A part that would be shown as 0 is left out.
    parts = [f"{name} {part:+.2f}" for name, part in values.parts.items() if abs(part) >= 0.005]
    if parts and not isinstance(values.composite, Unknown):
        texts["composite"] += f" ({' '.join(parts)})"
    rate = values.funding_8h
    if not isinstance(rate, Unknown) and rate:
        payer = "longs" if rate > 0 else "shorts"
        due = "" if view.next_funding_at is None else f", next at {_clock(view.next_funding_at)}"
        texts["funding_8h"] += f" ({payer} pay {100 * abs(rate):.4f} %{due})"
    extremes = [f"EXTREME: {' '.join(values.extremes)}"] if values.extremes else []
    return ", ".join([*texts.values(), *extremes, *([forced] if forced else [])])


def liquidated(share: float) -> str:
    """Return a reading of forced liquidations in words: mainly longs above 0, mainly shorts below."""
    side = "longs" if share > 0 else "shorts"
    return f"{side} liquidated in 5m: {100 * abs(share):.2g} % of the volume of 1h"


def closes_line(view: SymbolView) -> str:
    """Return the recent closes of 1h on one line, oldest first, up to the time of the last one; empty without any."""
    closed_at = next((each.closed_at for each in view.indicators if each.timeframe == "1h"), None)
    if not view.recent or closed_at is None:
        return ""
    return f"1h closes to {_clock(closed_at)}: {' '.join(significant(each, LEVEL_DIGITS) for each in view.recent)}"


def forming_lines(view: SymbolView, unknowns: Unknowns) -> list[str]:
    """Return one line per forming candle: high, low and volume so far; its close is the price.

    The open is at the end, unless it is the close before.
    """
    lines, closed = [], {each.timeframe: each.close for each in view.indicators}
    for each in view.forming:
        if isinstance(candle := each.candle, Unknown):
            unknowns.mark(candle, view.symbol, f"{each.timeframe}*")
        else:
            lines.append(
                f"{each.timeframe}* since {_clock(candle.opened_at)}: {_candle(candle, closed.get(each.timeframe))}"
            )
    return lines


def _candle(candle: FormingCandle, before: Reading | None) -> str:
    prices = {"high": candle.high, "low": candle.low}
    shown = " ".join(f"{name} {significant(value, LEVEL_DIGITS)}" for name, value in prices.items())
    return f"{shown} volume {significant(candle.volume, VOLUME_DIGITS)}{open_text(candle.open, before)}"


def open_text(price: float, before: Reading | None) -> str:
    """Return the open of a candle, or an empty text if it is the close `before` it, but for a small difference."""
    if isinstance(before, float) and abs(price - before) <= _JUMP * before:
        return ""
    return f" open {significant(price, LEVEL_DIGITS)}"


def indicator_table(
    symbol: str, columns: Mapping[str, IndicatorValues], names: Sequence[str], unknowns: Unknowns, now: int
) -> list[str]:
    """Return a row per indicator and a column per timeframe, headed by the time of the candle's close.

    A star marks a forming candle, taken as if it closed now. A column whose next candle is overdue is STALE.
    """
    known = {}
    for name, each in _beside(columns).items():
        if isinstance(each.close, Unknown):
            unknowns.mark(each.close, symbol, f"@{name}")
        else:
            known[name] = each
    if not known:
        return []
    head = " ".join(f"@{name}{_head(each, now)}" for name, each in known.items())
    return [f"metric {head}", *(line for name in names for line in _row(symbol, name, known, unknowns))]


def _beside(columns: Mapping[str, IndicatorValues]) -> dict[str, IndicatorValues]:
    """Return the columns with each forming candle beside the closed one of its timeframe."""
    order = sorted(columns, key=lambda name: (span_ms(name.removesuffix("*")), name))
    return {name: columns[name] for name in order}


def _row(symbol: str, metric: str, columns: Mapping[str, IndicatorValues], unknowns: Unknowns) -> list[str]:
    """Return the row of an indicator; none if it is unknown in every column, for lack of candles."""
    cells = []
    for name, values in columns.items():
        value: Reading = getattr(values, metric)
        if isinstance(value, Unknown) and values.candles < _ENOUGH:
            cells.append(unknowns.mark(_TOO_FEW, symbol, metric))
        else:
            cells.append(unknowns.number(value, symbol, f"{metric}@{name}", digits_of(metric)))
    young = all(values.candles < _ENOUGH for values in columns.values())
    return [] if young and set(cells) == {"?"} else [" ".join([metric, *cells])]


def _head(values: IndicatorValues, now: int) -> str:
    """Return the time of the close, STALE if the next candle is overdue, and the number of candles if they are few."""
    if values.closed_at is None:
        return ""
    stale = now - values.closed_at >= span_ms(values.timeframe) + _STALE_BY
    few = f" {values.candles} candles" if values.candles < _ENOUGH else ""
    return f"({_clock(values.closed_at)}{' STALE' if stale else ''}{few})"


def sizes_line(view: SymbolView, unknowns: Unknowns) -> str:
    """Return the largest entry of each side, as a share of equity, with the limits that bind."""
    if isinstance(found := view.feasible, Unknown):
        return f"max_size {unknowns.mark(found, view.symbol, 'max_size')}"
    held = view.position
    if held is not None:
        # An open position can only be added to.
        texts = {"ADD": found.long if held.quantity > 0 else found.short}
    elif (both := _common(found.long, found.short)) is not None:
        texts = {"long and short": both}
    else:
        texts = {"long": found.long, "short": found.short}
    shown = "; ".join(f"{side} {_steps(steps)}" for side, steps in texts.items() if steps)
    least = f"; smallest {percent(found.min_size)}" if shown and found.min_size >= Decimal("0.01") else ""
    return f"max_size {shown}{least}" if shown else ""


def _common(long: tuple[SizeStep, ...], short: tuple[SizeStep, ...]) -> tuple[SizeStep, ...] | None:
    """Return what both sides let pass if they hardly differ; None if they do."""
    if [(each.code, each.size > 0) for each in long] != [(each.code, each.size > 0) for each in short]:
        return None
    pairs = list(zip(long, short, strict=True))
    if any(abs(one.size - other.size) * 100 > one.size for one, other in pairs):
        return None
    if any(abs(one.distance - other.distance) > _CLOSE for one, other in pairs):
        return None
    return tuple(
        replace(one, size=min(one.size, other.size), distance=min(one.distance, other.distance)) for one, other in pairs
    )


def _steps(steps: Iterable[SizeStep]) -> str:
    texts: list[str] = []
    for each in steps:
        limit = f"{each.key or each.code}{'' if each.scale == 1 else f' ×{plain(each.scale)}'}"
        if not each.size:
            texts.append(f"0{f' at {plain(each.distance * 100)} %' if texts else ''} ({limit}: {each.why})")
            continue
        size, distance = floored(each.size), plain(each.distance * 100)
        texts.append(f"{size} {f'at {distance} %' if texts else f'to a stop {distance} % away'} ({limit})")
    return ", ".join(texts)


def _clock(ms: int) -> str:
    return iso(ms)[11:16]
