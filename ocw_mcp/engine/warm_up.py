"""Warms up the indicators and the outlier test with candles from before a book's beginning."""

from collections.abc import Iterable

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Candle


def warm_up(market: Market, gate: Gate, candles: Iterable[Candle]) -> None:
    """Add closed base candles, of each symbol in order of time, without an evaluation of the gate."""
    of_symbols: dict[str, list[Candle]] = {}
    for candle in candles:
        of_symbols.setdefault(candle.symbol, []).append(candle)
    for symbol, own in of_symbols.items():
        for stretch in market.symbols[symbol].warm(own):
            gate.warm(symbol, stretch.closes, stretch.first_at)
