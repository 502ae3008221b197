"""Reports the content of a tape, stream by stream, from reading every row as a replay would."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.stamps import METRICS_EVERY, TakerVolumes, meaning
from ocw_mcp.adapters.feeds.tape.candles import read_candles, read_trades
from ocw_mcp.adapters.feeds.tape.derivatives import read_funding, read_metrics
from ocw_mcp.adapters.feeds.tape.finding import MONTHLY, find, interval_length
from ocw_mcp.adapters.feeds.tape.options import Discontinuity, LeftOut, RowCounts, TapeOptions
from ocw_mcp.adapters.feeds.tape.reading import Stream, TapeFile, printable_name
from ocw_mcp.adapters.feeds.tape.selection import in_time, parse_interval, select, sound, with_intervals
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Metrics, Product
from ocw_mcp.domain.time import HOUR, span_ms, span_name

_SLACK: Final = 2
"""A gap is a delay of at least 1/_SLACK of the usual step between two rows; timestamps jitter by seconds."""


class Gaps(msgspec.Struct):
    """The rows missing between the first and the last: candles, metrics, funding rates, or trades by their ids."""

    count: int = 0
    missing: int = 0
    longest_ms: int = 0
    longest_from: int | None = None
    """Time (ms) when the first row missing in the longest gap was due; for trades, time of the last trade before it."""
    longest_to: int | None = None
    """Time of the first row after the longest gap, ms."""

    def add(self, missing: int, since: int, until: int) -> None:
        self.count += 1
        self.missing += missing
        if until - since > self.longest_ms or self.longest_from is None:
            self.longest_ms, self.longest_from, self.longest_to = until - since, since, until


class StampFit(msgspec.Struct):
    """How many metrics rows, before or after STAMP_CHANGE, fit the candles in each meaning of the timestamp."""

    side: str
    """`before` for rows before STAMP_CHANGE, `from` for all others."""
    read_as: str
    """The meaning of a timestamp in a replay: the `end` or the `beginning` of five minutes."""
    end: int = 0
    """Rows whose taker ratio fits only the candles of the five minutes before the timestamp, not those after it."""
    beginning: int = 0

    @property
    def fits(self) -> str | None:
        """The meaning of the timestamps that fits the candles, or None if neither clearly does."""
        return meaning(self.end, self.beginning)

    @property
    def disagrees(self) -> bool:
        """Whether the candles contradict the meaning of the timestamps in a replay."""
        return self.fits is not None and self.fits != self.read_as


class StreamInfo(msgspec.Struct):
    """One stream of one symbol. `first` and `last` are the times (ms) of two rows; for candles, open times."""

    product: str | None
    """Spot or futures; None if neither the name nor the folders give it."""
    stream: str
    symbol: str
    interval: str | None
    files: int
    rows: int = 0
    """Rows without duplicates."""
    first: int | None = None
    last: int | None = None
    duplicates: int = 0
    disordered: int = 0
    empty: int = 0
    gaps: Gaps = msgspec.field(default_factory=Gaps)
    used: bool = False
    """Whether a replay of the path would read the stream."""
    left_out: int = 0
    """The number of invalid rows."""
    moved_on_no_volume: int = 0
    """Candles whose price moved although nothing was traded."""
    discontinuity: Discontinuity | None = None
    """The gap before which a replay ends the symbol, because its price is in another unit after it."""
    stamps: list[StampFit] = msgspec.field(default_factory=list)
    """For metrics: which meaning of their timestamps fits the candles; empty without candles with taker volumes."""
    fault: str | None = None
    """The fault that stopped reading, if any; only the rows before it are counted."""


class ReplayPlan(msgspec.Struct, frozen=True):
    """The streams that a replay of the path would read, or the reason for which it would refuse the path."""

    product: str | None = None
    interval: str | None = None
    symbols: tuple[str, ...] = ()
    built_from_trades: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    funding: tuple[str, ...] = ()
    refused: str | None = None
    stops: str | None = None
    """The fault at which the replay would stop, if a stream that it reads has one."""


class TapeInfo(msgspec.Struct, frozen=True):
    """The content of a tape."""

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
    options: TapeOptions = TapeOptions(),  # noqa: B008 - it is frozen
) -> TapeInfo:
    """Read a tape and count its rows; `listener` gets a stream before it is read. Raises TapeError without a stream."""
    wanted = parse_interval(interval)
    left_out: list[LeftOut] = []
    files = [
        file
        for file in with_intervals(find(path, left_out), options, left_out)
        if (product is None or file.product in (None, product))
        and (wanted is None or file.stream is not Stream.KLINES or file.interval == wanted)
        and (symbols is None or file.symbol in {symbol.upper() for symbol in symbols})
    ]
    if not files:
        raise TapeError(
            f"{printable_name(path.name or str(path))} holds nothing of the requested product, interval and symbols; "
            "expected some of them there; omit the options to see everything"
        )
    if not options.strict:
        files = sound(files, options, left_out)
    plan, used = ReplayPlan(), set[Path]()
    try:
        chosen = select(path, product, interval, symbols, options)
    except TapeError as error:
        plan = ReplayPlan(refused=str(error))
    else:
        plan = ReplayPlan(
            product=chosen.product,
            interval=span_name(chosen.interval),
            symbols=tuple(chosen.files),
            built_from_trades=tuple(name for name, of in chosen.files.items() if of[0].stream is Stream.TRADES),
            metrics=tuple(chosen.metrics),
            funding=tuple(chosen.funding),
        )
        groups = chosen.files, chosen.metrics, chosen.funding
        used = {file.path for group in groups for members in group.values() for file in members}
        left_out += [each for each in chosen.left_out if each not in left_out]
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
        counters = RowCounts(options=options)
        _count(members, info, counters, volumes.get(info.symbol))
        left_out += counters.left_out.values()
        streams.append(info)
    stops = next((each.fault for each in streams if each.used and each.fault), None)
    return TapeInfo(streams, msgspec.structs.replace(plan, stops=stops), left_out)


def _place(file: TapeFile) -> tuple[str, str, int, int, str]:
    length = interval_length(file.interval) if file.interval else 0
    return file.product or "", file.symbol, list(Stream).index(file.stream), length, file.interval


def _count(files: Sequence[TapeFile], info: StreamInfo, counters: RowCounts, volumes: "TakerVolumes | None") -> None:
    """Read one stream and record its content, up to its end or to the fault that stops it."""
    if info.interval == MONTHLY:
        info.fault = "candles of a month have no fixed length, and are not read"
        return
    due: int | None = None
    try:
        for at, place, step in _rows(info, in_time(files), counters, volumes):
            if due is not None and info.last is not None and place > due and place - due >= step // _SLACK:
                since = info.last if info.stream == Stream.TRADES else due
                info.gaps.add(max(1, (place - due) // step), since, at)
            if info.first is None:
                info.first = at
            info.rows, info.last, due = info.rows + 1, at, place + step
    except TapeError as error:
        info.fault = str(error)
    info.duplicates, info.disordered, info.empty = counters.duplicates, counters.disordered, counters.empty
    info.left_out = sum(each.rows or 0 for each in counters.left_out.values())
    info.discontinuity = counters.discontinuities.get(info.symbol)


def _rows(
    info: StreamInfo, files: Sequence[TapeFile], counters: RowCounts, volumes: TakerVolumes | None
) -> Iterator[tuple[int, int, int]]:
    """Yield each row's time, its place in the sequence (a time, or an id), and the step to the next place."""
    match info.stream:
        case Stream.KLINES:
            interval = span_ms(info.interval or "1m")
            before: Candle | None = None
            for candle in read_candles(files, info.symbol, interval, None, counters):
                since = before.close if before is not None and before.close_time == candle.open_time else candle.open
                moved = candle.low != candle.high or candle.close != since
                info.moved_on_no_volume += moved and candle.volume == 0
                before = candle
                if volumes is not None:
                    volumes.add(candle)
                yield candle.open_time, candle.open_time, interval
        case Stream.TRADES:
            for trade in read_trades(files, counters):
                yield trade.at, trade.id, 1
        case Stream.METRICS:
            known: list[Metrics] = []
            for row in read_metrics(files, info.symbol, None, counters):
                known.append(row)
                yield row.at, row.at, METRICS_EVERY
            if volumes is not None:
                info.stamps = _stamp_fits(volumes, known, counters.options.begins_from)
        case _:
            for rate in read_funding(files, info.symbol, None, counters):
                yield rate.at, rate.at, rate.interval_hours * HOUR


def _stamp_fits(volumes: TakerVolumes, rows: list[Metrics], begins_from: int) -> list[StampFit]:
    """Return one fit for rows before `begins_from` (ms) and one for later rows; none for a period without rows."""
    fits: dict[bool, StampFit] = {}
    for row in rows:
        # A row's `at` is the end of its five minutes; its timestamp depends on the side of the change.
        begins = row.at > begins_from
        fit = fits.setdefault(begins, StampFit("from", "beginning") if begins else StampFit("before", "end"))
        found = volumes.fits(row.at - METRICS_EVERY if begins else row.at, row.taker_ratio)
        fit.end += found == "end"
        fit.beginning += found == "beginning"
    return [fits[each] for each in sorted(fits)]
