"""What every symbol costs now, how old that is, and what its filters are."""

from decimal import Decimal

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.time import SECOND
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.config import EngineConfig


class Quote(msgspec.Struct, frozen=True):
    """A symbol's mark price in quote currency; on a market that has no mark it is the last price."""

    price: Decimal
    age_ms: int
    instrument: Instrument


class Quotes:
    """Prices as the engine may use them. Filters are asked for once, at a symbol's first price."""

    def __init__(self, config: EngineConfig, market: Market) -> None:
        self._config = config
        self._market = market
        self.age_limit_ms = config.interval + config.policies.data.slack_s * SECOND
        """The feed's cadence plus slack: an entry needs a price that is not older."""
        self.instruments: dict[str, Instrument] = {}

    def get(self, symbol: str, now: int) -> Quote | None:
        """The quote of a symbol, or None where there is no price or no such symbol."""
        candles = self._market.symbols.get(symbol)
        known_at = candles.known_at if candles else None
        if candles is None or known_at is None or isinstance(candles.last, Unknown):
            return None
        return Quote(exact(candles.last), now - known_at, self.instrument(symbol, candles.last))

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol."""
        if symbol not in self.instruments:
            self.instruments[symbol] = self._config.instruments(symbol, price)
        return self.instruments[symbol]
