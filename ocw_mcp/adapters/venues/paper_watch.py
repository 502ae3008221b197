"""The times at which the paper venue saw no prices of a live market, and the part of a candle that was not seen.

Orders are triggered and filled by the mark prices and quotes that arrive. What happened during an outage or a restart
is known only from the candles that are fetched later: their unseen part is matched like a candle of a tape.
"""

from typing import Final

import msgspec

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import MINUTE, SECOND

LONGEST_SILENCE_MS: Final = 5 * SECOND
"""The time (ms) between two mark prices up to which all prices between them count as seen."""


CANDLES_WAIT_MS: Final = 10 * MINUTE
"""The time (ms) after the end of a gap in which candles are awaited that show it."""


class SeenRange(msgspec.Struct, frozen=True):
    """The last price seen (quote) at `at` (ms), and the lowest and the highest price seen in the minute of `at`."""

    at: int
    price: float
    low: float
    high: float


class Gap(msgspec.Struct, frozen=True):
    """A time without prices: what was seen before it, and its end (ms)."""

    before: SeenRange
    end: int


class UnseenPart(msgspec.Struct, frozen=True):
    """The part of a candle in which no prices arrived, as a candle, and whether its opening price was not seen either.

    Orders that were sent by the open time of the part were at the venue in it: this time is the latest at which the
    gap can have begun.
    """

    candle: Candle
    opening: bool


class Watch(msgspec.Struct):
    """The prices of one symbol that were seen."""

    seen: SeenRange
    gap: Gap | None = None
    """All gaps, as one, since the earliest that no candle has covered yet."""

    def see(self, now: int, price: float) -> None:
        """Record a last price (quote) at `now` (ms)."""
        last = self.seen
        if now - last.at > LONGEST_SILENCE_MS:
            self.gap = Gap(self.gap.before if self.gap is not None else last, now)
        if now // MINUTE == last.at // MINUTE:
            self.seen = SeenRange(now, price, min(last.low, price), max(last.high, price))
        else:
            self.seen = SeenRange(now, price, price, price)

    def seen_until(self, now: int) -> int:
        """Return the time (ms) before which no gap is left that candles have to show; at most `now` (ms).

        A gap that no candle shows in time is left as it is.
        """
        if self.gap is not None and now - self.gap.end < CANDLES_WAIT_MS:
            return self.gap.before.at
        return now if now - self.seen.at <= LONGEST_SILENCE_MS else self.seen.at

    def unseen(self, candle: Candle) -> UnseenPart | None:
        """Return the part of a closed candle that was not seen; None if all of it was.

        The part begins at the last price that was seen. Its low and its high are those of the candle, except a low or
        a high that was seen before the part begins.
        """
        opened, closes = candle.open_time, candle.close_time
        if self.gap is not None and opened < self.gap.end:
            before = self.gap.before
        elif closes - self.seen.at > LONGEST_SILENCE_MS:
            before = self.seen
        else:
            return None
        if before.at >= closes:
            return None
        began = max(opened, min(before.at + LONGEST_SILENCE_MS, closes - 1))
        part = msgspec.structs.replace(candle, open_time=began, interval=closes - began)
        if before.at <= opened:
            return UnseenPart(part, opening=True)
        begin, close = before.price, candle.close
        low = min(begin, close, candle.low if candle.low < before.low else begin)
        high = max(begin, close, candle.high if candle.high > before.high else begin)
        return UnseenPart(msgspec.structs.replace(part, open=begin, low=low, high=high), opening=False)

    def covered(self, until: int) -> None:
        """Forget the gap if a candle that closed at `until` (ms) has shown all of it."""
        if self.gap is not None and self.gap.end <= until:
            self.gap = None


def unseen_part(watch: Watch | None, candle: Candle) -> UnseenPart | None:
    """Return the part of a closed candle that was not seen; all of it if no price was ever seen."""
    return UnseenPart(candle, opening=True) if watch is None else watch.unseen(candle)
