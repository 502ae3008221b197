"""Tools about the market: snapshot, candles, indicators and weights; `outlook_tools.py` has the others."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from mcp.types import CallToolResult
from pydantic import Field

from ocw_mcp.core.signals import SIGNALS
from ocw_mcp.domain.learning import LearnedClaim
from ocw_mcp.domain.metrics import INDICATORS
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import Snapshot, SymbolView
from ocw_mcp.domain.time import iso
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.interfaces.mcp import outlook_results, results
from ocw_mcp.interfaces.mcp.account_tools import position_of, position_text
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, CONCISE, DETAILED, cursor_of, older_line, place_of
from ocw_mcp.interfaces.mcp.outlook_tools import derivatives_readings, outlook_tools
from ocw_mcp.interfaces.mcp.reasons import Reasons
from ocw_mcp.interfaces.mcp.results import Meta, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, make, meta, respond, text_of
from ocw_mcp.render.learning_text import COLUMNS, evidence_text, row, table_lines
from ocw_mcp.render.outlook_text import anomaly_line
from ocw_mcp.render.quotations import note_line
from ocw_mcp.render.readings_text import (
    LEVEL_DIGITS,
    VOLUME_DIGITS,
    Unknowns,
    closes_line,
    derivatives_line,
    forming_lines,
    indicator_table,
    open_text,
    price_line,
    significant,
    sizes_line,
)
from ocw_mcp.render.snapshot_text import account_line, correlations, position_lines

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Candles, Facade

Detail = Literal["concise", "detailed"]

KEY_TIMEFRAMES = ("1h", "4h")
KEY_INDICATORS = ("close", "rsi_14", "adx_14", "atr_14", "macd_histogram", "ema_21", "ema_50", "percent_b")
"""Timeframes and indicators of a concise snapshot."""

_PRICES = ("last", "return_1h", "return_4h", "return_24h")


def market_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def market_get_snapshot(
        symbol: str | None = None, detail: Detail = "concise"
    ) -> Annotated[CallToolResult, results.SnapshotResult]:
        """The market as a decision sees it now, with positions and the largest sizes that pass. concise: key
        indicators; detailed: all. *: forming candle."""
        return _snapshot(get_facade(), symbol, detailed=detail == "detailed")

    async def market_get_candles(
        symbol: str,
        timeframe: str = "1h",
        limit: Annotated[int, Field(ge=1, le=300), ASCII_NUMBER] = 12,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, results.CandlesResult]:
        """Closed candles, oldest first; cursor for older ones. Timeframes: 1m 5m 15m 1h 4h. A candle without open
        opens at the close before."""
        facade = get_facade()
        found = facade.candles(symbol, timeframe, limit, place_of("candles", cursor))
        result = candles_of(meta(facade), found)
        columns = f"{result.symbol} {result.timeframe}, opened high low close volume"
        return respond(result, columns, *_candle_lines(found.rows), *older_line(result.cursor))

    async def market_get_indicators(
        symbol: str, timeframe: str | None = None
    ) -> Annotated[CallToolResult, results.IndicatorsResult]:
        """All indicators of one symbol on the last closed candle of 15m, 1h and 4h, or one of them. *: forming one."""
        facade = get_facade()
        found = facade.indicators(symbol, timeframe)
        reasons = Reasons()
        values = {timeframe: reasons.numbers(timeframe, each, INDICATORS) for timeframe, each in found.items()}
        known = facade.known(symbol)
        result = results.IndicatorsResult(meta=meta(facade), symbol=known, indicators=values, unknown=reasons.texts())
        unknowns = Unknowns()
        lines = indicator_table(known, found, INDICATORS, unknowns, facade.snapshot(symbol).at)
        return respond(result, known, *lines, *unknowns.lines())

    async def weights_get() -> Annotated[CallToolResult, outlook_results.WeightsResult]:
        """Learned weights; rules."""
        facade = get_facade()
        result, learned = weights_of(facade), facade.learning.learned(facade.snapshot().at)
        head = f"learning {result.mode}, regime {learned.regime}, from {evidence_text(learned)}"
        table = " ".join(f"{name}={value}" for name, value in result.rules.items())
        return respond(result, head, *table_lines(learned), f"rules: {table}")

    tools = (market_get_snapshot, market_get_candles, market_get_indicators, weights_get)
    return [*(make(each) for each in tools), *outlook_tools(get_facade)]


def weights_of(facade: "Facade") -> outlook_results.WeightsResult:
    """Return what was learned in the present regime, and the parameters of the rules."""
    learned, policies = facade.learning.learned(facade.snapshot().at), facade.policies
    return outlook_results.WeightsResult(
        meta=meta(facade),
        mode=policies.learning.mode,
        regime=learned.regime,
        trades=learned.trades,
        decisions=learned.counterfactuals,
        excluded=dict(learned.excluded),
        columns=list(COLUMNS),
        signals=[list(row(each)) for each in learned.signals],
        groups=[list(row(each)) for each in learned.groups],
        meanings={each.name: SIGNALS[each.name].meaning for each in learned.signals},
        size={name: round(value, 6) for name, value in msgspec.structs.asdict(learned.size).items()},
        choices={
            each.parameter: {"try": each.value, "best": each.best, "n": round(each.evidence, 1)}
            for each in learned.choices
        },
        exits={each.horizon: round(each.regret, 4) for each in learned.exits},
        claim_columns=list(LearnedClaim.__struct_fields__),
        claims=[
            [round(value, 4) if isinstance(value, float) else value for value in msgspec.structs.astuple(each)]
            for each in learned.claims
        ],
        rules={name: str(value) for name, value in policies.rules},
    )


def candles_of(meta: Meta, found: "Candles") -> results.CandlesResult:
    """Return candles as a typed result."""
    return from_attributes(
        results.CandlesResult,
        found,
        meta=meta,
        columns=["opened", "open", "high", "low", "close", "volume"],
        rows=[[iso(at), *values] for at, *values in found.rows],
        cursor=cursor_of("candles", found.rows[0][0]) if found.more else None,
    )


def snapshot_of(
    facade: "Facade", taken: Snapshot, views: Sequence[SymbolView], names: tuple[str, ...]
) -> results.SnapshotResult:
    """Return `views` of a snapshot with the indicators in `names`, and the names of its other symbols."""
    reasons, shown = Reasons(), {view.symbol for view in views}
    symbols = [_symbol(facade, view, reasons, names) for view in views]
    for name, mood in (("regime", taken.regime), ("macro", taken.macro)):
        if isinstance(mood, Unknown):
            reasons.add(name, mood)
    left_out = [name for name in taken.symbols if name not in shown]
    return from_attributes(
        results.SnapshotResult, taken, meta=meta(facade), symbols=symbols, unknown=reasons.texts(), truncated=left_out
    )


def _snapshot(facade: "Facade", symbol: str | None, *, detailed: bool) -> CallToolResult:
    """Return the answer of `market_get_snapshot`: as many symbols as fit, with the names of the others."""
    taken = facade.snapshot(symbol)
    views, longest = list(taken.symbols.values()), DETAILED if detailed else CONCISE
    names: tuple[str, ...] = INDICATORS if detailed else KEY_INDICATORS
    if not detailed:
        for place, view in enumerate(views):
            kept = tuple(each for each in view.indicators if each.timeframe in KEY_TIMEFRAMES)
            views[place] = msgspec.structs.replace(view, indicators=kept, recent=())
    shown = len(views)
    while True:
        unknowns, result = Unknowns(), snapshot_of(facade, taken, views[:shown], names)
        left_out = result.truncated
        lines = [f"{account_line(taken)}; times UTC"]
        for view in views[:shown]:
            lines += _symbol_lines(view, taken, names, unknowns, detailed=detailed)
        if detailed:
            lines += [f"correlation {each}" for each in correlations(taken, unknowns)]
            lines += [note_line(taken.note, "", taken.at)] if taken.note else []
        lines += unknowns.lines()
        lines += [f"left out for length: {', '.join(left_out)}; ask for them by symbol"] if left_out else []
        if shown <= 1 or len(text_of(result, *lines)) <= longest:
            return respond(result, *lines)
        shown -= 1


def _candle_lines(rows: Sequence[tuple[int, float, float, float, float, float]]) -> Iterator[str]:
    """Yield one line per candle below its day. The open is at the end, unless it is the close before."""
    day = ""
    before: float | None = None
    for opened, first, high, low, close, volume in rows:
        date, _, time = iso(opened).removesuffix("Z").partition("T")
        if date != day:
            yield date
            day = date
        prices = " ".join(significant(each, LEVEL_DIGITS) for each in (high, low, close))
        yield f"{time.removesuffix(':00')} {prices} {significant(volume, VOLUME_DIGITS)}{open_text(first, before)}"
        before = close


def _symbol_lines(
    view: SymbolView, taken: Snapshot, names: tuple[str, ...], unknowns: Unknowns, *, detailed: bool
) -> list[str]:
    """Return one symbol as lines, in the words of the context of a wake."""
    lines = [price_line(view, unknowns), *(["no position"] if view.position is None else [])]
    if view.position is not None:
        lines += position_lines(view.position, taken.equity, taken.at, unknowns)
    lines.append(sizes_line(view, unknowns))
    lines += [derivatives_line(view, unknowns), anomaly_line(view), closes_line(view)]
    lines += forming_lines(view, unknowns) if detailed else []
    table = indicator_table(view.symbol, view.all_indicators(), names, unknowns, taken.at)
    return [*(line for line in lines if line), *table]


def _symbol(facade: "Facade", view: SymbolView, reasons: Reasons, names: tuple[str, ...]) -> results.SymbolOut:
    readings = reasons.numbers(view.symbol, view, _PRICES) | derivatives_readings(view, reasons)
    indicators = {
        each.timeframe: reasons.numbers(f"{view.symbol} {each.timeframe}", each, names) for each in view.indicators
    }
    for each in view.forming:
        star = f"{each.timeframe}*"
        if isinstance(each.candle, Unknown):
            reasons.add(f"{view.symbol} {star}", each.candle)
        else:
            indicators[star] = reasons.numbers(f"{view.symbol} {star}", each.candle.indicators, names)
    sizes: dict[str, str] = {}
    if isinstance(view.feasible, Unknown):
        reasons.add(f"{view.symbol} sizes", view.feasible)
    else:
        sizes = {name: plain(getattr(view.feasible, name)) for name in ("long_max", "short_max", "min")}
    position = None if view.position is None else position_text(position_of(facade, view.position))
    return results.SymbolOut(
        symbol=view.symbol, readings=readings, sizes=sizes, position=position, indicators=indicators
    )
