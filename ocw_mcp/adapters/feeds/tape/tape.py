"""The tape as a feed: candles, metrics and funding of all symbols, merged into frames in time order."""

from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, closing
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, Self

import msgspec

from ocw_mcp.adapters.feeds.tape.derivatives import METRICS_EVERY, funding, metrics
from ocw_mcp.adapters.feeds.tape.files import Files, Selection, TapeFile, layout_of, select
from ocw_mcp.adapters.feeds.tape.merge import candle_frames, with_derivatives
from ocw_mcp.adapters.feeds.tape.names import Stream
from ocw_mcp.adapters.feeds.tape.order import scan
from ocw_mcp.adapters.feeds.tape.rows import candles
from ocw_mcp.adapters.feeds.tape.terms import PROVEN, Discontinuity, LeftOut, RowCounts, TapeTerms
from ocw_mcp.adapters.feeds.tape.trades import trade_candles
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Product
from ocw_mcp.domain.time import DAY


class TapeFeed:
    """A market recorded in files. Of each symbol and stream, the files of one moment are open, a block of each held."""

    def __init__(self, selection: Selection, terms: TapeTerms = TapeTerms()) -> None:  # noqa: B008 - it is frozen
        self.selection = selection
        self._files = selection.files
        self._terms = terms
        self._counters = RowCounts(terms=terms)
        self.product = selection.product
        self.interval = selection.interval
        self.symbols = tuple(selection.files)

    @classmethod
    def open(
        cls,
        path: Path,
        product: Product | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        terms: TapeTerms = TapeTerms(),  # noqa: B008 - it is frozen
    ) -> Self:
        """The market at a path: a directory laid out like the archive, or one zip, csv or csv.gz file.

        Raises TapeError when there is none, or when product or interval (such as `15m`) are unclear.
        """
        return cls(select(path, product, interval, symbols, terms), terms)

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("tape", self.product, self.interval, self.symbols, self.selection.content)

    @property
    def dropped(self) -> int:
        """Rows that the latest pass left out so far since they were there already."""
        return self._counters.duplicates

    @property
    def disordered(self) -> int:
        """Rows that the latest pass met so far behind a later one, and put where they belong."""
        return self._counters.disordered

    @property
    def left_out(self) -> list[LeftOut]:
        """What under the path is not read, and what the latest pass could not believe so far."""
        return [*self.selection.left_out, *self._counters.left_out.values()]

    @property
    def discontinuities(self) -> list[Discontinuity]:
        """The symbols that the latest pass ended so far before a price in another unit."""
        return [self._counters.discontinuities[symbol] for symbol in sorted(self._counters.discontinuities)]

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All frames later than `after` (ms), or all there are. Raises TapeError where the tape cannot be believed."""
        self._counters = counters = RowCounts(terms=self._terms, taken=0 if after is None else PROVEN)
        selection = self.selection
        with ExitStack() as stack:

            def opened(groups: Files, read: Any, since: int | None) -> list[Generator[Any, None, None]]:
                streams = [read(files, symbol, since, counters) for symbol, files in groups.items()]
                for stream in streams:
                    stack.callback(stream.close)
                return streams

            frames = candle_frames(opened(selection.files, self._candles, after), self.interval)
            if after is not None:
                frames = dropwhile(lambda frame: frame.at <= after, frames)
            if selection.metrics or selection.funding:
                begins = after is None or after < self._begins()
                known = None if begins else after
                frames = with_derivatives(
                    frames,
                    opened(_not_over(selection.metrics, known, METRICS_EVERY), metrics, known),
                    opened(_not_over(selection.funding, known, 0), funding, known),
                    begins,
                    counters.discontinuities,
                )
            seen = after is not None
            for frame in frames:
                seen = True
                yield frame
            if not seen and counters.left_out:
                raise TapeError(f"no candle is left: {next(iter(counters.left_out.values())).fault}")

    def _candles(
        self, files: Sequence[TapeFile], symbol: str, after: int | None, counters: RowCounts
    ) -> Generator[Candle, None, None]:
        read = trade_candles if self._files[symbol][0].stream is Stream.TRADES else candles
        before: deque[Candle] = deque()
        if after is not None:
            over = [file for file in files if _is_over(file, self.interval, after)]
            files = [file for file in files if file not in over]
            # A symbol that had ended stays so, and what comes now follows what was last.
            earlier = RowCounts(terms=msgspec.structs.replace(self._terms, strict=False), taken=PROVEN)
            before = deque(read(over, symbol, self.interval, None, earlier), maxlen=1)
            counters.discontinuities.update(earlier.discontinuities)
            if symbol in counters.discontinuities:
                return
        yield from read(files, symbol, self.interval, after, counters, before[0] if before else None)

    def _begins(self) -> int:
        """When the first candle of all opens, ms."""
        firsts: list[int] = []
        for symbol, files in self._files.items():
            with closing(self._candles(files, symbol, None, RowCounts(terms=self._terms))) as stream:
                firsts += [candle.open_time for candle in islice(stream, 1)]
        return min(firsts)


def _not_over(groups: Files, known: int | None, delay: int) -> Files:
    """Without the files of which every row is known already, at most `delay` (ms) after its stamp."""
    if known is None:
        return groups
    return {
        symbol: tuple(file for file in files if not _is_over(file, delay, known)) for symbol, files in groups.items()
    }


def _is_over(file: TapeFile, interval: int, after: int) -> bool:
    """Whether all of a file was known by `after` (ms): its name must say so, and its rows must agree.

    `interval` (ms) is the time that passes until a row is known: a candle's length.
    """
    if file.ends is None or file.ends - min(interval, DAY) + interval > after:
        return False
    layout = layout_of(file)
    return (scan(file, layout).last >> layout.shift) + interval <= after
