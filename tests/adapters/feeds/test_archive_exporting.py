"""Frames that are written in the layout of the archive are read by the tape feed as they were."""

import asyncio
import csv
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.adapters.feeds.archive.exporting import ArchiveWriter, Exported
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.feeds.tape.options import TapeOptions
from ocw_mcp.domain.errors import FetchError
from ocw_mcp.domain.market import Candle, Frame, Funding, Mark, Metrics, OrderBook, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND

BEGIN = 1_767_225_600_000 + DAY - 30 * MINUTE
"""Half an hour before midnight, 2026-01-01."""
CUT_OVER = 1_782_345_600_000
"""2026-06-25T00:00Z: the meaning of the time stamps of metrics changes."""


def frames_from(begin: int, minutes: int, seed: int = 1) -> list[Frame]:
    """Return frames of two symbols: candles, two prices a minute, and metrics and funding in between."""
    draw, frames = Random(seed), list[Frame]()
    last = {"BTCUSDT": 90_000.0, "PEPEUSDT": 0.00000123}
    for minute in range(minutes):
        opens, closed = begin + minute * MINUTE, list[Candle]()
        for at in (opens + 20 * SECOND, opens + 40 * SECOND):
            marks = tuple(Mark(name, at, price) for name, price in sorted(last.items()))
            books = tuple(OrderBook(name, at, price, price * 1.0001) for name, price in sorted(last.items()))
            frames.append(Frame(at, marks=marks, books=books))
        for name, open_ in last.items():
            close = open_ * (1 + draw.gauss(0, 0.001))
            high, low = max(open_, close) * 1.0002, min(open_, close) * 0.9997
            volume = draw.random() * 1_000
            taker = None if draw.random() < 0.1 else volume * draw.random()
            closed.append(Candle(name, opens, MINUTE, open_, high, low, close, volume, taker))
            last[name] = close
        at = opens + MINUTE
        metrics = () if at % (5 * MINUTE) else (Metrics("BTCUSDT", at, 7.5, 600_000.25, None, 1.5, 0.25, 2.0),)
        funding = () if at % (8 * HOUR) else (Funding("BTCUSDT", at, -0.000125, 8),)
        frames.append(Frame(at, tuple(closed), metrics=metrics, funding=funding))
    return frames


def read(directory: Path) -> list[Frame]:
    async def all_frames() -> list[Frame]:
        feed = TapeFeed.open(directory, None, None, None, TapeOptions(strict=False))
        return [frame async for frame in feed.frames()]

    return asyncio.run(all_frames())


def candles_of(frames: Sequence[Frame]) -> list[Candle]:
    return sorted((each for frame in frames for each in frame.closed), key=lambda each: (each.symbol, each.open_time))


def written(directory: Path, frames: Sequence[Frame], product: Product = Product.UM) -> Exported:
    return ArchiveWriter(directory, product).write(frames)


@pytest.mark.parametrize(
    ("product", "begin"), [(Product.UM, BEGIN), (Product.SPOT, BEGIN), (Product.UM, CUT_OVER - HOUR)]
)
def test_tape_feed_reads_the_same_candles_metrics_and_funding(product: Product, begin: int, tmp_path: Path) -> None:
    frames = frames_from(begin, 120)
    written(tmp_path, frames, product)
    found = read(tmp_path)
    assert candles_of(found) == candles_of(frames)
    if product is Product.UM:
        for field in ("metrics", "funding"):
            expected = [each for frame in frames for each in getattr(frame, field)]
            assert [each for frame in found for each in getattr(frame, field)] == expected
            assert expected


def test_late_and_repeated_candles_are_written_once_in_order(tmp_path: Path) -> None:
    frames = frames_from(BEGIN, 60)
    late = [frame for frame in frames if frame.closed][10:14]
    rest = [frame for frame in frames if frame not in late]
    written(tmp_path, [*rest, *late, late[0]])
    assert candles_of(read(tmp_path)) == candles_of(frames)


def rows_of(path: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        assert name == f"{path.stem}.csv"
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))


def test_prices_are_written_by_day_with_the_names_of_the_archive(tmp_path: Path) -> None:
    frames = frames_from(BEGIN, 60)
    # The last price of a day comes in a frame of the next one.
    midnight = BEGIN // DAY * DAY + DAY
    frames.insert(95, Frame(midnight + 1, books=(OrderBook("BTCUSDT", midnight - 1, 5.0, 6.0, None, None, 2.5, None),)))
    exported = written(tmp_path, frames)
    first, second = (
        rows_of(tmp_path / f"futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-{day}.zip")
        for day in ("2026-01-01", "2026-01-02")
    )
    assert (len(first), len(second)) == (61, 60)
    assert first[-1] == {
        "update_id": "",
        "best_bid_price": "5",
        "best_bid_qty": "2.5",
        "best_ask_price": "6",
        "best_ask_qty": "",
        "transaction_time": str(midnight - 1),
        "event_time": str(midnight - 1),
    }
    marks = rows_of(tmp_path / "futures/um/daily/markPriceKlines/PEPEUSDT/1m/PEPEUSDT-1m-2026-01-02.zip")
    prices = [mark.price for frame in frames for mark in frame.marks if mark.symbol == "PEPEUSDT"][60:]
    assert [float(row["open"]) for row in marks] == prices[::2]
    assert [float(row["close"]) for row in marks] == prices[1::2]
    assert all(float(row["low"]) == min(float(row["open"]), float(row["close"])) for row in marks)
    assert exported.rows == {"bookTicker": 241, "markPriceKlines": 120, "klines": 120, "metrics": 12, "fundingRate": 1}
    assert [each.partition(":")[0] for each in exported.missing] == [
        "aggTrades",
        "klines",
        "markPriceKlines",
        "bookTicker",
    ]
    assert exported.files == sum(1 for _ in tmp_path.rglob("*.zip")) == sum(1 for _ in tmp_path.rglob("*.CHECKSUM"))


def test_what_frames_do_not_have_is_said(tmp_path: Path) -> None:
    exported = written(tmp_path, [Frame(BEGIN)])
    assert exported.files == 0
    assert [each.partition(":")[0] for each in exported.missing] == [
        "aggTrades",
        "klines",
        "bookTicker",
        "markPriceKlines",
        "metrics",
        "fundingRate",
    ]


def test_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FetchError, match="is not empty; expected a new directory"):
        written(tmp_path, [])
