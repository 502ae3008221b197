"""The tape as a feed: the candles of all symbols, merged into frames in time order."""

from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from ocw_mcp.adapters.feeds.tape.faults import open_ms
from ocw_mcp.adapters.feeds.tape.files import Selection, TapeFile, select
from ocw_mcp.adapters.feeds.tape.rows import Tally, candles
from ocw_mcp.adapters.feeds.tape.streams import last_line
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Opening, Product
from ocw_mcp.domain.time import DAY

_NEVER = 1 << 62


class TapeFeed:
    """A market recorded in files. At most one file per symbol is open, and a block of its lines in memory."""

    def __init__(self, selection: Selection) -> None:
        self._files = selection.files
        self._content = selection.content
        self._tally = Tally()
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
    ) -> Self:
        """The candles at a path: a directory laid out like the archive, or one zip, csv or csv.gz file.

        Raises TapeError when there are none, or when product or interval (such as `15m`) are unclear.
        """
        return cls(select(path, product, interval, symbols))

    @property
    def identity(self) -> MarketIdentity:
        return MarketIdentity("tape", self.product, self.interval, self.symbols, self._content)

    @property
    def dropped(self) -> int:
        """Rows that the latest pass left out so far: duplicates, and such as came after a later one."""
        return self._tally.dropped

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All frames later than `after` (ms), or all there are. Raises TapeError where the tape cannot be believed."""
        self._tally = Tally()
        with ExitStack() as stack:
            streams = [self._candles(symbol, after) for symbol in self.symbols]
            for stream in streams:
                stack.callback(stream.close)
            for frame in _merge(streams, self.interval):
                if after is None or frame.at > after:
                    yield frame

    def _candles(self, symbol: str, after: int | None) -> Generator[Candle, None, None]:
        files = self._files[symbol]
        if after is not None:
            files = tuple(file for file in files if not _is_over(file, self.interval, after))
        return candles(files, symbol, self.interval, after, self._tally)


def _is_over(file: TapeFile, interval: int, after: int) -> bool:
    """Whether all candles of a file closed by `after` (ms): its name must say so, and its last row must agree."""
    if file.ends is None or file.ends - min(interval, DAY) + interval > after:
        return False
    try:
        return open_ms(last_line(file.path, file.name).partition(",")[0]) + interval <= after
    except ValueError:
        return False  # whoever reads the rows will tell what is wrong


def _merge(streams: Sequence[Iterator[Candle]], interval: int) -> Iterator[Frame]:
    """Frames out of each symbol's candles. A candle is read only when its turn comes, so errors come in time, too."""
    places = range(len(streams))
    held = [next(stream, None) for stream in streams]
    due = [_NEVER if candle is None else candle.open_time for candle in held]
    is_open = [False for _ in streams]
    while due and (at := min(due)) != _NEVER:
        closed: list[Candle] = []
        opened: list[Opening] = []
        for place in places:
            if due[place] != at:
                continue
            candle = held[place]
            if is_open[place] and candle is not None:
                closed.append(candle)
                candle = held[place] = next(streams[place], None)
                is_open[place] = False
            if candle is None:
                due[place] = _NEVER
            elif candle.open_time == at:
                opened.append(Opening(candle.symbol, at, candle.open))
                is_open[place] = True
                due[place] = at + interval
            else:
                due[place] = candle.open_time
        yield Frame(at, tuple(closed), tuple(opened))
