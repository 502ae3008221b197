"""The values that a wake condition can watch: a symbol's price, its derivatives, or an indicator on a timeframe."""

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.snapshot import DerivativesView
from ocw_mcp.domain.time import span_ms
from ocw_mcp.domain.unknown import Reading, Unknown


def read_metric(market: Market, symbol: str, metric: str) -> Reading:
    """Return the value of `price`, `funding_8h`, `rsi_14@1h` and so on at the last closed candle, if it is known."""
    candles = market.symbols.get(symbol)
    if candles is None:
        return Unknown(f"UNKNOWN_SYMBOL: {symbol[:20]!r} is not followed here; expected {', '.join(market.symbols)}")
    if metric == "price":
        return candles.last
    if metric in DerivativesView.__struct_fields__:
        known_at = candles.known_at
        return Unknown("no candle yet") if known_at is None else candles.derivatives.values(known_at)[metric]
    name, _, timeframe = metric.partition("@")
    try:
        wanted = span_ms(timeframe)
    except ValueError:
        return Unknown(f"{metric[:40]!r} is no metric; expected price, funding_8h, or such as rsi_14@1h")
    for interval, _, _, values in candles.indicators():
        if interval == wanted and name in values:
            return values[name]
    return Unknown(f"{metric[:40]!r} is not kept; expected an indicator and a timeframe of the snapshot")
