"""A market of the sandbox exchange whose prices a test sets exactly, also while the exchange runs."""

from bisect import bisect_right
from typing import NamedTuple

from ocw_mcp.domain.market import Candle, Funding, Product
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.sandbox.binance.market import Levels, SandboxMarket
from ocw_mcp.sandbox.binance.values import Liquidation, MarkPrice, Quote, Trade
from tests.support.sandbox_market import StoredFeed

TICK = 0.01


class _Step(NamedTuple):
    at: int
    price: float
    quantity: float
    """The quantity (base asset) at each level of the order book from now on."""


class ScriptedMarket(SandboxMarket):
    """One symbol, which trades once at each price that a test sets, with bid and ask a tick beside it.

    The mark price is the last price. Klines stay at the first price.
    """

    def __init__(self, symbol: str, start: int, price: float, product: Product, quantity: float = 1e6) -> None:
        rows = range(start - HOUR, start + HOUR, MINUTE)
        bars = (price, price + TICK, price, price)
        super().__init__(
            StoredFeed([Candle(symbol, at, MINUTE, *bars, 20.125, 9.25) for at in rows], product=product), start
        )
        self.quantity = quantity
        """The quantity (base asset) at each level of the order book at the prices that are set next."""
        self._steps = [_Step(start - HOUR, price, quantity)]
        self._rates: list[Funding] = []

    def set(self, at: int, price: float) -> None:
        """Let the market trade at a price at a time (ms), which is not before that of the last one."""
        assert at >= self._steps[-1].at, "prices are set in the order of time"
        self._steps.append(_Step(at, price, self.quantity))

    def settle(self, at: int, rate: float) -> None:
        """Let funding be settled at a time (ms)."""
        self._rates.append(Funding(self.symbols[0], at, rate, 8))

    def _place(self, at: int) -> int:
        return bisect_right(self._steps, at, key=lambda step: step.at)

    def _trade(self, place: int) -> Trade:
        step = self._steps[place]
        return Trade(place + 1, step.price, 1.0, step.at, False)

    def _quote(self, place: int) -> Quote:
        _, price, quantity = self._steps[place]
        return Quote(round(price - TICK, 2), quantity, round(price + TICK, 2), quantity, place + 1)

    def trades(self, symbol: str, since: int, until: int, limit: int | None = None) -> list[Trade]:
        return [self._trade(place) for place in range(self._place(since), self._place(until))][:limit]

    def last_trade(self, symbol: str, at: int) -> Trade | None:
        return self._trade(self._place(at) - 1) if self._place(at) else None

    def quote(self, symbol: str, at: int) -> Quote | None:
        return self._quote(self._place(at) - 1) if self._place(at) else None

    def quotes(self, symbol: str, since: int, until: int) -> list[tuple[int, Quote]]:
        places = range(self._place(since), self._place(until))
        return [(self._steps[place].at, self._quote(place)) for place in places]

    def depth(self, symbol: str, at: int, limit: int) -> tuple[Levels, Levels, int]:
        best = self.quote(symbol, at)
        if best is None:
            return [], [], 0
        bids = [(round(best.bid - step * TICK, 2), best.bid_quantity) for step in range(limit)]
        asks = [(round(best.ask + step * TICK, 2), best.ask_quantity) for step in range(limit)]
        return [each for each in bids if each[0] > 0], asks, best.update_id

    def mark(self, symbol: str, at: int) -> MarkPrice | None:
        last = self.last_trade(symbol, at) if self.product is Product.UM else None
        return None if last is None else MarkPrice(last.price, last.price, 0.0001, (at // HOUR + 1) * HOUR)

    def funding(self, symbol: str, since: int, until: int) -> list[Funding]:
        return [each for each in self._rates if since < each.at <= until]

    def liquidations(self, symbol: str, since: int, until: int) -> list[Liquidation]:
        return []
