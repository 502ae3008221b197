"""What a path holds, stream by stream: counted row by row, as a replay would read it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec

from ocw_mcp.adapters.feeds.tape.derivatives import METRICS_EVERY, funding, metrics
from ocw_mcp.adapters.feeds.tape.files import Selection, TapeFile, asked_interval, in_time, known, select, sound
from ocw_mcp.adapters.feeds.tape.finding import Found, find
from ocw_mcp.adapters.feeds.tape.names import MONTHLY, Stream
from ocw_mcp.adapters.feeds.tape.rows import candles
from ocw_mcp.adapters.feeds.tape.stamps import StampFit, TakerVolumes
from ocw_mcp.adapters.feeds.tape.terms import Discontinuity, LeftOut, RowCounts, TapeTerms, shown_name
from ocw_mcp.adapters.feeds.tape.trades import trades
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Metrics, Product
from ocw_mcp.domain.time import HOUR, span_ms, span_name

_SLACK = 2
"""A row that comes later than due by this part of its step, or more, leaves a gap; stamps jitter by seconds."""


class Gaps(msgspec.Struct):
    """What is missing between the first row and the last: candles, metrics, fundings, or trades by their ids."""

    count: int = 0
    missing: int = 0
    """Rows that are not there, over all gaps."""
    longest_ms: int = 0
    longest_from: int | None = None
    """When the first row missing in the longest gap was due, ms; of trades, the time of the last one before it."""
    longest_to: int | None = None
    """When the rows go on, ms."""

    def add(self, missing: int, since: int, until: int) -> None:
        self.count += 1
        self.missing += missing
        if until - since > self.longest_ms or self.longest_from is None:
            self.longest_ms, self.longest_from, self.longest_to = until - since, since, until


class StreamInfo(msgspec.Struct):
    """One stream of one symbol. Times are in ms; `first` and `last` are the stamps of rows, opens of candles."""

    product: str | None
    """None where neither name nor folder tells."""
    stream: str
    symbol: str
    interval: str | None
    """Of candles; None for other streams."""
    files: int
    rows: int = 0
    """Different rows: duplicates are counted apart."""
    first: int | None = None
    last: int | None = None
    duplicates: int = 0
    disordered: int = 0
    empty: int = 0
    gaps: Gaps = msgspec.field(default_factory=Gaps)
    used: bool = False
    """Whether a replay of the path would read it."""
    left_out: int = 0
    """Rows that cannot be believed."""
    moved_on_no_volume: int = 0
    """Candles whose price moved though nothing was traded."""
    discontinuity: Discontinuity | None = None
    """Where a replay ends the symbol, since its price goes on in another unit after a hole; nothing after it counts."""
    stamps: list[StampFit] = msgspec.field(default_factory=list)
    """Of metrics beside candles that say what takers bought: whether their stamps fit."""
    fault: str | None = None
    """Why reading stopped, if it did; the figures are those up to there."""


class ReplayPlan(msgspec.Struct, frozen=True):
    """What a replay of the path would take, or why it would refuse."""

    product: str | None = None
    interval: str | None = None
    symbols: tuple[str, ...] = ()
    built_from_trades: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    funding: tuple[str, ...] = ()
    refused: str | None = None
    stops: str | None = None
    """The fault at which it would stop, where a stream that it reads has one."""


class TapeInfo(msgspec.Struct, frozen=True):
    """All about a path."""

    streams: list[StreamInfo]
    replay: ReplayPlan
    left_out: list[LeftOut] = msgspec.field(default_factory=list)
    """Files, and rows by file, that a replay does not read, with the reason."""


def inspect(
    path: Path,
    product: Product | None = None,
    interval: str | None = None,
    symbols: Sequence[str] | None = None,
    listener: Callable[[StreamInfo], None] | None = None,
    terms: TapeTerms = TapeTerms(),  # noqa: B008 - it is frozen
) -> TapeInfo:
    """Read all of a tape and count. `listener` hears of each stream before its rows are read.

    Raises TapeError when the path holds no tape, or nothing of what was asked for.
    """
    wanted = None if interval is None else asked_interval(interval)
    left_out: list[LeftOut] = []
    every = [file for each in find(path, left_out) if (file := _known(each, terms, left_out)) is not None]
    files = [
        file
        for file in every
        if (product is None or file.product in (None, product))
        and (wanted is None or file.stream is not Stream.KLINES or file.interval == wanted)
        and (symbols is None or file.symbol in {symbol.upper() for symbol in symbols})
    ]
    if not files:
        raise TapeError(
            f"{shown_name(path.name or str(path))} holds nothing of the product, interval and symbols asked for; "
            "expected some of them there; leave the choice out to see all"
        )
    if not terms.strict:
        files = sound(files, terms, left_out)
    plan, used, beside = _plan(path, product, interval, symbols, terms)
    left_out += [each for each in beside if each not in left_out]
    streams: list[StreamInfo] = []
    volumes = {file.symbol: TakerVolumes() for file in files if file.stream is Stream.METRICS}
    for _, group in groupby(sorted(files, key=_place), key=_place):
        members = list(group)
        info = StreamInfo(
            product=members[0].product,
            stream=members[0].stream,
            symbol=members[0].symbol,
            interval=members[0].interval or None,
            files=len(members),
            used=any(file.path in used for file in members),
        )
        if listener is not None:
            listener(info)
        counters = _count(members, info, terms, volumes.get(info.symbol))
        left_out += counters.left_out.values()
        streams.append(info)
    stops = next((each.fault for each in streams if each.used and each.fault), None)
    return TapeInfo(streams, msgspec.structs.replace(plan, stops=stops), left_out)


def _known(found: Found, terms: TapeTerms, left_out: list[LeftOut]) -> TapeFile | None:
    try:
        return known(*found)
    except TapeError as fault:
        if terms.strict:
            raise
        left_out.append(LeftOut(found[1], str(fault)))
        return None


def _place(file: TapeFile) -> tuple[str, str, int, int, str]:
    length = 0 if not file.interval else 1 << 62 if file.interval == MONTHLY else span_ms(file.interval)
    return file.product or "", file.symbol, list(Stream).index(file.stream), length, file.interval


def _plan(
    path: Path, product: Product | None, interval: str | None, symbols: Sequence[str] | None, terms: TapeTerms
) -> tuple[ReplayPlan, set[Path], tuple[LeftOut, ...]]:
    try:
        chosen: Selection = select(path, product, interval, symbols, terms)
    except TapeError as error:
        return ReplayPlan(refused=str(error)), set(), ()
    built = [symbol for symbol, files in chosen.files.items() if files[0].stream is Stream.TRADES]
    plan = ReplayPlan(
        product=chosen.product,
        interval=span_name(chosen.interval),
        symbols=tuple(chosen.files),
        built_from_trades=tuple(built),
        metrics=tuple(chosen.metrics),
        funding=tuple(chosen.funding),
    )
    return plan, {file.path for file in chosen.all_files}, chosen.left_out


def _count(files: Sequence[TapeFile], info: StreamInfo, terms: TapeTerms, volumes: TakerVolumes | None) -> RowCounts:
    """Read one stream and put down what it holds, up to its end or to the fault that stops it."""
    counters = RowCounts(terms=terms)
    try:
        if info.interval == MONTHLY:
            info.fault = "candles of a month have no fixed length, and are not read"
            return counters
        _walk(info, in_time(files), counters, volumes)
    except TapeError as error:
        info.fault = str(error)
    info.duplicates, info.disordered, info.empty = counters.duplicates, counters.disordered, counters.empty
    info.left_out = sum(each.rows or 0 for each in counters.left_out.values())
    info.discontinuity = counters.discontinuities.get(info.symbol)
    return counters


def _walk(info: StreamInfo, files: Sequence[TapeFile], counters: RowCounts, volumes: TakerVolumes | None) -> None:
    due: int | None = None
    for at, place, step in _rows(info, files, counters, volumes):
        if due is not None and info.last is not None and place > due and place - due >= step // _SLACK:
            timed = info.stream != Stream.TRADES
            info.gaps.add(max(1, (place - due) // step), due if timed else info.last, at)
        if info.first is None:
            info.first = at
        info.rows, info.last, due = info.rows + 1, at, place + step


def _rows(
    info: StreamInfo, files: Sequence[TapeFile], counters: RowCounts, volumes: TakerVolumes | None
) -> Iterator[tuple[int, int, int]]:
    """Each row's time, its place in the sequence (a time, or an id), and the step from there to the next place."""
    match info.stream:
        case Stream.KLINES:
            interval = span_ms(info.interval or "1m")
            with closing(candles(files, info.symbol, interval, None, counters)) as read:
                before: Candle | None = None
                for candle in read:
                    info.moved_on_no_volume += candle.volume == 0 and _moved(candle, before)
                    before = candle
                    if volumes is not None:
                        volumes.take(candle)
                    yield candle.open_time, candle.open_time, interval
        case Stream.TRADES:
            with closing(trades(files, counters)) as traded:
                for trade in traded:
                    yield trade.at, trade.id, 1
        case Stream.METRICS:
            told: list[Metrics] = []
            with closing(metrics(files, info.symbol, None, counters)) as rows:
                for row in rows:
                    told.append(row)
                    yield row.at, row.at, METRICS_EVERY
            if volumes is not None:
                info.stamps = volumes.fit(told, counters.terms.begins_from)
        case _:
            with closing(funding(files, info.symbol, None, counters)) as rates:
                for rate in rates:
                    yield rate.at, rate.at, rate.interval_hours * HOUR


def _moved(candle: Candle, before: Candle | None) -> bool:
    """Return whether the price moved within a candle, or between the last candle's close and its open."""
    since = before.close if before is not None and before.close_time == candle.open_time else candle.open
    return candle.low != candle.high or candle.close != since
