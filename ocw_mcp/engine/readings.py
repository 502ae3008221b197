"""The readings that a wake condition can watch: a symbol's price, its derivatives, or an indicator on a timeframe."""

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.snapshot import DerivativesView
from ocw_mcp.domain.time import span_ms
from ocw_mcp.domain.unknown import Reading, Unknown

PRICE = "price"
DERIVATIVES = frozenset(DerivativesView.__struct_fields__)


class Readings:
    """Readings by name: `price`, `funding_8h`, or `rsi_14@1h`."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def read(self, symbol: str, metric: str) -> Reading:
        """Return the reading on the last closed candle; Unknown if there is none, or if the name is not known."""
        candles = self._market.symbols.get(symbol)
        if candles is None:
            return Unknown(
                f"UNKNOWN_SYMBOL: {symbol[:20]!r} is not followed here; expected {', '.join(self._market.symbols)}"
            )
        if metric == PRICE:
            return candles.last
        if metric in DERIVATIVES:
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
