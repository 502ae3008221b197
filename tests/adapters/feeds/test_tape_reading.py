"""Valid tapes: every format of the same candles gives the same frames."""

import asyncio
import gzip
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Candle, Frame, Opening, Product
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from tests.support.examples import examples

T0 = 1_773_014_400_000  # 2026-03-09T00:00Z, a Monday
HEADER = "open_time,open,high,low,close,volume"
HEADER_12 = HEADER + ",close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"


def row(minute: int, price: float = 100.0, unit: int = 1, interval: int = MINUTE) -> str:
    opens_at = (T0 + minute * interval) * unit
    return f"{opens_at},{price},{price + 1},{price - 1},{price + 0.5},7,{opens_at + interval * unit - 1},700,3,2,200,0"


def short(line: str) -> str:
    return ",".join(line.split(",")[:6])


def text(minutes: list[int], price: float = 100.0) -> str:
    return "".join(row(minute, price) + "\n" for minute in minutes)


def zipped(path: Path, content: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.with_suffix(".csv").name, content)


def frames_of(feed: TapeFeed, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    return asyncio.run(collect())


def candles_of(feed: TapeFeed) -> list[Candle]:
    return [candle for frame in frames_of(feed) for candle in frame.closed]


def test_two_consecutive_candles_give_three_frames(tmp_path: Path) -> None:
    file = tmp_path / "ETHUSDT-1m-2026-03-09.csv"
    file.write_text(text([0, 1]))
    one = Candle("ETHUSDT", T0, MINUTE, 100.0, 101.0, 99.0, 100.5, 7.0, 2.0)
    two = Candle("ETHUSDT", T0 + MINUTE, MINUTE, 100.0, 101.0, 99.0, 100.5, 7.0, 2.0)
    assert frames_of(TapeFeed.open(file)) == [
        Frame(T0, (), (Opening("ETHUSDT", T0, 100.0),)),
        Frame(T0 + MINUTE, (one,), (Opening("ETHUSDT", T0 + MINUTE, 100.0),)),
        Frame(T0 + 2 * MINUTE, (two,), ()),
    ]


def test_minutes_without_a_candle_give_no_frame(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m.csv").write_text(text([0, 5]))
    frames = frames_of(TapeFeed.open(tmp_path))
    assert [(frame.at - T0) // MINUTE for frame in frames] == [0, 1, 5, 6]
    assert [len(frame.opened) for frame in frames] == [1, 0, 1, 0]


@pytest.mark.requirement("D03")
def test_duplicate_rows_are_dropped_and_shuffled_rows_are_sorted(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(text([0, 1, 1, 3, 2, 0, 4]))
    (tmp_path / "ETHUSDT-1m-2026-03-10.csv").write_text(text([4, 5]))
    feed = TapeFeed.open(tmp_path)
    for _ in range(2):  # the count is that of the latest pass
        assert [(candle.open_time - T0) // MINUTE for candle in candles_of(feed)] == [0, 1, 2, 3, 4, 5]
        assert (feed.counters.duplicates, feed.counters.disordered) == (3, 2)


@examples(4, slow=20)
@given(
    st.dictionaries(
        st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
        st.lists(st.integers(0, 12), min_size=1, unique=True).map(sorted),
        min_size=1,
    )
)
def test_merging_symbols_keeps_all_candles_in_time_order(minutes: dict[str, list[int]]) -> None:
    with TemporaryDirectory() as folder:
        alone: list[Candle] = []
        for place, (symbol, each) in enumerate(minutes.items()):
            file = Path(folder, f"{symbol}-1m-2026-03-09.csv")
            file.write_text(text(each, 100.0 + place))
            alone += candles_of(TapeFeed.open(file))
        feed = TapeFeed.open(Path(folder))
        frames = frames_of(feed)
        for moment in range(T0 - 1, T0 + 15 * MINUTE, MINUTE // 2):
            assert frames_of(feed, moment) == [each for each in frames if each.at > moment]
    merged = [candle for frame in frames for candle in frame.closed]
    assert merged == sorted(alone, key=lambda candle: (candle.close_time, candle.symbol))
    opened = [(opening.at, opening.symbol) for frame in frames for opening in frame.opened]
    assert opened == sorted((candle.open_time, candle.symbol) for candle in alone)


@examples(10, slow=40)
@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=20),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", "\n\n\n"]),
)
def test_all_file_formats_give_the_same_frames(
    minutes: list[int], micro: bool, header: bool, narrow: bool, newline: str, tail: str
) -> None:
    plain = [row(minute, 90.0 + minute % 7) for minute in minutes]
    lines = [row(minute, 90.0 + minute % 7, 1000 if micro else 1) for minute in minutes]
    if narrow:
        lines, plain = [short(line) for line in lines], [short(line) for line in plain]
    if header:
        lines.insert(0, HEADER if narrow else HEADER_12)
    content = newline.join(lines) + tail.replace("\n", newline)
    with TemporaryDirectory() as folder:
        reference = Path(folder, "ETHUSDT-1m-2026.csv")
        reference.write_text("\n".join(plain) + "\n")
        expected = frames_of(TapeFeed.open(reference))
        file = Path(folder, "ETHUSDT-1m-2026-03.csv")
        file.write_bytes(content.encode())
        assert frames_of(TapeFeed.open(file)) == expected
        packed = Path(folder, "ETHUSDT-1m-2026-03.csv.gz")
        packed.write_bytes(gzip.compress(content.encode()))
        assert frames_of(TapeFeed.open(packed)) == expected
        archive = Path(folder, "ETHUSDT-1m-2026-03.zip")
        zipped(archive, content)
        assert frames_of(TapeFeed.open(archive)) == expected


def test_ms_and_microseconds_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m.csv").write_text(row(0) + "\n" + row(1, unit=1000) + "\n")
    assert [candle.open_time for candle in candles_of(TapeFeed.open(tmp_path))] == [T0, T0 + MINUTE]


def test_files_of_a_month_a_day_or_no_date_are_read_in_time_order(tmp_path: Path) -> None:
    february = -20 * 24 * 60
    zipped(tmp_path / "ETHUSDT-1m-2026-02.zip", text([february, february + 1]))
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(text([0, 1]))
    (tmp_path / "ETHUSDT-1m-2026-03-09_03-10.csv").write_text(text([2, 3]))
    (tmp_path / "ETHUSDT-1m.csv").write_text(text([february - 1]))
    feed = TapeFeed.open(tmp_path)
    minutes = [(candle.open_time - T0) // MINUTE for candle in candles_of(feed)]
    assert minutes == [february - 1, february, february + 1, 0, 1, 2, 3]
    assert feed.counters.duplicates == 0


def test_resumed_tape_does_not_read_files_of_earlier_days(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text("nonsense,1,2,3,4,5\n" + row(1) + "\n")
    (tmp_path / "ETHUSDT-1m-2026-03-10.csv").write_text(text([1440, 1441]))
    feed = TapeFeed.open(tmp_path)
    with pytest.raises(TapeError):
        frames_of(feed)
    assert [frame.at for frame in frames_of(feed, T0 + DAY)] == [T0 + DAY + MINUTE, T0 + DAY + 2 * MINUTE]


def test_resumed_tape_reads_rows_after_the_date_in_the_file_name(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(text([0, 1440, 2880]))
    feed = TapeFeed.open(tmp_path)
    frames = frames_of(feed)
    for frame in frames:
        assert frames_of(feed, frame.at) == [each for each in frames if each.at > frame.at]


def test_frames_before_an_invalid_row_are_delivered(tmp_path: Path) -> None:
    minutes = list(range(1400))
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text(text(minutes) + "1,2,3\n")

    seen: list[Frame] = []

    async def collect() -> None:
        async for frame in TapeFeed.open(tmp_path).frames():
            seen.append(frame)

    with pytest.raises(TapeError, match="line 1401"):
        asyncio.run(collect())
    assert len(seen) == 1400


@pytest.mark.parametrize(
    ("lines", "interval"),
    [
        ([row(0, interval=HOUR), row(1, interval=HOUR)], HOUR),
        ([row(0, interval=15 * MINUTE)], 15 * MINUTE),
        ([row(0, unit=1000)], MINUTE),
        ([short(row(0)), short(row(7)), short(row(8))], MINUTE),
        ([HEADER, short(row(0, interval=DAY)), short(row(1, interval=DAY))], DAY),
    ],
)
def test_interval_missing_in_the_name_is_inferred_from_rows(tmp_path: Path, lines: list[str], interval: int) -> None:
    (tmp_path / "ETHUSDT.csv").write_text("\n".join(lines))
    feed = TapeFeed.open(tmp_path)
    assert feed.interval == feed.identity.interval == interval
    assert frames_of(feed)[-1].closed[0].interval == interval


def test_weekly_candles_open_on_mondays(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1w.csv").write_text(row(0, interval=7 * DAY) + "\n" + row(1, interval=7 * DAY) + "\n")
    assert [frame.at for frame in frames_of(TapeFeed.open(tmp_path))] == [T0, T0 + 7 * DAY, T0 + 14 * DAY]


def test_other_kinds_of_archive_files_are_ignored(tmp_path: Path) -> None:
    klines = tmp_path / "futures" / "um" / "daily" / "klines" / "ETHUSDT" / "1m"
    marks = tmp_path / "futures" / "um" / "daily" / "markPriceKlines" / "ETHUSDT" / "1m"
    for folder in (klines, marks):
        folder.mkdir(parents=True)
    zipped(klines / "ETHUSDT-1m-2026-03-09.zip", text([0]))
    zipped(marks / "ETHUSDT-1m-2026-03-10.zip", text([1]))
    for name in (
        "ETHUSDT-1m-2026-03-09.zip.CHECKSUM",
        "ETHUSDT-trades-2026-03-09.zip",
        "ETHUSDT-bookTicker-2026-03-09.zip",
        "ETHUSDT-liquidationSnapshot-2026-03-09.zip",
        "README.md",
        ".ETHUSDT-1m-2026-03-11.csv",
    ):
        (klines / name).write_text("nothing to see here")
    (klines / "UNRATE.csv").write_text("observation_date,UNRATE\n1980-01-01,6.3\n")
    assert len(candles_of(TapeFeed.open(tmp_path))) == 1


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("spot/monthly/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03.csv", Product.SPOT),
        ("futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03-09.csv", Product.UM),
        ("spot-ETHUSDT-1m.csv", Product.SPOT),
        ("um-ETHUSDT-1m.csv", Product.UM),
        ("ETHUSDT-1m.csv", Product.UM),
    ],
)
def test_spot_or_futures_is_read_from_the_folder_or_file_name(tmp_path: Path, name: str, product: Product) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text([0]))
    for path in (tmp_path, file):
        feed = TapeFeed.open(path)
        assert feed.product == feed.identity.product == product
        assert feed.symbols == feed.identity.symbols == ("ETHUSDT",)


def test_product_option_decides_if_no_path_says_spot_or_futures(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m.csv").write_text(text([0]))
    assert TapeFeed.open(tmp_path, product=Product.SPOT).product == Product.SPOT


def test_options_select_files_by_product_interval_and_symbols(tmp_path: Path) -> None:
    for name, interval in (
        ("spot-ETHUSDT-1m.csv", MINUTE),
        ("um-ETHUSDT-1m.csv", MINUTE),
        ("um-ETHUSDT-1h.csv", HOUR),
        ("um-SOLUSDT-1h.csv", HOUR),
        ("um-ETHUSDT-1mo.csv", 30 * DAY),
    ):
        (tmp_path / name).write_text(row(0, interval=interval) + "\n")
    feed = TapeFeed.open(tmp_path, Product.UM, "60m")
    assert (feed.symbols, feed.interval) == (("ETHUSDT", "SOLUSDT"), HOUR)
    assert TapeFeed.open(tmp_path, Product.UM, "1h", ["ethusdt"]).symbols == ("ETHUSDT",)
    assert TapeFeed.open(tmp_path, Product.SPOT).interval == MINUTE


def test_identity_depends_on_file_content_and_not_on_location(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b" / "c"
    for folder in (here, there):
        folder.mkdir(parents=True)
        zipped(folder / "ETHUSDT-1m-2026-03-09.zip", text([0, 1]))
        (folder / "ETHUSDT-1m-2026-03-10.csv").write_text(text([1440]))
    identity = TapeFeed.open(here).identity
    assert identity == TapeFeed.open(there).identity
    assert str(tmp_path) not in repr(identity)
    zipped(there / "ETHUSDT-1m-2026-03-09.zip", text([0, 2]))
    assert TapeFeed.open(there).identity != identity
