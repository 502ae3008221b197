"""Writes the market data of recorded frames in the layout of the exchange's public archive, one zip file a day.

A recording has candles, mark prices, best prices, metrics and funding rates as the engine took them. A value that the
engine does not take, such as the number of trades of a candle, is an empty cell.
"""

import hashlib
import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.archive.plan import FOLDERS, FUNDING, KLINES, METRICS
from ocw_mcp.adapters.feeds.stamps import METRICS_EVERY
from ocw_mcp.adapters.feeds.tape.options import STAMP_CHANGE
from ocw_mcp.domain.errors import FetchError
from ocw_mcp.domain.market import Candle, Frame, Funding, Mark, OrderBook, Product
from ocw_mcp.domain.market import Metrics as MetricsRow
from ocw_mcp.domain.time import DAY, MINUTE, SECOND, span_name

MARKS: Final = "markPriceKlines"
QUOTES: Final = "bookTicker"
LATE_MS: Final = 5 * MINUTE
"""The time (ms) after midnight until which prices of the day before are taken."""
MICROSECONDS_FROM: Final = 1_735_689_600_000
"""2025-01-01T00:00Z: from then on the archive writes times of spot in microseconds."""
_CANDLE_HEADER: Final = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_QUOTE_HEADER: Final = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
_FUNDING_HEADER: Final = "calc_time,funding_interval_hours,last_funding_rate"
_METRICS_HEADER: Final = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


class Exported(msgspec.Struct):
    """What an export wrote, and what the recording does not have."""

    files: int = 0
    rows: dict[str, int] = {}
    """The number of rows of each stream."""
    missing: list[str] = []
    """One clause for each part of the archive that is not there or not complete."""


class _Minute:
    """The mark prices of one minute: first, highest, lowest and last."""

    __slots__ = ("close", "high", "low", "open")

    def __init__(self, price: float) -> None:
        self.open = self.high = self.low = self.close = price

    def add(self, price: float) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price


class ArchiveWriter:
    """Takes frames in the order of a recording, and writes a day when a frame of a later day comes."""

    def __init__(self, directory: Path, product: Product) -> None:
        """`directory` must be new or empty. Raises FetchError."""
        self._directory, self._product = directory, product
        self.exported = Exported()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._candles: dict[tuple[str, int], dict[int, Candle]] = {}
        self._marks: dict[tuple[str, int], _Minute] = {}
        self._quotes: dict[str, dict[int, OrderBook]] = {}
        self._metrics: dict[str, dict[int, MetricsRow]] = {}
        self._funding: dict[str, dict[int, Funding]] = {}
        self._day = 0
        """The number of the first day whose quotes and marks are not written yet."""
        self._stale = 0
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise FetchError(f"{directory} is not empty; expected a new directory for the archive; name another")

    def write(self, frames: Iterable[Frame]) -> Exported:
        """Write all frames; return what was written. Raises FetchError if a file cannot be written."""
        try:
            for frame in frames:
                self._take(frame)
            self._write_prices(until=None)
            self._write_kept()
        except OSError as error:
            raise FetchError(
                f"the archive in {self._directory} cannot be written: {error.strerror}; make room, or name another "
                "directory"
            ) from None
        self.exported.rows = dict(self._counts)
        self.exported.missing = list(self._missing())
        return self.exported

    def _take(self, frame: Frame) -> None:
        if (today := (frame.at - LATE_MS) // DAY) > self._day:
            # Quotes and marks are many: they are kept for one day. Candles may come late.
            self._write_prices(until=today * DAY)
            self._day = today
        for candle in frame.closed:
            self._candles.setdefault((candle.symbol, candle.interval), {}).setdefault(candle.open_time, candle)
        for book in frame.books:
            if book.at // DAY < self._day:
                self._stale += 1
                continue
            self._quotes.setdefault(book.symbol, {})[book.at] = book
        for mark in frame.marks if self._product is Product.UM else ():
            self._take_mark(mark)
        for row in frame.metrics:
            self._metrics.setdefault(row.symbol, {})[row.at] = row
        for rate in frame.funding:
            self._funding.setdefault(rate.symbol, {})[rate.at] = rate

    def _take_mark(self, mark: Mark) -> None:
        key = mark.symbol, mark.at // MINUTE * MINUTE
        if mark.at // DAY < self._day:
            self._stale += 1
        elif key in self._marks:
            self._marks[key].add(mark.price)
        else:
            self._marks[key] = _Minute(mark.price)

    def _write_prices(self, until: int | None) -> None:
        """Write the quotes and mark prices before `until` (ms); all of them without it."""
        for symbol, quotes in self._quotes.items():
            over = sorted(at for at in quotes if until is None or at < until)
            self._write(QUOTES, symbol, "", {at: _quote_row(quotes.pop(at)) for at in over}, _QUOTE_HEADER)
        by_symbol: defaultdict[str, dict[int, str]] = defaultdict(dict)
        for symbol, at in sorted(key for key in self._marks if until is None or key[1] < until):
            minute = self._marks.pop((symbol, at))
            prices = ",".join(map(_number, (minute.open, minute.high, minute.low, minute.close)))
            by_symbol[symbol][at] = f"{at},{prices},0,{at + MINUTE - 1},0,,0,0,0"
        for symbol, rows in by_symbol.items():
            self._write(MARKS, symbol, "1m", rows, _CANDLE_HEADER)

    def _write_kept(self) -> None:
        for (symbol, interval), candles in sorted(self._candles.items()):
            rows = {at: self._candle_row(candles[at]) for at in sorted(candles)}
            header = _CANDLE_HEADER if self._product is Product.UM else ""
            self._write(KLINES, symbol, span_name(interval), rows, header)
        for symbol, metrics in sorted(self._metrics.items()):
            self._write(METRICS, symbol, "", dict(map(_metrics_row, sorted(metrics.items()))), _METRICS_HEADER)
        for symbol, rates in sorted(self._funding.items()):
            rows = {at: f"{at},{rates[at].interval_hours},{_number(rates[at].rate)}" for at in sorted(rates)}
            self._write(FUNDING, symbol, "", rows, _FUNDING_HEADER)

    def _candle_row(self, candle: Candle) -> str:
        opens, closes = candle.open_time, candle.close_time
        if self._product is Product.SPOT and opens >= MICROSECONDS_FROM:
            times = str(opens * 1_000), str(closes * 1_000 - 1)
        else:
            times = str(opens), str(closes - 1)
        prices = map(_number, (candle.open, candle.high, candle.low, candle.close, candle.volume))
        return ",".join((times[0], *prices, times[1], "", "", _cell(candle.taker_volume), "", "0"))

    def _write(self, stream: str, symbol: str, interval: str, rows: Mapping[int, str], header: str) -> None:
        """Write the rows of one symbol, by time (ms), into a file for each day, or each month of funding."""
        monthly = stream == FUNDING
        parts: defaultdict[str, list[str]] = defaultdict(list)
        for at, row in rows.items():
            parts[f"{datetime.fromtimestamp(at / SECOND, UTC):{'%Y-%m' if monthly else '%Y-%m-%d'}}"].append(row)
        folder = self._directory / FOLDERS[self._product] / ("monthly" if monthly else "daily") / stream / symbol
        for when, lines in parts.items():
            name = f"{symbol}-{interval or stream}-{when}"
            _write_zip(folder / interval if interval else folder, name, [header, *lines] if header else lines)
            self.exported.files += 1
            self._counts[stream] += len(lines)

    def _missing(self) -> Iterator[str]:
        yield "aggTrades: a recording has candles and best prices, and no trades"
        if self._counts[KLINES]:
            yield (
                "klines: quote volume, number of trades and taker quote volume are empty, and the history that the "
                "book read before its first input is not in it"
            )
        named = [KLINES, QUOTES, *((MARKS, METRICS, FUNDING) if self._product is Product.UM else ())]
        yield from (f"{stream}: the recording has none" for stream in named if not self._counts[stream])
        if self._stale:
            yield f"{self._stale:,} prices came more than a day late and are left out"
        if self._counts[MARKS]:
            yield f"{MARKS}: made from the mark prices that the engine took, which are fewer than the exchange's"
        if self._counts[QUOTES]:
            yield f"{QUOTES}: the best prices that the engine took, without the exchange's update ids"


def _quote_row(book: OrderBook) -> str:
    cells = (book.bid, book.bid_quantity, book.ask, book.ask_quantity)
    return ",".join(("", *map(_cell, cells), str(book.at), str(book.at)))


def _metrics_row(entry: tuple[int, MetricsRow]) -> tuple[int, str]:
    """Return the time by which a row of metrics belongs to a day, and the row."""
    at, row = entry
    begins = at - METRICS_EVERY
    stamp = begins if begins >= STAMP_CHANGE else at
    figures = (
        row.open_interest,
        row.open_interest_value,
        row.top_accounts_ratio,
        row.top_positions_ratio,
        row.accounts_ratio,
        row.taker_ratio,
    )
    time = f"{datetime.fromtimestamp(stamp / SECOND, UTC):%Y-%m-%d %H:%M:%S}"
    return begins, ",".join((time, row.symbol, *map(_cell, figures)))


def _write_zip(folder: Path, name: str, lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data, path = io.BytesIO(), folder / f"{name}.zip"
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed time: the same recording gives the same bytes.
        member = zipfile.ZipInfo(f"{name}.csv", (1980, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, "\n".join(lines) + "\n")
    content = data.getvalue()
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")


def _cell(value: float | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float) -> str:
    """Return the shortest text of a float that reads as the same float, without an exponent if it is short."""
    text = repr(value)
    if "e" in text:
        text = f"{value:.20f}".rstrip("0")
        return text if float(text) == value else repr(value)
    return text.removesuffix(".0")
