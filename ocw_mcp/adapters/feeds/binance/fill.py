"""Candles and fundings from REST: the history of a new book, and every gap that the streams leave."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.binance.weights import Scope, Use
from ocw_mcp.adapters.feeds.binance.candles import Added, CandleStore
from ocw_mcp.adapters.feeds.binance.dispatch import Dispatcher
from ocw_mcp.adapters.feeds.binance.exchange_info import USUAL_FUNDING_HOURS
from ocw_mcp.adapters.feeds.binance.guard import REST
from ocw_mcp.adapters.feeds.binance.notices import Notices
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient, back_off_s
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Candle, Funding, Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND, iso, span_name

GRACE_MS: Final = 2_500
"""How long (ms) after its close a candle may take on the stream before REST is asked for it."""
_FULL_S: Final = 0.05
"""The time (s) after which a full store is looked at again."""
_CHUNK: Final = 999
"""Candles of one request, without the one after them."""
WEIGHTS: Final = {
    Product.UM: ((100, 1), (500, 2), (1_000, 5), (1_500, 10)),
    Product.SPOT: ((1_000, 2),),
}
"""By product, the weight of a request up to a number of candles."""
KLINES: Final = {Product.UM: "/fapi/v1/klines", Product.SPOT: "/api/v3/klines"}
_ABSENT_AFTER_MS: Final = 5 * MINUTE
"""A candle that REST does not have so long (ms) after its close does not exist."""
_UNCHANGED_S: Final = 20.0
"""How long (s) a candle without a following one has to stay unchanged."""
_TRIES: Final = 6
"""The number of tries after which an invalid candle is left out, or a refused request is given up."""
_GIVEN_UP_S: Final = 3_600.0
_MOST_REFUSALS: Final = 1_000
_FUNDING_KEPT: Final = 512
_FUNDING_SETTLES_MS: Final = 10 * MINUTE
_FUNDINGS_AT_ONCE_MS: Final = 15 * DAY
"""The time whose fundings are fetched at once: at most 360 of a symbol, which are kept until their candles come."""
_HOLD_S: Final = 10.0
"""How long (s) the candles of other symbols wait for one that catches up on a live market."""

_Row = tuple[int, float, float, float, float, float, int, float, int, float, float, Any]
"""A candle of REST: open time, open, high, low, close, volume, close time, quote volume, trades, taker volumes."""
ROWS: Final = msgspec.json.Decoder(list[_Row], strict=False)


class _FundingRow(msgspec.Struct):
    symbol: str
    at: int = msgspec.field(name="fundingTime")
    rate: float = msgspec.field(name="fundingRate")


_FUNDING_ROWS: Final = msgspec.json.Decoder(list[_FundingRow], strict=False)


class Filler:
    """Fetches the candles that a store lacks. `wake` is called after new ones were stored."""

    def __init__(
        self,
        rest: RestClient,
        product: Product,
        store: CandleStore,
        dispatcher: Dispatcher,
        notices: Notices,
        now_ms: Callable[[], int],
        wake: Callable[[], None],
        jitter: Callable[[], float],
    ) -> None:
        self._rest, self._product, self._store = rest, product, store
        self._dispatcher, self._notices = dispatcher, notices
        self._now_ms, self._wake, self._jitter = now_ms, wake, jitter
        self._held: set[str] = set()
        self._held_until = 0.0
        self._hours: Mapping[str, int] = {}
        self._unproved: dict[str, tuple[_Row, float]] = {}
        """By symbol, the last row without a following one, and the loop time (s) at which it was first seen."""
        self._errors: Counter[str] = Counter()
        self._given_up: dict[str, float] = {}
        """The symbols, such as delisted ones, whose candles are not fetched until a loop time (s)."""
        self._refusals: dict[tuple[str, int], int] = {}
        """By symbol and open time (ms), how often a candle of REST was refused."""
        self._fundings: dict[tuple[str, int], Funding] = {}
        self._funded_until: dict[str, int] = {}
        """By symbol, the time (ms) until which its fundings were fetched and had surely been published."""
        self.filled = 0
        """The number of candles that came from REST."""

    @property
    def held(self) -> Collection[str]:
        """The symbols that catch up: candles of other symbols wait for theirs, but not for long on a live market."""
        return self._held if _loop_s() < self._held_until else ()

    async def run(self) -> None:
        """Fill gaps as they appear, until the task is cancelled."""
        attempt = 0
        while True:
            interval, now = self._store.interval, self._now_ms()
            lacking = self._lacking((now - GRACE_MS) // interval * interval)
            if not lacking:
                self._held.clear()
                attempt = 0
                due = (now // interval + 1) * interval + GRACE_MS if now % interval >= GRACE_MS else now + SECOND
                await pause(min(max(due - now, 50), SECOND) / SECOND)
                continue
            progress = await self._fill(lacking, (now - GRACE_MS) // interval * interval, _HOLD_S)
            attempt = 0 if progress else attempt + 1
            if not progress:
                await pause(back_off_s(attempt, self._jitter))

    async def catch_up(self, until: int, report: Callable[[int], None], *, urgent: bool) -> None:
        """Fill all candles that close at `until` (ms) at the latest; `report` gets the time (ms) reached.

        Raises MarketUnreachable and FeedError if `urgent` and the first request fails; later ones are tried again.
        """
        attempt = 0
        while lacking := self._lacking(until):
            progress = await self._fill(lacking, until, math.inf, urgent=urgent and not self.filled)
            gaps = [self._store.missing(symbol, until) for symbol in lacking]
            report(min([until, *(gap[0] for gap in gaps if gap is not None)]))
            attempt = 0 if progress else attempt + 1
            if not progress:
                await pause(back_off_s(attempt, self._jitter))

    async def _fill(self, lacking: Sequence[str], until: int, hold_s: float, *, urgent: bool = False) -> bool:
        """Fetch the next part of what some symbols lack. Return whether a candle was stored or found absent.

        A symbol whose store is full waits until the consumer has taken candles.
        """
        interval, store = self._store.interval, self._store
        gaps = {each: gap for each in lacking if (gap := store.missing(each, until)) is not None}
        # Many small requests cost far more weight than a whole one: they wait while the consumer makes room.
        gaps = {each: gap for each, gap in gaps.items() if store.room(each) >= self._least_room(each, *gap)}
        if not gaps:
            self._wake()
            await pause(_FULL_S)
            return True
        end = min(first for first, _ in gaps.values()) + (_CHUNK - 1) * interval
        wanted = {
            each: (first, min(last, end, first + (store.room(each) - 1) * interval))
            for each, (first, last) in gaps.items()
            if first <= end
        }
        if any(last > first for first, last in gaps.values()):
            self._held, self._held_until = set(wanted), _loop_s() + hold_s
        requests = [self._fetch(symbol, *gap, urgent) for symbol, gap in wanted.items()]
        fetched = await asyncio.gather(*requests, return_exceptions=True)
        progress = False
        for symbol, found in zip(wanted, fetched, strict=True):
            if not isinstance(found, BaseException):
                self._errors.pop(symbol, None)
                progress |= self._store_rows(symbol, *wanted[symbol], found)
            elif urgent or not isinstance(found, FeedError):
                raise found
            else:
                self._held.discard(symbol)
                self._count_error(symbol)
                self._notices.incident(symbol, "REST", str(found)[:300])
        if not progress:
            self._held.clear()
        self._wake()
        return progress

    def _least_room(self, symbol: str, first: int, last: int) -> int:
        """Return the room at which a gap is fetched; the consumer makes none if it waits for the first candle."""
        waited_for = first == self._store.next_open(symbol)
        return 1 if waited_for else min(_CHUNK, (last - first) // self._store.interval + 1)

    def _lacking(self, until: int) -> list[str]:
        """Return the symbols that lack a candle, without those whose requests the exchange refuses."""
        return [each for each in self._store.lacking(until) if self._given_up.get(each, 0.0) <= _loop_s()]

    def _count_error(self, symbol: str) -> None:
        """Count a request that the exchange calls wrong; after some, leave the symbol alone for an hour."""
        self._errors[symbol] += 1
        if self._errors[symbol] >= _TRIES:
            self._given_up[symbol] = _loop_s() + _GIVEN_UP_S
            del self._errors[symbol]

    async def _fetch(self, symbol: str, first: int, last: int, urgent: bool) -> list[_Row]:
        """Return the rows that open from `first` to `last` (ms), and fetch the fundings of this time."""
        interval, path = self._store.interval, KLINES[self._product]
        # The candle after the last one shows that the last one is closed: rows of REST do not say that.
        limit = (last - first) // interval + 2
        weight = next(weight for most, weight in WEIGHTS[self._product] if limit <= most)
        query: dict[str, str | int] = {"symbol": symbol, "interval": span_name(interval), "startTime": first}
        query |= {"endTime": last + 2 * interval - 1, "limit": limit}
        # A new book reports at once that the exchange cannot be reached; a running one waits.
        priority = Priority.URGENT if urgent else Priority.PATIENT
        body = await self._rest.get(path, query, weight=weight, use=Use.CANDLES, priority=priority)
        try:
            rows = ROWS.decode(body)
        except msgspec.DecodeError as error:
            raise MarketUnreachable(f"{path} has other fields than expected: {error}") from None
        if self._product is Product.UM and last - first > interval and last > self._funded_until.get(symbol, -1):
            # One answer has the fundings of many candles, and this path has a small limit of its own.
            now = self._now_ms()
            until = max(last + interval, min(now, first + _FUNDINGS_AT_ONCE_MS))
            await self._fetch_fundings(symbol, first, until, priority)
            self._funded_until[symbol] = min(until, now - _FUNDING_SETTLES_MS)
        return rows

    async def _fetch_fundings(self, symbol: str, since: int, until: int, priority: Priority) -> None:
        query: dict[str, str | int] = {"symbol": symbol, "startTime": since, "endTime": until, "limit": 1_000}
        body = await self._rest.get(
            "/fapi/v1/fundingRate", query, weight=1, use=Use.CANDLES, scope=Scope.FUNDING, priority=priority
        )
        try:
            rows = _FUNDING_ROWS.decode(body)
        except msgspec.DecodeError as error:
            raise MarketUnreachable(f"/fapi/v1/fundingRate has other fields than expected: {error}") from None
        for row in rows:
            # The exchange stamps some fundings milliseconds after the hour.
            at = row.at // MINUTE * MINUTE
            if row.symbol == symbol and -1.0 < row.rate < 1.0:
                self._fundings[symbol, at] = Funding(symbol, at, row.rate, self._hours_of(symbol))
        while len(self._fundings) > _FUNDING_KEPT * max(1, len(self._dispatcher.guards)):
            del self._fundings[next(iter(self._fundings))]

    def _store_rows(self, symbol: str, first: int, last: int, rows: Sequence[_Row]) -> bool:
        """Store the rows of one answer. Return whether that changed the store."""
        interval, now, changed = self._store.interval, self._now_ms(), False
        newest = first - interval
        for row, following in zip(rows, [*rows[1:], None][: len(rows)], strict=True):
            open_time = row[0]
            if not first <= open_time <= last or open_time + interval > now:
                continue
            if following is None and not self._settled(symbol, row):
                break
            candle = Candle(symbol, open_time, interval, *row[1:6], taker_volume=row[9])
            added = self._dispatcher.add_candle(candle, REST)
            if added is Added.DROPPED:
                # Streams have filled the store meanwhile. The candle is fetched again when there is room.
                break
            newest = max(newest, open_time)
            if added is not None:
                changed = True
                self.filled += 1
            else:
                # It is fetched again, and is no proof about those before it, unless the exchange insists on it.
                newest = self._after_refusal(symbol, open_time)
                changed |= newest >= first
                break
        if not rows and last + interval < now - _ABSENT_AFTER_MS:
            newest = last + interval
        if absent := self._store.set_absent(symbol, first, newest):
            changed = True
            self._notices.incident(
                symbol, "no candle", f"the exchange has no candle of {iso(absent[0])} and {len(absent) - 1} others"
            )
        return changed

    def _settled(self, symbol: str, row: _Row) -> bool:
        """Return whether a candle without a following one is closed: it is overdue, and has not changed for a while."""
        known = self._unproved.get(symbol)
        if known is None or known[0] != row:
            self._unproved[symbol] = (row, _loop_s())
            return False
        overdue = row[0] + self._store.interval + _UNCHANGED_S * SECOND <= self._now_ms()
        return overdue and _loop_s() - known[1] >= _UNCHANGED_S

    def _after_refusal(self, symbol: str, open_time: int) -> int:
        """Count a refused candle; return its open time if it has been refused so often that it is left out, else -1."""
        tries = self._refusals[symbol, open_time] = self._refusals.pop((symbol, open_time), 0) + 1
        if len(self._refusals) > _MOST_REFUSALS:
            del self._refusals[next(iter(self._refusals))]
        if tries < _TRIES:
            return -1
        self._store.set_absent(symbol, open_time, open_time + self._store.interval)
        self._notices.incident(symbol, "left out", f"the candle of {iso(open_time)} was refused {tries} times")
        return open_time

    def fundings_at(self, at: int, symbols: Sequence[str]) -> tuple[Funding, ...]:
        """Return the fundings that were settled at `at` (ms), sorted by symbol: those of REST, or of the stream."""
        found = []
        for symbol in symbols:
            funding = self._fundings.get((symbol, at))
            if funding is None and (rate := self._dispatcher.funding[symbol].get(at)) is not None:
                funding = Funding(symbol, at, rate, self._hours_of(symbol))
            if funding is not None:
                found.append(funding)
        return tuple(found)

    def set_hours(self, hours: Mapping[str, int]) -> None:
        """Set the hours between fundings of the symbols that have another interval than eight hours."""
        self._hours = hours

    def _hours_of(self, symbol: str) -> int:
        return self._hours.get(symbol, USUAL_FUNDING_HOURS)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
