"""The tape as a feed: candles, metrics and funding of all symbols, merged into frames in time order."""

from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, Self

import msgspec

from ocw_mcp.adapters.feeds.stamps import METRICS_EVERY
from ocw_mcp.adapters.feeds.tape.candles import candles_from_trades, read_candles
from ocw_mcp.adapters.feeds.tape.derivatives import read_funding, read_metrics
from ocw_mcp.adapters.feeds.tape.options import ALREADY_READ, Discontinuity, LeftOut, RowCounts, TapeOptions
from ocw_mcp.adapters.feeds.tape.reading import Stream, TapeFile, scan
from ocw_mcp.adapters.feeds.tape.selection import Files, Selection, layout_of, select
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, Funding, MarketIdentity, Metrics, Opening, Product
from ocw_mcp.domain.time import DAY

LEAD = DAY
"""The first frame has the metrics and funding of the last LEAD ms before the first candle; older rows are dropped."""

DAYS_KEPT = 1_488
"""The days before the tape that the longest fit of the regime uses: four years and the windows before them."""

_NEVER = 1 << 62


class TapeFeed:
    """A recorded market. A file is open only while its rows are due, with one block of rows in memory."""

    def __init__(self, selection: Selection, options: TapeOptions = TapeOptions()) -> None:  # noqa: B008 - it is frozen
        self.selection = selection
        self._options = options
        self.counters = RowCounts(options=options)
        """The counts and the faults of the latest pass so far."""
        self.product = selection.product
        self.interval = selection.interval
        self.symbols = tuple(selection.files)
        self._days_of: str | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        product: Product | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        options: TapeOptions = TapeOptions(),  # noqa: B008 - it is frozen
    ) -> Self:
        """Open the tape at a path. Raises TapeError if there is none, or if product or interval are ambiguous."""
        return cls(select(path, product, interval, symbols, options), options)

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("tape", self.product, self.interval, self.symbols, self.selection.content)

    @property
    def left_out(self) -> list[LeftOut]:
        """Files under the path that are not read, and invalid rows that the latest pass has found so far."""
        return [*self.selection.left_out, *self.counters.left_out.values()]

    @property
    def discontinuities(self) -> list[Discontinuity]:
        """The discontinuities that the latest pass has found so far, at which their symbols ended."""
        return [self.counters.discontinuities[symbol] for symbol in sorted(self.counters.discontinuities)]

    def read_days_of(self, symbol: str) -> None:
        """Set the symbol whose daily candles from before the tape its first frame shall have, if the path has them."""
        self._days_of = symbol

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield all frames, or those later than `after` (ms). Raises TapeError for an invalid tape."""
        taken = 0 if after is None else ALREADY_READ
        self.counters = counters = RowCounts(options=self._options, taken=taken)
        selection = self.selection
        with ExitStack() as stack:

            def opened(groups: Files, read: Any, since: int | None, delay: int | None = None) -> list[Iterator[Any]]:
                """Open the files with rows known after `since`; rows are known `delay` (ms) after their timestamps."""
                streams = []
                for symbol, files in groups.items():
                    if since is not None and delay is not None:
                        files = tuple(file for file in files if not _is_over(file, delay, since))
                    streams.append(read(files, symbol, since, counters))
                    stack.callback(streams[-1].close)
                return streams

            frames = _candle_frames(opened(selection.files, self._candles, after), self.interval)
            if after is not None:
                frames = dropwhile(lambda frame: frame.at <= after, frames)
            if selection.metrics or selection.funding:
                begins = after is None or after < self._first_open()
                known = None if begins else after
                rows = [
                    *opened(selection.metrics, read_metrics, known, METRICS_EVERY),
                    *opened(selection.funding, read_funding, known, 0),
                ]
                frames = _with_derivatives(frames, rows, begins, counters.discontinuities)
            has_frames = after is not None
            for frame in frames:
                if not has_frames and (days := self._days_before(frame.at)):
                    frame = msgspec.structs.replace(frame, days=days)
                has_frames = True
                yield frame
            if not has_frames and counters.left_out:
                raise TapeError(f"no valid candle is left: {next(iter(counters.left_out.values())).fault}")

    def _candles(
        self, files: Sequence[TapeFile], symbol: str, after: int | None, counters: RowCounts
    ) -> Generator[Candle, None, None]:
        from_trades = self.selection.files[symbol][0].stream is Stream.TRADES
        read = candles_from_trades if from_trades else read_candles
        before: deque[Candle] = deque()
        if after is not None:
            over = [file for file in files if _is_over(file, self.interval, after)]
            files = [file for file in files if file not in over]
            # The earlier files give the last candle before, and show whether the symbol has already ended.
            options = msgspec.structs.replace(self._options, strict=False)
            earlier = RowCounts(options=options, taken=ALREADY_READ)
            before = deque(read(over, symbol, self.interval, None, earlier), maxlen=1)
            counters.discontinuities.update(earlier.discontinuities)
            if symbol in counters.discontinuities:
                return
        yield from read(files, symbol, self.interval, after, counters, before[0] if before else None)

    def _days_before(self, begin: int) -> tuple[Candle, ...]:
        """Return the last days of the symbol of `read_days_of` that closed by `begin` (ms), without invalid rows."""
        files = self.selection.days.get(self._days_of or "", ())
        counters = RowCounts(options=msgspec.structs.replace(self._options, strict=False), taken=ALREADY_READ)
        with closing(read_candles(files, self._days_of or "", DAY, None, counters)) as stream:
            return tuple(deque((each for each in stream if each.close_time <= begin), maxlen=DAYS_KEPT))

    def _first_open(self) -> int:
        """Return the earliest open time of all candles, ms."""
        firsts: list[int] = []
        for symbol, files in self.selection.files.items():
            with closing(self._candles(files, symbol, None, RowCounts(options=self._options))) as stream:
                firsts += [candle.open_time for candle in islice(stream, 1)]
        return min(firsts)


def _is_over(file: TapeFile, interval: int, after: int) -> bool:
    """Return whether all rows of a file, known `interval` (ms) after their timestamps, were known by `after` (ms)."""
    if file.ends is None or file.ends - min(interval, DAY) + interval > after:
        return False
    layout = layout_of(file)
    return (scan(file, layout).last >> layout.shift) + interval <= after


def _candle_frames(streams: Sequence[Iterator[Candle]], interval: int) -> Iterator[Frame]:
    """Yield frames from each symbol's candles. A candle is read, and its fault raised, only when it is due."""
    if len(streams) == 1:
        yield from _frames_of_one(streams[0], interval)
        return
    held = [next(stream, None) for stream in streams]
    due = [_NEVER if candle is None else candle.open_time for candle in held]
    is_open = [False for _ in streams]
    while due and (at := min(due)) != _NEVER:
        closed: list[Candle] = []
        opened: list[Opening] = []
        ended: tuple[str, ...] = ()
        for place in range(len(streams)):
            if due[place] != at:
                continue
            candle = held[place]
            if is_open[place] and candle is not None:
                closed.append(candle)
                candle = held[place] = next(streams[place], None)
                is_open[place] = False
            if candle is None:
                due[place] = _NEVER
                ended = (*ended, closed[-1].symbol)
            elif candle.open_time == at:
                opened.append(Opening(candle.symbol, at, candle.open))
                is_open[place] = True
                due[place] = at + interval
            else:
                due[place] = candle.open_time
        if ended and min(due) == _NEVER:
            ended = ()
        yield Frame(at, tuple(closed), tuple(opened), ended=ended)


def _frames_of_one(stream: Iterator[Candle], interval: int) -> Iterator[Frame]:
    """Yield the same frames for the candles of a single symbol, in less time."""
    before: Candle | None = None
    for candle in stream:
        at, closed = candle.open_time, tuple[Candle, ...]()
        if before is not None:
            if before.open_time + interval != at:
                yield Frame(before.open_time + interval, (before,))
            else:
                closed = (before,)
        yield Frame(at, closed, (Opening(candle.symbol, at, candle.open),))
        before = candle
    if before is not None:
        yield Frame(before.open_time + interval, (before,))


def _with_derivatives(
    frames: Iterator[Frame],
    streams: Sequence[Iterator[Metrics | Funding]],
    begins: bool,
    ended: Mapping[str, Discontinuity],
) -> Iterator[Frame]:
    """Put each row of metrics and funding into the frame of its time, or into a new frame between two others.

    If the tape `begins` with these frames, the first one also gets the rows of the last LEAD ms before it. Rows after
    the last candle, or after a symbol in `ended` has ended, are dropped.
    """
    rows = merge(*streams, key=lambda row: (row.at, row.symbol))
    row = next(rows, None)
    for frame in frames:
        known: list[Metrics | Funding] = []
        while row is not None and row.at <= frame.at:
            if ended and row.symbol in ended and row.at > ended[row.symbol].since:
                row = next(rows, None)
                continue
            if begins:
                known += [row] if row.at > frame.at - LEAD else []
            elif not known or known[0].at == row.at:
                known.append(row)
            else:
                yield _framed(Frame(known[0].at), known)
                known = [row]
            row = next(rows, None)
        if known and not begins and known[0].at < frame.at:
            yield _framed(Frame(known[0].at), known)
            known = []
        begins = False
        yield _framed(frame, known) if known else frame


def _framed(frame: Frame, known: list[Metrics | Funding]) -> Frame:
    known.sort(key=lambda row: (row.symbol, row.at))
    return Frame(
        frame.at,
        frame.closed,
        frame.opened,
        tuple(row for row in known if isinstance(row, Metrics)),
        tuple(row for row in known if isinstance(row, Funding)),
        ended=frame.ended,
    )
