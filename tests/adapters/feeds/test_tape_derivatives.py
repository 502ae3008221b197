"""Metrics, funding and trades beside candles, and the time from which each is known."""

import asyncio
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, iso

T0 = 1_773_014_400_000  # 2026-03-09T00:00Z
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
FUNDING = "calc_time,funding_interval_hours,last_funding_rate"
TRADES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"


def write(folder: Path, name: str, *lines: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def candles(folder: Path, minutes: list[int], symbol: str = "ETHUSDT") -> None:
    rows = [f"{T0 + minute * MINUTE},100,101,99,100.5,7" for minute in minutes]
    write(folder, f"{symbol}-1m-2026-03-09.csv", *rows)


def metric(minute: int, interest: float = 5.0, symbol: str = "ETHUSDT") -> str:
    stamp = iso(T0 + minute * MINUTE).replace("T", " ").removesuffix("Z")
    return f"{stamp},{symbol},{interest},6,1.1,1.2,1.3,1.4"


def metrics(folder: Path, minutes: list[int], symbol: str = "ETHUSDT") -> None:
    rows = [metric(minute, 5_000.0 + minute, symbol) for minute in minutes]
    write(folder, f"metrics/{symbol}-metrics-2026-03-09.csv", METRICS, *rows)


def trade(number: int, at: int, price: float, quantity: float, maker: str = "false") -> str:
    return f"{number},{price},{quantity},{number},{number},{T0 + at},{maker}"


def frames_of(feed: TapeFeed, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    return asyncio.run(collect())


def metrics_by_frame(frames: list[Frame]) -> dict[int, list[int]]:
    """Return the minutes of metrics by the minute of their frame."""
    return {
        (frame.at - T0) // MINUTE: [(row.at - T0) // MINUTE for row in frame.metrics]
        for frame in frames
        if frame.metrics
    }


def test_metrics_are_in_the_frame_at_the_end_of_their_five_minutes(tmp_path: Path) -> None:
    candles(tmp_path, list(range(12)))
    metrics(tmp_path, [0, 5, 10])
    frames = frames_of(TapeFeed.open(tmp_path))
    assert metrics_by_frame(frames) == {0: [0], 5: [5], 10: [10]}
    five = frames[5]
    assert five.closed[0].close_time == five.at == five.metrics[0].at
    assert five.metrics == (Metrics("ETHUSDT", T0 + 5 * MINUTE, 5_005.0, 6.0, 1.1, 1.2, 1.3, 1.4),)


def test_first_frame_has_the_metrics_of_the_last_24_hours(tmp_path: Path) -> None:
    candles(tmp_path, [0, 1])
    metrics(tmp_path, [-1441, -1440, -1439, -5, 0, 2, 5, 10])
    assert metrics_by_frame(frames_of(TapeFeed.open(tmp_path))) == {0: [-1439, -5, 0], 2: [2]}


def test_metrics_in_a_gap_of_the_candles_get_frames_of_their_own(tmp_path: Path) -> None:
    candles(tmp_path, [0, 1, 20])
    metrics(tmp_path, [5, 10, 15, 20])
    frames = frames_of(TapeFeed.open(tmp_path))
    assert metrics_by_frame(frames) == {5: [5], 10: [10], 15: [15], 20: [20]}
    assert [(frame.at - T0) // MINUTE for frame in frames] == [0, 1, 2, 5, 10, 15, 20, 21]
    assert [len(frame.closed) + len(frame.opened) for frame in frames[3:6]] == [0, 0, 0]


def test_metrics_of_other_symbols_are_ignored(tmp_path: Path) -> None:
    for symbol in ("ETHUSDT", "SOLUSDT"):
        candles(tmp_path, [0, 1], symbol)
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        metrics(tmp_path, [1], symbol)
    both = frames_of(TapeFeed.open(tmp_path))
    assert [row.symbol for row in both[1].metrics] == ["ETHUSDT", "SOLUSDT"]
    only = frames_of(TapeFeed.open(tmp_path, symbols=["SOLUSDT"]))
    assert [row.symbol for row in only[1].metrics] == ["SOLUSDT"]


def test_empty_ratio_fields_are_read_as_none(tmp_path: Path) -> None:
    candles(tmp_path, [0])
    write(tmp_path, "ETHUSDT-metrics-2026-03-09.csv", METRICS, '2026-03-09 00:00:00,ETHUSDT,5.0,6.0,"","","",""')
    assert frames_of(TapeFeed.open(tmp_path))[0].metrics == (Metrics("ETHUSDT", T0, 5.0, 6.0),)


@pytest.mark.parametrize(("late", "known"), [(0, 0), (1, 1000), (7, 1000), (-2, 0)])
def test_funding_is_known_at_its_time_rounded_up_to_a_second(tmp_path: Path, late: int, known: int) -> None:
    candles(tmp_path, [478, 479, 480, 481])
    write(tmp_path, "ETHUSDT-fundingRate-2026-03.csv", FUNDING, f"{T0 + 8 * HOUR + late},8,-0.0001")
    (frame,) = [frame for frame in frames_of(TapeFeed.open(tmp_path)) if frame.funding]
    assert frame.at == T0 + 8 * HOUR + known >= T0 + 8 * HOUR + late
    assert frame.funding == (Funding("ETHUSDT", frame.at, -0.0001, 8),)


def test_tape_with_metrics_and_funding_resumes_at_any_time(tmp_path: Path) -> None:
    candles(tmp_path, [0, 1, 2, 12, 13])
    candles(tmp_path, [1, 2, 4, 13], "SOLUSDT")
    metrics(tmp_path, [-1450, -5, 0, 5, 10, 15])
    metrics(tmp_path, [-10, 1, 6, 10], "SOLUSDT")
    write(tmp_path, "SOLUSDT-fundingRate-2026-03.csv", FUNDING, f"{T0},8,0.1", f"{T0 + 6 * MINUTE + 3},8,0.2")
    feed = TapeFeed.open(tmp_path)
    frames = frames_of(feed)
    for moment in range(T0 - DAY, T0 + 20 * MINUTE, MINUTE // 2):
        if moment < T0 - HOUR and moment % HOUR:
            continue
        assert frames_of(feed, moment) == [frame for frame in frames if frame.at > moment]
    assert all(frame.closed or frame.opened or frame.metrics or frame.funding for frame in frames)


def test_metrics_are_part_of_the_tape_identity(tmp_path: Path) -> None:
    candles(tmp_path, [0])
    before = TapeFeed.open(tmp_path).identity
    metrics(tmp_path, [0])
    assert TapeFeed.open(tmp_path).identity != before


def test_repeated_and_shuffled_metrics_are_sorted_and_counted(tmp_path: Path) -> None:
    candles(tmp_path, list(range(20)))
    metrics(tmp_path, [5, 15, 10, 5])
    feed = TapeFeed.open(tmp_path)
    assert metrics_by_frame(frames_of(feed)) == {5: [5], 10: [10], 15: [15]}
    assert (feed.counters.duplicates, feed.counters.disordered) == (1, 2)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (metric(5, 9.0), "differs from that of the same time in"),
        (metric(10, symbol="XRPUSDT"), "the row is of 'XRPUSDT'; expected ETHUSDT"),
        ("2026-03-09 25:00:00,ETHUSDT,1,2,3,4,5,6", "is not a time; expected one such as 2026-03-22 00:05:00"),
        ("2026-03-09 00:10:00,ETHUSDT,1,2,3,4,5", "the row has 7 columns; expected 8"),
        ("2026-03-09 00:10:00,ETHUSDT,lots,2,3,4,5,6", "the sum_open_interest 'lots' is not a number"),
        ("2026-03-09 00:10:00,ETHUSDT,nan,2,3,4,5,6", "the sum_open_interest is nan"),
        ("2026-03-09 00:10:00,ETHUSDT,-1,2,3,4,5,6", "expected zero or more"),
        ("2026-03-09 00:10:00,ETHUSDT,1,2,1e200,4,5,6", "1e+200; expected 0, or 1e-09 to 1e+06"),
        ("2026-03-09 00:10:00,ETHUSDT,1e-310,2,3,4,5,6", "expected 0, or 1e-09 to 1e+18"),
        ("1999-03-09 00:10:00,ETHUSDT,1,2,3,4,5,6", "is not between 2009 and 2100"),
    ],
)
def test_error_names_the_line_of_an_invalid_metrics_row(tmp_path: Path, row: str, fault: str) -> None:
    candles(tmp_path, list(range(20)))
    write(tmp_path, "ETHUSDT-metrics-2026-03-09.csv", METRICS, metric(5, 8.0), row)
    with pytest.raises(TapeError, match=r"ETHUSDT-metrics-2026-03-09\.csv, line 3: ") as caught:
        frames_of(TapeFeed.open(tmp_path))
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (f"{T0},8,0.5", "differs from that"),
        (f"{T0 + HOUR},0,0.1", "the funding interval '0' is not between 1 and 24"),
        (f"{T0 + HOUR},8,high", "the rate 'high' is not a number"),
        (f"{T0 + HOUR},8,5", "is not between -1 and 1"),
        (f"{T0 + HOUR},8,nan", "is not between -1 and 1"),
        ("soon,8,0.1", "the time 'soon' is not a whole number"),
    ],
)
def test_error_names_the_line_of_an_invalid_funding_row(tmp_path: Path, row: str, fault: str) -> None:
    candles(tmp_path, list(range(20)))
    write(tmp_path, "ETHUSDT-fundingRate-2026-03.csv", FUNDING, f"{T0},8,0.1", row)
    with pytest.raises(TapeError, match=r"ETHUSDT-fundingRate-2026-03\.csv, line 3: ") as caught:
        frames_of(TapeFeed.open(tmp_path))
    assert fault in str(caught.value)


def test_candles_are_built_from_trades(tmp_path: Path) -> None:
    rows = [
        trade(1, 0, 100.0, 1.0),
        trade(2, 30_000, 103.0, 0.1, "true"),
        trade(3, 59_999, 99.0, 0.2),
        trade(4, 3 * MINUTE, 98.0, 2.0, "true"),
    ]
    write(tmp_path, "ETHUSDT-aggTrades-2026-03-09.csv", TRADES, *rows)
    feed = TapeFeed.open(tmp_path)
    assert (feed.interval, feed.symbols) == (MINUTE, ("ETHUSDT",))
    assert [candle for frame in frames_of(feed) for candle in frame.closed] == [
        Candle("ETHUSDT", T0, MINUTE, 100.0, 103.0, 99.0, 99.0, 1.3, 1.2),
        Candle("ETHUSDT", T0 + 3 * MINUTE, MINUTE, 98.0, 98.0, 98.0, 98.0, 2.0, 0.0),
    ]
    (hour,) = [candle for frame in frames_of(TapeFeed.open(tmp_path, interval="1h")) for candle in frame.closed]
    assert (hour.open_time, hour.high, hour.close, hour.volume) == (T0, 103.0, 98.0, 3.3)


def test_spot_trades_in_microseconds_are_read(tmp_path: Path) -> None:
    row = f"1,100.0,1.0,1,1,{T0 * 1000 + 123_456},True,True"
    write(tmp_path, "spot/ETHUSDT-aggTrades-2026-03-09.csv", row)
    (candle,) = [candle for frame in frames_of(TapeFeed.open(tmp_path)) for candle in frame.closed]
    assert (candle.open_time, candle.taker_volume) == (T0, 0.0)


def test_recorded_candles_are_preferred_to_candles_from_trades(tmp_path: Path) -> None:
    candles(tmp_path, [0])
    write(tmp_path, "ETHUSDT-aggTrades-2026-03-09.csv", "no trades at all")
    write(tmp_path, "SOLUSDT-aggTrades-2026-03-09.csv", TRADES, trade(1, 0, 50.0, 1.0))
    (frame,) = [frame for frame in frames_of(TapeFeed.open(tmp_path)) if frame.closed]
    assert [(candle.symbol, candle.close) for candle in frame.closed] == [("ETHUSDT", 100.5), ("SOLUSDT", 50.0)]


def test_shuffled_and_repeated_trades_give_the_same_candles(tmp_path: Path) -> None:
    rows = [trade(number, number * 7_000, 100.0 + number % 5, 0.1 * number) for number in range(1, 60)]
    write(tmp_path / "a", "ETHUSDT-aggTrades-2026-03-09.csv", TRADES, *rows)
    write(tmp_path / "b", "ETHUSDT-aggTrades-2026-03-09.csv", TRADES, *rows[40:], *rows[:40])
    write(tmp_path / "b", "ETHUSDT-aggTrades-2026-03.csv", TRADES, *rows[20:50])
    feed = TapeFeed.open(tmp_path / "b")
    assert frames_of(feed) == frames_of(TapeFeed.open(tmp_path / "a"))
    assert (feed.counters.duplicates, feed.counters.disordered) == (30, 40)


def test_tape_of_trades_can_resume_at_any_time(tmp_path: Path) -> None:
    for day in range(2):
        rows = [trade(day * 100 + each, day * DAY + each * 41_000, 100.0 + each, 1.0) for each in range(20)]
        write(tmp_path, f"ETHUSDT-aggTrades-2026-03-{9 + day:02d}.csv", TRADES, *rows)
    feed = TapeFeed.open(tmp_path)
    frames = frames_of(feed)
    for frame in frames:
        for moment in (frame.at - 1, frame.at):
            assert frames_of(feed, moment) == [each for each in frames if each.at > moment]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (trade(1, 0, 101.0, 1.0), "the trade 1 differs from that in"),
        ("2,100,1,2", "the row has 4 columns; expected 7"),
        (f"2,100,1,2,2,{T0},perhaps", "is_buyer_maker is 'perhaps'"),
        (f"2,0,1,2,2,{T0},true", "the price is 0.0"),
        (f"2,100,nan,2,2,{T0},true", "the quantity is nan"),
        ("2,100,1,2,2,5,true", "is not between 2009 and 2100"),
        (f"x,100,1,2,2,{T0},true", "is not an id"),
        (f"2,100e9,1,2,2,{T0},true", "by a factor of over a million"),
    ],
)
def test_error_names_the_line_of_an_invalid_trade(tmp_path: Path, row: str, fault: str) -> None:
    write(tmp_path, "ETHUSDT-aggTrades-2026-03-09.csv", TRADES, trade(1, 0, 100.0, 1.0), row)
    with pytest.raises(TapeError, match=r"ETHUSDT-aggTrades-2026-03-09\.csv, line 3: ") as caught:
        frames_of(TapeFeed.open(tmp_path))
    assert fault in str(caught.value)
