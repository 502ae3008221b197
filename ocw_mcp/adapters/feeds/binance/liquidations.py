"""The forced liquidations of a symbol by candle. The exchange reports one of them at most in each second.

The sums of a candle are known if the stream was received without a hole since the candle opened, and if the closed
candle itself came by a stream. A silent stream counts as one without liquidations: the exchange sends nothing else.
"""

from typing import Final

from ocw_mcp.adapters.feeds.binance.wire import LiquidationOrder, Route
from ocw_mcp.domain.market import Liquidations

_MOST_KEPT: Final = 1_500
"""Settled candles of a symbol that are kept; the candle store holds as many back."""


class LiquidationFlow:
    """The liquidations of one symbol. `interval` is the length of a candle in ms."""

    def __init__(self, route: Route, interval: int) -> None:
        self._route, self._interval = route, interval
        self._sums: dict[int, list[float]] = {}
        """Quantities of liquidated longs and shorts, by the open time (ms) of the candle."""
        self._settled: dict[int, Liquidations] = {}
        """The known liquidations by the close time (ms) of the candle."""
        self._unsettled_from = -1
        """The open time (ms) of the first candle that is not settled."""
        self._last_at = -1

    def add(self, order: LiquidationOrder) -> None:
        """Add a liquidation; one that is not later than the last one is a repeated message.

        A liquidation that is reported after its candle was settled counts in the next candle.
        """
        if order.at <= self._last_at:
            return
        self._last_at = order.at
        open_time = max(order.at - order.at % self._interval, self._unsettled_from)
        sums = self._sums.setdefault(open_time, [0.0, 0.0])
        sums[order.side == "BUY"] += order.quantity

    def settle(self, open_time: int, begin_s: float) -> None:
        """Settle a closed candle that a stream reported; it opened at `open_time` (ms) and the loop time `begin_s`."""
        if open_time < self._unsettled_from:
            return
        route, close_time = self._route, open_time + self._interval
        longs, shorts = self._sums.get(open_time, (0.0, 0.0))
        self._sums = {at: sums for at, sums in self._sums.items() if at >= close_time}
        self._unsettled_from = close_time
        is_whole = route.whole_since is not None and route.whole_since <= begin_s
        if is_whole and (route.refused_at is None or route.refused_at < begin_s):
            self._settled[close_time] = Liquidations(route.symbol, close_time, longs, shorts)
            if len(self._settled) > _MOST_KEPT:
                del self._settled[next(iter(self._settled))]

    def take(self, closed_at: int) -> Liquidations | None:
        """Return the liquidations of the candle that closed at a time (ms), once; None if they are not known."""
        found = self._settled.pop(closed_at, None)
        while self._settled and next(iter(self._settled)) < closed_at:
            # REST reported these candles before a stream did.
            del self._settled[next(iter(self._settled))]
        return found
