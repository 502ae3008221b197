"""The derivatives monitor of the live feed: it polls REST and turns the answers into `Metrics` rows.

- After each five minutes: one row a symbol of `/futures/data` (open interest, taker ratio, long/short ratios), and mark
  and index price of all symbols in one request (premiumIndex). The first poll has the rows of a day.
- Each minute while a reading of a symbol is extreme: its present open interest and premium index, as an interim row.
  The other columns cannot change earlier: the exchange computes them every five minutes. Taker flow and liquidations
  between two polls come from the candles and the stream of liquidations.
- Each hour: the funding interval of the symbols (fundingInfo).

A row is yielded when it was received, never at an earlier time. All requests have the lowest priority but one, within
the budget that the feed shares with the venue, and slots of their own: a slow or silent source delays no candle. What
is not received is missing: the readings of the rows are Unknown after 15 minutes. A spot market has no monitor: its
host has no derivatives, and the readings of its symbols are Unknown.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.binance.weights import Scope, Use
from ocw_mcp.adapters.feeds.binance.exchange_info import USUAL_FUNDING_HOURS, fetch_funding_hours
from ocw_mcp.adapters.feeds.binance.notices import MARKET, Notices
from ocw_mcp.adapters.feeds.binance.rest import RestClient
from ocw_mcp.adapters.feeds.binance.statistics import (
    BASIS,
    NEEDED,
    SHOWN,
    TAKERS,
    Fields,
    Premium,
    Source,
    history_limit,
    metrics_of,
    open_interest_of,
    premiums_of,
    statistics_of,
)
from ocw_mcp.adapters.feeds.stamps import METRICS_EVERY, TakerVolumes
from ocw_mcp.adapters.feeds.tape.options import STAMP_CHANGE
from ocw_mcp.core.market.derivatives import ROWS_KEPT, Derivatives
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.extremes import EXTREMES, extreme_readings
from ocw_mcp.domain.market import Candle, Liquidations, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND

DELAY_S: Final = 15.0
"""The time (s) after the end of five minutes at which their rows are asked for: the exchange needs to compute them."""
REPEATS_S: Final = (30.0, 60.0)
"""The pauses (s) after which the symbols whose row has not been there yet are asked for again."""
EXTREME_EVERY: Final = MINUTE
ALL_PREMIUMS, ONE_PREMIUM = 10, 1
"""The weights of a request of premiumIndex for all symbols, and for one."""
_AT_ONCE: Final = 3
"""Requests for rows at one time; the client has a slot more, for prices."""
_MOST_FAILURES: Final = 4
"""The number of consecutive failures after which a poll is given up until the next one."""
_KIND: Final = "derivatives"


class _Line(msgspec.Struct):
    """The rows, prices and time stamps that are known of one symbol."""

    symbol: str
    readings: Derivatives = msgspec.field(default_factory=Derivatives)
    sent: dict[int, Fields] = {}
    """The values that were yielded, by the end (ms) of their five minutes; of the last day."""
    last_ends: dict[str, int] = {}
    """The end (ms) of the last row of each source."""
    left_until: dict[str, int] = {}
    """The time (ms) until which a source is not asked, because it refused the symbol."""
    volumes: TakerVolumes = msgspec.field(default_factory=TakerVolumes)
    liquidated: deque[tuple[int, float]] = msgspec.field(default_factory=deque)
    """Close time (ms) and liquidated notional (quote) of the candles of the last hour."""
    premium: Premium = Premium(None, None, None)
    begins: bool | None = None
    """Whether the candles showed that stamps are the beginning of five minutes; None before they showed anything."""

    def end_of(self, stamp: int) -> int:
        """Return the end of the five minutes with a stamp (ms)."""
        begins = stamp > STAMP_CHANGE if self.begins is None else self.begins
        return stamp + METRICS_EVERY if begins else stamp

    def lacks(self, source: Source, end: int, now: int) -> bool:
        """Return whether a source is to be asked for the row that ends at a time (ms)."""
        return self.last_ends.get(source.name, 0) < end and self.left_until.get(source.name, 0) <= now


class DerivativesMonitor:
    """Polls the derivatives of some perpetuals. `wake` is called when rows wait in `take`."""

    def __init__(
        self,
        rest: RestClient,
        symbols: Sequence[str],
        notices: Notices,
        now_ms: Callable[[], int],
        wake: Callable[[], None],
        jitter: Callable[[], float],
        set_hours: Callable[[Mapping[str, int]], None],
    ) -> None:
        """`rest` is a client that no candle waits for. `set_hours` gets the funding intervals that are not usual."""
        self._rest, self._notices, self._now_ms = rest, notices, now_ms
        self._wake, self._jitter, self._set_hours = wake, jitter, set_hours
        self._lines = {symbol: _Line(symbol) for symbol in sorted(symbols)}
        self._hours: Mapping[str, int] = {}
        self._ready: deque[tuple[Metrics, ...]] = deque()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._failures = 0
        """The number of consecutive requests without an answer."""
        self._failed = ""
        """Why a request of this poll failed; empty if none did."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, sorted."""
        return tuple(self._lines)

    @property
    def waiting(self) -> bool:
        """True if there are rows that `take` has not returned yet."""
        return bool(self._ready)

    def take(self) -> tuple[Metrics, ...]:
        """Return the rows of the oldest answer that waits: one of each symbol, or several of one symbol."""
        return self._ready.popleft()

    def note(self, candles: Iterable[Candle], liquidations: Iterable[Liquidations]) -> None:
        """Take closed candles, which show the meaning of time stamps, and the liquidations in them."""
        now, closes = self._now_ms(), dict[str, float]()
        for candle in candles:
            if candle.close_time > now - DAY and (line := self._lines.get(candle.symbol)) is not None:
                line.volumes.add(candle)
                closes[candle.symbol] = candle.close
        for row in liquidations:
            if (line := self._lines.get(row.symbol)) is not None:
                line.liquidated.append((row.at, (row.longs + row.shorts) * closes.get(row.symbol, 0.0)))
                while line.liquidated[0][0] <= row.at - HOUR:
                    line.liquidated.popleft()

    async def run(self) -> None:
        """Poll until the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_rows())
            group.create_task(self._follow_prices())
            group.create_task(self._follow_intervals())

    async def _follow_rows(self) -> None:
        while True:
            await self._poll_rows()
            for each in REPEATS_S:
                if not self._lacking(NEEDED):
                    break
                await pause(each)
                await self._poll_rows()
            now = self._now_ms()
            await pause((self._boundary(now) + METRICS_EVERY - now) / SECOND + DELAY_S + 5.0 * self._jitter())

    async def _follow_prices(self) -> None:
        polled = -1
        while True:
            boundary = self._boundary(self._now_ms())
            extreme = [] if boundary != polled else self.extreme_symbols()
            if boundary != polled or extreme:
                polled = boundary
                await self._poll_prices(extreme)
            now = self._now_ms()
            await pause((EXTREME_EVERY - now % EXTREME_EVERY) / SECOND + DELAY_S * (0.5 + 0.2 * self._jitter()))

    async def _follow_intervals(self) -> None:
        while True:
            try:
                self._hours = await fetch_funding_hours(self._rest)
                self._set_hours(self._hours)
            except (FeedError, MarketUnreachable) as error:
                self._notices.incident(MARKET, _KIND, str(error)[:300], part="fundingInfo")
            await pause(HOUR / SECOND * (1 - 0.02 * self._jitter()))

    def extreme_symbols(self) -> list[str]:
        """Return the symbols with an extreme reading now, sorted."""
        return [line.symbol for line in self._lines.values() if self._is_extreme(line, self._now_ms())]

    def _is_extreme(self, line: _Line, now: int) -> bool:
        if extreme_readings(line.readings.values(now)):
            return True
        liquidated = sum(notional for at, notional in line.liquidated if at > now - HOUR)
        if EXTREMES["liquidations_1h"].includes(liquidated):
            return True
        hours = self._hours.get(line.symbol, USUAL_FUNDING_HOURS)
        return line.premium.rate is not None and EXTREMES["funding_8h"].includes(line.premium.rate * 8 / hours)

    def _boundary(self, now: int) -> int:
        """Return the end (ms) of the last five minutes whose rows can be there at `now`."""
        return (now - round(DELAY_S / 2 * SECOND)) // METRICS_EVERY * METRICS_EVERY

    def _lacking(self, sources: Sequence[Source]) -> list[_Line]:
        """Return the symbols that lack the last row of a source, those with the oldest rows first."""
        now = self._now_ms()
        end = self._boundary(now)
        lines = [each for each in self._lines.values() if any(each.lacks(source, end, now) for source in sources)]
        return sorted(lines, key=lambda line: min(line.last_ends.get(source.name, 0) for source in sources))

    async def _poll_rows(self) -> None:
        """Ask for what each symbol lacks: first what the readings need, then the rest."""
        self._failures, self._failed = 0, ""
        for sources in (NEEDED, (BASIS,), SHOWN):
            lines = self._lacking(sources) if sources != (BASIS,) else self._without_basis()
            await asyncio.gather(*(self._poll_symbol(line, sources) for line in lines))
        if self._failed:
            why = f"open interest, taker and long/short ratios are not all received: {self._failed}"
            self._notices.incident(MARKET, _KIND, why[:300], part="rows", until="rows")
        else:
            self._notices.end(_KIND, "rows")

    def _without_basis(self) -> list[_Line]:
        """Return the symbols whose past basis has not been received since the beginning."""
        now = self._now_ms()
        return [line for line in self._lines.values() if BASIS.name not in line.last_ends and line.lacks(BASIS, 1, now)]

    async def _poll_symbol(self, line: _Line, sources: Sequence[Source]) -> None:
        """Ask some sources for the rows that a symbol lacks, and yield what is new."""
        end = self._boundary(self._now_ms())
        asked = [source for source in sources if line.lacks(source, end, self._now_ms())]
        answers = await asyncio.gather(*(self._rows_of(line, source) for source in asked))
        found = dict(zip((source.name for source in asked), answers, strict=True))
        self._measure_stamps(line, found.get(TAKERS.name, []))
        received: dict[int, Fields] = {}
        now = self._now_ms()
        for name, rows in found.items():
            for stamp, fields in rows:
                # A row of the future is not complete, or its stamp has another meaning than was measured so far.
                if (at := line.end_of(stamp)) <= now:
                    received.setdefault(at, {}).update(fields)
                    line.last_ends[name] = max(at, line.last_ends.get(name, 0))
        self._send(line, received)

    async def _rows_of(self, line: _Line, source: Source) -> list[tuple[int, Fields]]:
        """Return the latest rows of a source, by time stamp; none if the request fails."""
        now = self._now_ms()
        query = source.query(line.symbol, history_limit(line.last_ends.get(source.name), now))
        try:
            body = await self._get(source.path, query, 0, Scope.DATA)
            return [] if body is None else statistics_of(source, body)
        except MarketUnreachable as error:
            self._failed = str(error)
        except FeedError as error:
            line.left_until[source.name] = now + HOUR
            self._notices.incident(line.symbol, _KIND, str(error)[:300], part=source.name)
        return []

    def _measure_stamps(self, line: _Line, rows: Sequence[tuple[int, Fields]]) -> None:
        """Compare taker ratios with the taker volumes of candles, which show what the stamps mean."""
        line.volumes.forget(self._now_ms() - DAY)
        found = line.volumes.fitting((stamp, fields.get("taker_ratio")) for stamp, fields in rows)
        if found is None:
            return
        before, line.begins = (line.end_of(rows[-1][0]) > rows[-1][0]), found == "beginning"
        if line.begins != before:
            why = f"the stamps of {TAKERS.name} are the {found} of five minutes, as the taker volumes of candles show"
            self._notices.incident(line.symbol, _KIND, why, part="stamps")

    def _send(self, line: _Line, received: Mapping[int, Fields]) -> None:
        """Yield the rows of a symbol that have a new value, oldest first."""
        rows = []
        for end in sorted(received)[-ROWS_KEPT:]:
            known = line.sent.setdefault(end, {})
            new = {field: value for field, value in received[end].items() if field not in known}
            if new:
                known.update(new)
                rows.append(metrics_of(line.symbol, end, new))
        for end in sorted(line.sent)[:-ROWS_KEPT]:
            del line.sent[end]
        self._yield(rows)

    async def _poll_prices(self, extreme: Sequence[str]) -> None:
        """Ask for the premium index, and for the open interest of the symbols with an extreme reading."""
        now, interests = self._now_ms(), dict[str, float]()
        try:
            if 0 < len(extreme) * ONE_PREMIUM < ALL_PREMIUMS:
                premiums = dict[str, Premium]()
                for symbol in extreme:
                    premiums |= await self._premiums({"symbol": symbol}, ONE_PREMIUM)
            else:
                premiums = await self._premiums({}, ALL_PREMIUMS)
            for symbol in extreme:
                body = await self._get("/fapi/v1/openInterest", {"symbol": symbol}, 1)
                if body is not None and (interest := open_interest_of(body)) is not None:
                    interests[symbol] = interest
        except (FeedError, MarketUnreachable) as error:
            self._notices.incident(MARKET, _KIND, str(error)[:300], part="prices", until="prices")
            return
        self._notices.end(_KIND, "prices")
        now, rows = self._now_ms(), list[Metrics]()
        for symbol, line in self._lines.items():
            if (premium := premiums.get(symbol)) is None:
                continue
            line.premium = premium
            interest = interests.get(symbol)
            value = None if interest is None or premium.mark_price is None else interest * premium.mark_price
            if interest is not None or (premium.mark_price and premium.index_price):
                rows.append(
                    Metrics(
                        symbol,
                        now,
                        open_interest=interest,
                        open_interest_value=value,
                        perp_price=premium.mark_price,
                        index_price=premium.index_price,
                        is_interim=True,
                    )
                )
        self._yield(rows)

    async def _premiums(self, query: dict[str, str | int], weight: int) -> dict[str, Premium]:
        body = await self._get("/fapi/v1/premiumIndex", query, weight)
        return {} if body is None else premiums_of(body)

    async def _get(
        self, path: str, query: Mapping[str, str | int], weight: int, scope: Scope = Scope.ALL
    ) -> bytes | None:
        """Return the answer; None, without a request, after too many consecutive failures of this poll.

        Raises MarketUnreachable and FeedError as the client does.
        """
        if scope is not Scope.DATA:
            return await self._rest.get(path, query, weight=weight, use=Use.DERIVATIVES)
        async with self._slots:
            if self._failures >= _MOST_FAILURES:
                return None
            try:
                body = await self._rest.get(path, query, weight=weight, use=Use.DERIVATIVES, scope=scope)
            except MarketUnreachable:
                self._failures += 1
                raise
            self._failures = 0
            return body

    def _yield(self, rows: Sequence[Metrics]) -> None:
        if rows:
            for row in rows:
                self._lines[row.symbol].readings.take(row)
            self._ready.append(tuple(rows))
            self._wake()
