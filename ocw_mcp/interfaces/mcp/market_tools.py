"""Tools about the market: snapshot, candles, indicators, derivatives, regimes and weights."""

from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from ocw_mcp.domain.money import plain
from ocw_mcp.domain.time import iso
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.interfaces.mcp import market_view, paging
from ocw_mcp.interfaces.mcp.access import GetFacade, headline, meta
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER
from ocw_mcp.interfaces.mcp.results import (
    CandlesResult,
    DerivativesResult,
    IndicatorsResult,
    RegimeResult,
    SnapshotResult,
    WeightsResult,
)
from ocw_mcp.interfaces.mcp.tool import OcwTool, make, respond

Detail = Literal["concise", "detailed"]

_NO_SOURCE = "no data source yet"
_NOT_BUILT = {"liquidations": _NO_SOURCE, "perp_spot_basis": _NO_SOURCE}
_NOTHING_LEARNS = {"learned": "no learning yet; the rules use the parameters of the policy file"}


def market_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine of `get_facade`."""

    async def market_get_snapshot(
        symbol: str | None = None, detail: Detail = "concise"
    ) -> Annotated[CallToolResult, SnapshotResult]:
        """The market as a decision would see it now: prices, returns, derivatives, indicators, positions, and the sizes
        that would pass. concise: key indicators of 1h and 4h; detailed: all, with forming candles (*)."""
        facade = get_facade()
        snapshot = facade.snapshot(symbol)
        return market_view.snapshot(meta(facade), snapshot, detailed=detail == "detailed")

    async def market_get_candles(
        symbol: str,
        timeframe: str = "1h",
        limit: Annotated[int, Field(ge=1, le=300), ASCII_NUMBER] = 24,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, CandlesResult]:
        """Closed candles, oldest first; cursor for older ones. Timeframes: 1m 5m 15m 1h 4h."""
        facade = get_facade()
        found = facade.candles(symbol, timeframe, limit, paging.place("candles", cursor))
        rows: list[list[str | float]] = [[iso(at), *values] for at, *values in found.rows]
        result = CandlesResult(
            meta=meta(facade),
            symbol=found.symbol,
            timeframe=found.timeframe,
            columns=["opened", "open", "high", "low", "close", "volume"],
            rows=rows,
            cursor=paging.cursor("candles", found.rows[0][0]) if found.more else None,
        )
        return market_view.candles(result)

    async def market_get_indicators(
        symbol: str, timeframe: str | None = None
    ) -> Annotated[CallToolResult, IndicatorsResult]:
        """All indicators of one symbol on the last closed candle of 15m, 1h and 4h, or of one of them. A star marks a
        forming candle, taken as if it closed now."""
        facade = get_facade()
        found = facade.indicators(symbol, timeframe)
        return market_view.indicators(meta(facade), facade.known(symbol), found)

    async def derivatives_get_summary(symbol: str | None = None) -> Annotated[CallToolResult, DerivativesResult]:
        """Funding, open interest, taker flow, top traders' longs over shorts, and their composite (-1..1, above 0 leans
        long), by symbol."""
        facade = get_facade()
        return market_view.derivatives(meta(facade), facade.snapshot(symbol), _NOT_BUILT)

    async def regime_get_current() -> Annotated[CallToolResult, RegimeResult]:
        """Market and macro regime, and the scale that they put on size limits."""
        facade = get_facade()
        snapshot = facade.snapshot()
        readings = {"regime": snapshot.regime, "macro": snapshot.macro}
        unavailable = {name: each.reason for name, each in readings.items() if isinstance(each, Unknown)}
        known = {name: None if isinstance(each, Unknown) else each for name, each in readings.items()}
        result = RegimeResult(meta=meta(facade), scale=plain(snapshot.scale), unavailable=unavailable, **known)
        lines = [f"{name}: {each or f'unavailable, {unavailable[name]}'}" for name, each in known.items()]
        scale = f"size limits are scaled by {result.scale}; an unknown regime takes its most conservative value"
        return respond(result, "\n".join([headline(result.meta), *lines, scale]))

    async def weights_get() -> Annotated[CallToolResult, WeightsResult]:
        """Learned weights of the signals, and the parameters of the rules."""
        facade = get_facade()
        rules = {name: str(value) for name, value in facade.policies.rules}
        result = WeightsResult(meta=meta(facade), learned={}, rules=rules, unavailable=_NOTHING_LEARNS)
        table = " ".join(f"{name}={value}" for name, value in rules.items())
        return respond(result, f"{headline(result.meta)}\nlearned: {_NOTHING_LEARNS['learned']}\nrules: {table}")

    others = (
        market_get_snapshot,
        market_get_candles,
        market_get_indicators,
        derivatives_get_summary,
        weights_get,
    )
    return [*(make(each) for each in others), make(regime_get_current, shows_meta=True)]
