"""Recorded market data; the tests are skipped on a machine without it."""

import asyncio
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, Product
from ocw_mcp.domain.time import DAY, MINUTE, iso

TAPES = Path(__file__).resolve().parents[3].parent / "shared" / "tapes"


def tape(name: str) -> Path:
    path = TAPES / name
    if not path.exists():
        pytest.skip("the real tapes are not on this machine")
    return path


def head_of(feed: TapeFeed, count: int = 1_000_000, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        frames: list[Frame] = []
        async for frame in feed.frames(after):
            frames.append(frame)
            if len(frames) == count:
                break
        return frames

    return asyncio.run(collect())


def test_recorded_day_of_futures_minute_candles_is_complete() -> None:
    feed = TapeFeed.open(tape("vision/futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03-09.zip"))
    frames = head_of(feed)
    assert (feed.product, feed.interval, feed.symbols) == (Product.UM, MINUTE, ("ETHUSDT",))
    assert len(frames) == DAY // MINUTE + 1
    assert frames[1].closed == (
        Candle("ETHUSDT", 1773014400000, MINUTE, 1935.98, 1938.28, 1934.54, 1937.45, 3749.038, 1759.793),
    )
    assert iso(frames[-1].at) == "2026-03-10T00:00:00Z"
    assert feed.counters.duplicates == 0


def test_spot_candles_with_times_in_microseconds_are_read() -> None:
    feed = TapeFeed.open(tape("vision/spot/monthly/klines/BTCUSDT/15m/BTCUSDT-15m-2025-01.zip"))
    frames = head_of(feed)
    assert (feed.product, feed.interval) == (Product.SPOT, 15 * MINUTE)
    assert (iso(frames[0].at), iso(frames[-1].at)) == ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z")
    assert len(frames) == 31 * 96 + 1


def test_tape_that_changes_from_ms_to_microseconds_has_no_gap() -> None:
    feed = TapeFeed.open(tape("vision/spot/monthly/klines/SOLUSDT/15m"))
    frames = head_of(feed, 400)
    assert [frame.at - frames[0].at for frame in frames] == [place * 15 * MINUTE for place in range(400)]


def test_candles_of_three_symbols_close_in_the_same_frame() -> None:
    feed = TapeFeed.open(tape("ohlcv"), product=Product.UM)
    assert (feed.symbols, feed.interval) == (("BTCUSDT", "ETHUSDT", "SOLUSDT"), MINUTE)
    for frame in head_of(feed, 500)[1:]:
        assert [candle.symbol for candle in frame.closed] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


def test_resuming_across_files_gives_the_same_frames() -> None:
    feed = TapeFeed.open(tape("vision/futures/um/daily/klines/ETHUSDT"))
    late = 1773014400000 + 2 * DAY
    assert head_of(feed, 50, late - 1) == head_of(feed, 2 * DAY // MINUTE + 50)[-50:]
    hole = [frame.at for frame in head_of(feed, 2, late + 12 * DAY - 1)]
    assert [iso(at) for at in hole] == ["2026-03-23T00:00:00Z", "2026-04-01T00:00:00Z"]


def test_mixed_tape_is_refused_without_product_and_interval() -> None:
    path = tape("vision")
    with pytest.raises(TapeError, match="--product"):
        TapeFeed.open(path)
    with pytest.raises(TapeError, match=r"15m, 1h and 1d.*--interval"):
        TapeFeed.open(path, Product.SPOT)


@pytest.mark.slow
def test_candles_from_trades_equal_those_of_the_exchange() -> None:
    built = head_of(TapeFeed.open(tape("vision/futures/um/daily/aggTrades/SOLUSDT")))
    told = head_of(TapeFeed.open(tape("vision/futures/um/daily/klines/SOLUSDT")))
    pairs = [(mine.closed[0], theirs.closed[0]) for mine, theirs in zip(built[1:], told[1:], strict=True)]
    assert len(pairs) == DAY // MINUTE
    assert all(
        (mine.open_time, mine.high, mine.low, mine.close) == (theirs.open_time, theirs.high, theirs.low, theirs.close)
        for mine, theirs in pairs
    )
    # The exchange puts a few trades of the milliseconds around a minute's turn into the other minute.
    assert sum(mine.volume != theirs.volume or mine.open != theirs.open for mine, theirs in pairs) < 80
    for name in ("volume", "taker_volume"):
        mine, theirs = (sum(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
        assert mine == pytest.approx(theirs, rel=2e-4)


@pytest.mark.slow
def test_recorded_metrics_and_funding_are_in_frames_of_their_times() -> None:
    feed = TapeFeed.open(tape("vision/futures/um"), interval="1m", symbols=["ETHUSDT"])
    frames = head_of(feed)
    rows = [(frame.at, row.at) for frame in frames for row in frame.metrics]
    rows += [(frame.at, row.at) for frame in frames for row in frame.funding]
    begins = frames[0].at
    assert all(known == at or at == begins for at, known in rows)
    april = [row for frame in frames for row in frame.metrics if iso(row.at) >= "2026-04-05"]
    assert len(april) == 8 * 288  # from five past midnight of the 5th to the last close
    assert sum(len(frame.funding) for frame in frames) == 105
    middle = frames[len(frames) // 2].at
    assert head_of(feed, after=middle) == [frame for frame in frames if frame.at > middle]
