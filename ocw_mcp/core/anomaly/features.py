"""The features of a candle that are compared with those of the candles before."""

import math
from statistics import median
from typing import Final

from msgspec import Struct

from ocw_mcp.domain.market import Candle

NAMES: Final = ("return", "volume", "range", "funding", "open_interest", "basis")
"""The features in their order. The last three come from derivatives, and are None where they are not known."""
CANDLE_FEATURES: Final = 3
"""The number of the first features that follow from candles alone."""
VOLUMES: Final = 20
"""The number of candles whose median volume is the usual volume."""

Row = tuple[float | None, ...]


class MarketRowsState(Struct):
    """The saved state of `MarketRows`."""

    close: float | None = None
    close_time: int = 0
    volumes: list[float] = []
    open_interest: float | None = None


class MarketRows:
    """Makes the feature row of each closed candle of one symbol. A row depends on this candle and earlier ones only."""

    def __init__(self) -> None:
        self._state = MarketRowsState()

    def row(
        self,
        candle: Candle,
        funding: float | None = None,
        open_interest: float | None = None,
        basis: float | None = None,
    ) -> Row | None:
        """Take a closed candle with the readings known at its close; return its row in the order of `NAMES`.

        The row has the log return; the logarithm of the volume over the median volume of the candles before; that of
        the range, as log(high / low); the funding rate; the log change of open interest; the basis, each as given.
        The result is None without a usable candle just before, while `VOLUMES` volumes are not known, and for a candle
        without volume or range.
        """
        before, self._state = self._state, self._next(candle, open_interest)
        follows = before.close is not None and candle.open_time == before.close_time
        usable = candle.volume > 0 and candle.high > candle.low > 0 and candle.close > 0
        if before.close is None or not follows or not usable or len(before.volumes) < VOLUMES:
            return None
        change = None
        if open_interest and before.open_interest:
            change = math.log(open_interest / before.open_interest)
        return (
            math.log(candle.close / before.close),
            math.log(candle.volume / median(before.volumes)),
            math.log(math.log(candle.high / candle.low)),
            funding,
            change,
            basis,
        )

    def _next(self, candle: Candle, open_interest: float | None) -> MarketRowsState:
        volumes = [*self._state.volumes, candle.volume] if candle.volume > 0 else self._state.volumes
        close = candle.close if candle.close > 0 else None
        return MarketRowsState(close, candle.close_time, volumes[-VOLUMES:], open_interest)

    def state(self) -> MarketRowsState:
        """Return all that must survive a restart."""
        return self._state

    def restore(self, state: MarketRowsState, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state
