"""Tools about the outlook: derivatives, the regimes with their factor on size limits, and reports from outside."""

from typing import TYPE_CHECKING, Annotated

from mcp.types import CallToolResult

from ocw_mcp.domain.metrics import DERIVATIVES
from ocw_mcp.domain.snapshot import SymbolView
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.interfaces.mcp import outlook_results as results
from ocw_mcp.interfaces.mcp.arguments import CONCISE
from ocw_mcp.interfaces.mcp.reasons import Reasons
from ocw_mcp.interfaces.mcp.results import Readings, from_attributes
from ocw_mcp.interfaces.mcp.tool import GetFacade, OcwTool, make, meta, respond, text_of
from ocw_mcp.render.outlook_text import macro_name, model_line, regime_line, regime_name, scale_text
from ocw_mcp.render.outside_text import LONGEST_HEADLINE, headline_lines, macro_line, newest_first, numbers_line
from ocw_mcp.render.quotations import untrusted
from ocw_mcp.render.readings_text import Unknowns, derivatives_line
from ocw_mcp.render.text import span

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Facade


def outlook_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine from `get_facade()`."""

    async def derivatives_get_summary(
        symbol: str | None = None,
    ) -> Annotated[CallToolResult, results.DerivativesResult]:
        """Derivatives readings with extremes, composite (-1..1) and its parts."""
        facade = get_facade()
        taken, result, unknowns = facade.snapshot(symbol), derivatives_of(facade, symbol), Unknowns()
        lines = [_derivatives_text(view, taken.at, unknowns) for view in taken.symbols.values()]
        return respond(result, *lines, *unknowns.lines())

    async def regime_get_current() -> Annotated[CallToolResult, results.RegimeResult]:
        """Volatility and macro regime, and their factor on size limits."""
        facade = get_facade()
        taken, result = facade.snapshot(), regime_of(facade)
        regime, macro = taken.regime, taken.macro
        if isinstance(regime, Unknown):
            lines = [f"regime unknown: {regime.reason}"]
        else:
            lines = [regime_line(taken), model_line(regime, taken.at)]
        lines.append(f"macro unknown: {macro.reason}" if isinstance(macro, Unknown) else macro_line(macro))
        return respond(result, *lines, scale_text(taken, result.factors))

    async def context_get() -> Annotated[CallToolResult, results.ContextResult]:
        """Sentiment, headlines and other reports from outside."""
        facade = get_facade()
        taken, result = facade.snapshot(), context_of(facade)
        while True:
            kept = len([each for each in result.items if each.untrusted_text is not None])
            lines = [*numbers_line(taken), *headline_lines(taken, kept)]
            left = [f"{result.truncated} older text(s) left out for length"] if result.truncated else []
            lines = [*lines, *left] or ["nothing: no source is configured, or none has answered"]
            if not kept or len(text_of(result, *lines)) <= CONCISE:
                return respond(result, *lines)
            result = context_of(facade, kept - 1)

    return [make(each) for each in (derivatives_get_summary, regime_get_current, context_get)]


def _derivatives_text(view: SymbolView, at: int, unknowns: Unknowns) -> str:
    as_of = view.derivatives.as_of
    age = "" if as_of is None else f" ({span(max(0, at - as_of))} old)"
    return f"{view.symbol}{age}: {derivatives_line(view, unknowns) or 'none known'}"


def derivatives_readings(view: SymbolView, reasons: Reasons) -> Readings:
    """Return the derivatives readings of a symbol by name."""
    return reasons.numbers(view.symbol, view.derivatives, DERIVATIVES)


def derivatives_of(facade: "Facade", symbol: str | None) -> results.DerivativesResult:
    """Return the derivatives readings of one symbol, or of all. Raises RequestError for an unknown symbol."""
    reasons, symbols = Reasons(), {}
    for name, view in facade.snapshot(symbol).symbols.items():
        values = view.derivatives
        symbols[name] = results.DerivativesOut(
            readings=derivatives_readings(view, reasons),
            parts={part: float(f"{value:.7g}") for part, value in values.parts.items()},
            extremes=list(values.extremes),
            next_funding=view.next_funding_at,
            as_of=values.as_of,
        )
    return results.DerivativesResult(meta=meta(facade), symbols=symbols, unknown=reasons.texts())


def regime_of(facade: "Facade") -> results.RegimeResult:
    """Return the regimes, and the factor on size limits that follows from them."""
    taken, policy = facade.snapshot(), facade.policies.scale
    unknown, regime, macro = {}, None, None
    if isinstance(taken.regime, Unknown):
        unknown["regime"] = taken.regime.reason
    else:
        regime = results.RegimeOut(
            level=taken.regime.level.value,
            as_of=taken.regime.at,
            since=taken.regime.since,
            probabilities={level.value: round(share, 4) for level, share in taken.regime.by_level.items()},
            expected_days=taken.regime.expected_days,
            volatility=taken.regime.volatility,
            fitted=taken.regime.fitted_at,
        )
    if isinstance(taken.macro, Unknown):
        unknown["macro"] = taken.macro.reason
    else:
        series = [from_attributes(results.SeriesOut, each) for each in taken.macro.series]
        macro = from_attributes(results.MacroOut, taken.macro, quadrant=taken.macro.quadrant.value, series=series)
    factors = {
        name: getattr(policy, f"{name}_{mood}")
        for name, mood in (("regime", regime_name(taken)), ("macro", macro_name(taken)))
    }
    return results.RegimeResult(
        meta=meta(facade), regime=regime, macro=macro, scale=taken.scale, factors=factors, unknown=unknown
    )


def context_of(facade: "Facade", most_texts: int | None = None) -> results.ContextResult:
    """Return what sources outside of the exchange reported: all values, and at most so many texts, the newest."""
    taken = facade.snapshot()
    texts = newest_first(taken)
    kept = texts if most_texts is None else texts[:most_texts]
    items = [
        results.ContextOut(
            source=each.source,
            name=each.name,
            value=each.value,
            unit=each.unit,
            as_of=each.as_of,
            read=each.at,
            stale=each.stale,
            untrusted_text=untrusted(each.text, LONGEST_HEADLINE) if each.text else None,
        )
        for each in [*(each for each in taken.context if not each.text), *kept]
    ]
    return results.ContextResult(meta=meta(facade), items=items, truncated=len(texts) - len(kept))
