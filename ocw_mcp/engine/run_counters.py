"""What a run's report needs and the journal does not hold, because it hangs on candles: counted as they go by."""

import msgspec

from ocw_mcp.domain.market import Candle, Funding
from ocw_mcp.domain.orders import FundingPaid


class RunCounters(msgspec.Struct):
    """Counters of one book. Times in ms, prices in quote currency."""

    began_at: int | None = None
    """Time of the book's first frame."""
    ran_to: int | None = None
    """Time of the last frame when the book last stopped cleanly. A run that was killed leaves it as it was."""
    warmed_until: int = -1
    """Time of the last frame of history. What opened by then is from before the book."""
    candles: int = 0
    stale_candles: int = 0
    """Late or repeated candles; they changed nothing."""
    holes: int = 0
    first_open_time: int | None = None
    last_close_time: int | None = None
    first_opens: dict[str, float] = {}
    last_closes: dict[str, float] = {}

    funded: dict[str, int] = {}
    """The symbols of which the market tells funding rates, and since when (ms)."""

    assumed_stamps: dict[str, int] = {}
    """How many funding stamps of a symbol were settled at an assumed rate."""

    hashes: tuple[str, str] = ("", "")
    """Of the policies and the prompts that were in force last."""

    def state(self) -> "RunCounters":
        """Return the counters."""
        return self

    def restore(self, state: "RunCounters", /) -> None:
        """Take back what `state` returned."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(state, name))

    def paid(self, paid: FundingPaid) -> None:
        """Count a settlement at an assumed rate."""
        if paid.assumed:
            self.assumed_stamps[paid.symbol] = self.assumed_stamps.get(paid.symbol, 0) + 1

    def settled(self, funding: Funding) -> None:
        """Note that a symbol's funding is told."""
        self.funded.setdefault(funding.symbol, funding.at)

    def closed(self, candle: Candle) -> None:
        """Count a candle."""
        self.candles += 1
        self.last_close_time = candle.open_time + candle.interval
        self.last_closes[candle.symbol] = candle.close
        if candle.symbol not in self.first_opens:
            self.first_opens[candle.symbol] = candle.open
            if self.first_open_time is None or candle.open_time < self.first_open_time:
                self.first_open_time = candle.open_time
