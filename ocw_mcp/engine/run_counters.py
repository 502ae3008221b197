"""Counters for a run's report that depend on candles, which the journal does not contain."""

import msgspec

from ocw_mcp.domain.market import Candle, Funding
from ocw_mcp.domain.orders import FundingPaid


class RunCounters(msgspec.Struct):
    """Counters of one book. Times in ms, prices in quote currency."""

    began_at: int | None = None
    """Time of the book's first frame."""
    ran_to: int | None = None
    """Time of the last frame when the book last stopped cleanly. A killed run does not change it."""
    warmed_until: int = -1
    """Time of the last frame of history. A candle that opened by then is older than the book."""
    candles: int = 0
    stale_candles: int = 0
    """The number of late or repeated candles, which changed nothing."""
    holes: int = 0
    first_open_time: int | None = None
    last_close_time: int | None = None
    first_opens: dict[str, float] = {}
    last_closes: dict[str, float] = {}

    funded: dict[str, int] = {}
    """The symbols with funding rates in the market, and the time (ms) of the first rate."""

    assumed_stamps: dict[str, int] = {}
    """The number of funding stamps of each symbol that were settled at an assumed rate."""

    hashes: tuple[str, str] = ("", "")
    """The hashes of the policies and the prompts that were in force last."""

    def paid(self, paid: FundingPaid) -> None:
        """Count a settlement at an assumed rate."""
        if paid.assumed:
            self.assumed_stamps[paid.symbol] = self.assumed_stamps.get(paid.symbol, 0) + 1

    def settled(self, funding: Funding) -> None:
        """Note that the market has a funding rate of a symbol."""
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
