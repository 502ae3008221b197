"""Shuffled rows, repeated rows and overlapping files: sorted, counted, or refused."""

import asyncio
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.feeds.tape import TapeFeed, reading
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.examples import examples

T0 = 1_773_014_400_000  # 2026-03-09T00:00Z


def row(minute: int, close: float = 100.5) -> str:
    opens_at = T0 + minute * MINUTE
    return f"{opens_at},100,103,99,{close},{minute % 9},{opens_at + MINUTE - 1},700,3,0,200,0\n"


def frames_of(feed: TapeFeed, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    return asyncio.run(collect())


def minutes_of(feed: TapeFeed) -> list[int]:
    candles: list[Candle] = [candle for frame in frames_of(feed) for candle in frame.closed]
    return [(candle.open_time - T0) // MINUTE for candle in candles]


@examples(10, slow=40)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_rows_split_over_files_and_shuffled_give_the_same_frames(rows: list[int], one: int, two: int) -> None:
    with TemporaryDirectory() as folder:
        whole = Path(folder, "whole", "ETHUSDT-1m-2026-03-09.csv")
        whole.parent.mkdir()
        whole.write_text("".join(row(minute) for minute in sorted(set(rows))))
        expected = frames_of(TapeFeed.open(whole))
        parts = Path(folder, "parts")
        parts.mkdir()
        first, second = sorted((one, two))
        names = ("ETHUSDT-1m-2026-03.csv", "ETHUSDT-1m-2026-03-09.csv", "ETHUSDT-1m-2026-03-09_10.csv")
        for name, part in zip(names, (rows[:first], rows[first:second], rows[second:]), strict=True):
            if part:
                (parts / name).write_text("".join(row(minute) for minute in part))
        feed = TapeFeed.open(parts)
        assert frames_of(feed) == expected
        assert feed.counters.duplicates == len(rows) - len(set(rows))
        for frame in expected[:: max(1, len(expected) // 5)]:
            assert frames_of(feed, frame.at) == [each for each in expected if each.at > frame.at]


def test_rows_in_monthly_and_daily_files_are_read_once(tmp_path: Path) -> None:
    minutes = list(range(0, 3 * 1440, 7))
    (tmp_path / "ETHUSDT-1m-2026-03.csv").write_text("".join(map(row, minutes)))
    for day in range(3):
        inside = [minute for minute in minutes if minute // 1440 == day]
        (tmp_path / f"ETHUSDT-1m-2026-03-{9 + day:02d}.csv").write_text("".join(map(row, inside)))
    feed = TapeFeed.open(tmp_path)
    assert minutes_of(feed) == minutes
    assert (feed.counters.duplicates, feed.counters.disordered) == (len(minutes), 0)


def test_rows_of_the_next_day_in_a_daily_file_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text("".join(map(row, [0, 1, 1440, 1442])))
    (tmp_path / "ETHUSDT-1m-2026-03-10.csv").write_text("".join(map(row, [1439, 1440, 1441])))
    assert minutes_of(TapeFeed.open(tmp_path)) == [0, 1, 1439, 1440, 1441, 1442]


def test_rows_of_files_with_a_wrong_date_in_the_name_are_read(tmp_path: Path) -> None:
    for day, minutes in ((20, [0, 1]), (21, [2, 3]), (22, [4]), (9, [5, 6])):
        (tmp_path / f"ETHUSDT-1m-2026-03-{day:02d}.csv").write_text("".join(map(row, minutes)))
    assert minutes_of(TapeFeed.open(tmp_path)) == list(range(7))


def test_file_of_a_year_in_reversed_order_is_sorted(tmp_path: Path) -> None:
    minutes = list(range(0, 525_600, 60))
    (tmp_path / "ETHUSDT-1m.csv").write_text("".join(map(row, reversed(minutes))))
    feed = TapeFeed.open(tmp_path)
    assert minutes_of(feed) == minutes
    assert feed.counters.disordered == len(minutes) - 1


def test_one_misplaced_row_counts_as_one_disordered_row(tmp_path: Path) -> None:
    minutes = [*range(1, 3000), 0]
    (tmp_path / "ETHUSDT-1m.csv").write_text("".join(map(row, minutes)))
    feed = TapeFeed.open(tmp_path)
    assert minutes_of(feed) == sorted(minutes)
    assert feed.counters.disordered == 1


def test_row_displaced_beyond_the_sort_window_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WINDOW", 10)
    (tmp_path / "ETHUSDT-1m.csv").write_text("".join(map(row, [*range(1, 30), 0])))
    with pytest.raises(
        TapeError, match=r"ETHUSDT-1m\.csv, line 30: .* comes after the later row of .*; expected rows in the order"
    ):
        frames_of(TapeFeed.open(tmp_path))
    (tmp_path / "ETHUSDT-1m.csv").write_text("".join(map(row, [*range(10, 30), *range(30, 40), 33])))
    assert minutes_of(TapeFeed.open(tmp_path)) == list(range(10, 40))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_error_names_both_of_two_contradicting_rows(tmp_path: Path, elsewhere: bool) -> None:
    other = "ETHUSDT-1m-2026-03.csv" if elsewhere else "ETHUSDT-1m-2026-03-09.csv"
    (tmp_path / other).write_text(row(0) + row(1) + ("" if elsewhere else row(1, 102.0)))
    if elsewhere:
        (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(row(1, 102.0) + row(2))
    where = "line 1" if elsewhere else "line 3"
    with pytest.raises(TapeError) as caught:
        frames_of(TapeFeed.open(tmp_path))
    assert str(caught.value).startswith(
        f"ETHUSDT-1m-2026-03-09.csv, {where}: the row of 2026-03-09T00:01:00Z differs from that of the same time in "
        f"{other}, line 2; "
    )


def test_files_of_6_and_12_columns_give_equal_candles(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m-2026-03.csv").write_text(row(0) + row(1))
    short = ",".join(row(1).split(",")[:6])
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(short + "\n")
    feed = TapeFeed.open(tmp_path)
    assert minutes_of(feed) == [0, 1]
    assert feed.counters.duplicates == 1


def test_error_names_the_original_line_number_in_a_shuffled_file(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m.csv").write_text(row(0) + row(2) + row(1) + "soon,1,2,3,4,5,6,7,8,9,10,11\n" + row(3))
    with pytest.raises(TapeError, match=r"ETHUSDT-1m\.csv, line 4: open_time 'soon' is not a whole number"):
        frames_of(TapeFeed.open(tmp_path))


def test_taker_volume_is_none_if_empty_or_above_the_volume(tmp_path: Path) -> None:
    lines = [
        row(0),
        row(5).replace(",3,0,", ",3,4.5,"),
        row(6).replace(",3,0,", ",3,,"),
        row(7).replace(",3,0,", ",3,99,"),
    ]
    (tmp_path / "ETHUSDT-1m.csv").write_text("".join(lines))
    candles = [candle for frame in frames_of(TapeFeed.open(tmp_path)) for candle in frame.closed]
    assert [candle.taker_volume for candle in candles] == [0.0, 4.5, None, None]
    (tmp_path / "ETHUSDT-1m.csv").write_text(row(0) + row(1).replace(",3,0,", ",3,nan,"))
    with pytest.raises(TapeError, match="line 2: the taker_buy_volume is nan"):
        frames_of(TapeFeed.open(tmp_path))


def test_overlapping_daily_files_are_read_in_order_without_duplicates(tmp_path: Path) -> None:
    for day in range(6):
        minutes = range(day * 1440, (day + 1) * 1440 + 1, 60)
        (tmp_path / f"ETHUSDT-1m-2026-03-{9 + day:02d}.csv").write_text("".join(map(row, minutes)))
    feed = TapeFeed.open(tmp_path)
    minutes_read = minutes_of(feed)
    assert minutes_read == list(range(0, 6 * 1440 + 1, 60))
    assert feed.counters.duplicates == 5
    assert all(earlier < later for earlier, later in pairwise(minutes_read))
    frames = frames_of(feed)
    after = T0 + 3 * DAY
    assert frames_of(feed, after) == [frame for frame in frames if frame.at > after]
