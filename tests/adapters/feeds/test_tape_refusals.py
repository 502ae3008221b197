"""Invalid tapes: each is refused with one sentence that names the file, the fault and the remedy."""

import asyncio
import gzip
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Frame, Product

T0 = 1_773_014_400_000
NAME = "ETHUSDT-1m-2026-03-09"
HEADER = "open_time,open,high,low,close,volume\n"
GOOD = f"{T0},100,101,99,100.5,7\n"
NEXT = T0 + 60_000
WIDE = f"{T0},100,101,99,100.5,7,{T0 + 59_999},700,3,2,200,0\n"


def read(path: Path, product: Product | None = None, interval: str | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in TapeFeed.open(path, product, interval).frames()]

    return asyncio.run(collect())


def refusal(path: Path, product: Product | None = None, interval: str | None = None) -> str:
    """Return the sentence that refuses a path; it is one line without any path of this machine."""
    with pytest.raises(TapeError) as caught:
        read(path, product, interval)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert "; " in sentence  # what was wrong; what was expected or what to do
    assert str(path.parent) not in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


BAD_ROWS = {
    "too few columns": (f"{NEXT},100,101,99,100.5", "the row has 5 columns; expected 6"),
    "too many columns": (f"{NEXT},100,101,99,100.5,7,8", "the row has 7 columns; expected 6"),
    "two rows in one": (f"{NEXT},100,101,99,100.5,7,{NEXT},1,1,1,1,1", "the row has 12 columns; expected 6"),
    "half-written time": ("17730", "the row has 1 column; expected 6"),
    "half-written volume": (f"{NEXT},100,101,99,100.5,", "the volume '' is not a number"),
    "no time": ("soon,100,101,99,100.5,7", "open_time 'soon' is not a whole number of milliseconds"),
    "time with decimals": (f"{NEXT}.5,100,101,99,100.5,7", "is not a whole number of milliseconds"),
    "time off the grid": (f"{NEXT + 1},100,101,99,100.5,7", "2026-03-09T00:01:00.001Z is not a multiple of 1m"),
    "µs off the ms": (f"{NEXT * 1000 + 1},100,101,99,100.5,7", "is not a whole number of milliseconds"),
    "time in seconds": (f"{NEXT // 1000},100,101,99,100.5,7", "is not between 2009 and 2100"),
    "time in ns": (f"{NEXT * 10**6},100,101,99,100.5,7", "is not between 2009 and 2100"),
    "time before 2009": (f"{1_230_768_000_000 - 60_000},100,101,99,100.5,7", "is not between 2009 and 2100"),
    "time after 2100": ("4102444800000,100,101,99,100.5,7", "is not between 2009 and 2100"),
    "negative time": (f"-{NEXT},100,101,99,100.5,7", "is not between 2009 and 2100"),
    "word for a price": (f"{NEXT},100,101,99,cheap,7", "the close 'cheap' is not a number"),
    "empty price": (f"{NEXT},,101,99,100.5,7", "the open '' is not a number"),
    "NaN": (f"{NEXT},100,101,99,nan,7", "the close is nan"),
    "NaN high": (f"{NEXT},100,NaN,99,100,7", "the high is nan"),
    "NaN volume": (f"{NEXT},100,101,99,100,nan", "the volume is nan"),
    "infinite high": (f"{NEXT},100,inf,99,100.5,7", "the high is inf"),
    "infinite volume": (f"{NEXT},100,101,99,100.5,inf", "the volume is inf"),
    "zero price": (f"{NEXT},100,101,0,100.5,7", "the low 0.0 is not above zero"),
    "negative price": (f"{NEXT},-100,101,99,100.5,7", "the open -100.0 is not above zero"),
    "negative volume": (f"{NEXT},100,101,99,100.5,-7", "the volume -7.0 is negative"),
    "low above open": (f"{NEXT},100,103,101,102,7", "the low 101.0 is above the open 100.0"),
    "low above close": (f"{NEXT},102,103,101,100,7", "or the close 100.0"),
    "high below close": (f"{NEXT},100,101,99,102,7", "the high 101.0 is below"),
    "high below low": (f"{NEXT},100,99,101,100,7", "the high 99.0 is below the low 101.0"),
    "10⁹ times the price": (f"{NEXT},100e9,101e9,99e9,100e9,7", "differs from the previous price 100.5 by"),
    "10⁹ times the high": (f"{NEXT},100,100e9,99,100,7", "the high 100000000000.0 differs from the previous"),
    "a billionth of the price": (f"{NEXT},1e-7,1e-7,1e-7,1e-7,7", "the low 1e-07 differs from the previous"),
    "text": ("the quick brown fox", "the row has 1 column"),
    "second header": (HEADER.strip(), "open_time 'open_time' is not a whole number"),
}


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize(("header", "newline"), [("", "\n"), (HEADER, "")])
def test_error_names_the_line_of_a_malformed_row(tmp_path: Path, bad: str, header: str, newline: str) -> None:
    line, fault = BAD_ROWS[bad]
    folder = tmp_path / "tape" / "deep"
    folder.mkdir(parents=True)
    (folder / f"{NAME}.csv").write_text(header + GOOD + line + newline)
    sentence = refusal(tmp_path / "tape")
    assert sentence.startswith(f"deep/{NAME}.csv, line {3 if header else 2}: ")
    assert fault in sentence
    assert "correct the line" in sentence


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("bad", sorted(set(BAD_ROWS) - {"too many columns", "two rows in one", "second header"}))
def test_malformed_first_row_is_refused(tmp_path: Path, bad: str) -> None:
    line, _ = BAD_ROWS[bad]
    file = tmp_path / f"{NAME}.csv"
    file.write_text(HEADER + line + "\n")
    if bad in {"10⁹ times the price", "a billionth of the price"}:
        assert read(file)  # nothing to compare it with
    else:
        assert refusal(file).startswith(f"{NAME}.csv, line 2: ")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is empty"),
        ("\n\n", "holds no candles"),
        (HEADER, "holds no candles"),
        ("<html>\n<body>Not found</body>\n", "line 1: '<html>' is neither a candle nor the header"),
        ("agg_trade_id,price,quantity\n1,2,3\n", "line 1: 'agg_trade_id,price,quantity' is neither a candle"),
        ("open_time,close,high,low,open,volume\n" + GOOD, "line 1: 'open_time,close"),
        (HEADER + GOOD + "\n" + GOOD, "line 3: the line is blank though others follow"),
        (GOOD + "\n" * 200_000 + GOOD, "line 2: the line is blank though others follow"),
        ("1" * 5_000_000, "has a line of over 1000 characters"),
        (WIDE + WIDE.replace(str(T0), str(NEXT))[:-2] + "\n", "line 2: the last column is empty, as in a half-written"),
        (WIDE + WIDE.replace(str(T0), str(NEXT))[:-4], "line 2: the row has 11 columns; expected 12"),
        (WIDE.replace(f"{T0 + 59_999}", f"{T0 + 299_999}"), "line 1: the candle lasts 5m; expected 1m"),
        ("1,2,3\n", "line 1: the row has 3 columns; expected 12, or 6"),
    ],
)
def test_file_that_is_not_a_tape_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    for path in (tmp_path / f"{NAME}.csv", tmp_path / f"{NAME}.csv.gz", tmp_path / f"{NAME}.zip"):
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(content.encode()))
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{NAME}.csv", content)
        else:
            path.write_text(content)
        sentence = refusal(path)
        assert sentence.startswith(path.name)
        assert (fault if content or path.suffix == ".csv" else "holds no candles") in sentence


def packed(suffix: str) -> bytes:
    """Return a good packed file whose content compresses badly, so that a cut removes data."""
    lines = "".join(f"{T0 + minute * 60_000},100,101,99,100.5,{minute * 7919 % 1009}\n" for minute in range(300))
    if suffix == ".csv.gz":
        return gzip.compress(lines.encode())
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.csv", lines)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".csv.gz", ".zip"])
def test_truncated_packed_file_is_refused(tmp_path: Path, suffix: str) -> None:
    whole = packed(suffix)
    file = tmp_path / (NAME + suffix)
    for size in (0, 1, 10, 30, len(whole) // 2, len(whole) - 30, len(whole) - 5, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert refusal(file).startswith(file.name)


@pytest.mark.parametrize("suffix", [".csv.gz", ".zip"])
def test_changed_byte_in_packed_file_is_refused_or_harmless(tmp_path: Path, suffix: str) -> None:
    whole = packed(suffix)
    file = tmp_path / (NAME + suffix)
    file.write_bytes(whole)
    intact = read(file)
    refused = 0
    for place in range(0, len(whole), len(whole) // 15):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            harmless = read(file) == intact
        except TapeError:
            refused += 1
        else:
            assert harmless
    assert refused > 10


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
def test_binary_file_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / (NAME + suffix)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50)
    assert refusal(file).startswith(file.name)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ([], "holds no csv file; expected exactly one"),
        (["readme.txt"], "holds no csv file; expected exactly one"),
        (["a.csv", "b.csv"], "holds 2 csv files; expected exactly one"),
    ],
)
def test_zip_without_exactly_one_csv_is_refused(tmp_path: Path, members: list[str], fault: str) -> None:
    file = tmp_path / f"{NAME}.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, GOOD)
    assert fault in refusal(file)


def test_path_without_a_tape_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "empty holds no candle files" in refusal(empty)
    (empty / "candles.csv").write_text(GOOD)
    assert "such as ETHUSDT-1m-2026-03-09.zip" in refusal(empty)
    assert "candles.csv does not name the symbol" in refusal(empty / "candles.csv")
    (empty / "ETHUSDT-metrics-2026-03-09.csv").write_text("create_time,symbol\n")
    assert "holds metrics but no candles" in refusal(empty / "ETHUSDT-metrics-2026-03-09.csv")
    (empty / "ETHUSDT-trades-2026-03-09.csv").write_text("id,price,qty\n")
    assert "does not name the symbol of its candles" in refusal(empty / "ETHUSDT-trades-2026-03-09.csv")
    (empty / "notes.md").write_text("hello")
    assert "notes.md is not a candle file" in refusal(empty / "notes.md")
    os.mkfifo(empty / f"{NAME}.csv")
    assert "is not a candle file" in refusal(empty / f"{NAME}.csv")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to this user")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / f"{NAME}.csv"
    file.write_text(GOOD)
    file.chmod(0)
    assert "permission denied" in refusal(file)


def test_file_deleted_before_reading_is_refused(tmp_path: Path) -> None:
    file = tmp_path / f"{NAME}.csv"
    file.write_text(GOOD)
    feed = TapeFeed.open(tmp_path)
    file.unlink()
    with pytest.raises(TapeError, match="does not exist"):
        asyncio.run(anext(aiter(feed.frames())))  # type: ignore[arg-type]


def test_tape_of_several_intervals_is_refused_without_a_choice(tmp_path: Path) -> None:
    for interval in ("1d", "15m", "1mo", "1h"):
        (tmp_path / f"ETHUSDT-{interval}-2026-03.csv").write_text(GOOD)
    sentence = refusal(tmp_path)
    assert "15m, 1h, 1d and 1mo" in sentence
    assert "--interval" in sentence
    assert "holds no candles of 4h" in refusal(tmp_path, interval="4h")
    assert "a month" in refusal(tmp_path, interval="1M")
    assert "--interval '1x'" in refusal(tmp_path, interval="1x")


def test_candles_that_last_a_month_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1mo-2026-03.csv").write_text(GOOD)
    assert "no fixed length" in refusal(tmp_path)


def test_unknown_interval_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT.csv").write_text(GOOD)
    assert "ETHUSDT.csv does not show how long its candles are" in refusal(tmp_path)


@pytest.mark.parametrize("closes_at", ["9" * 30, "1" * 5000, "²", "", "soon", str(T0 - 1000), str(T0 + 500)])
def test_interval_is_not_inferred_from_an_absurd_close_time(tmp_path: Path, closes_at: str) -> None:
    (tmp_path / "ETHUSDT.csv").write_text(WIDE.replace(str(T0 + 59_999), closes_at))
    assert "ETHUSDT.csv does not show how long its candles are" in refusal(tmp_path)


def test_spot_and_futures_in_one_tape_are_refused_without_a_choice(tmp_path: Path) -> None:
    (tmp_path / "spot-ETHUSDT-1m.csv").write_text(GOOD)
    (tmp_path / "um-ETHUSDT-1m.csv").write_text(GOOD)
    assert "--product" in refusal(tmp_path)
    sentence = refusal(tmp_path / "um-ETHUSDT-1m.csv", Product.SPOT)
    assert "candles of um but --product says spot" in sentence


def test_request_for_symbols_not_on_the_tape_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.csv").write_text(GOOD)
    with pytest.raises(TapeError, match="no candles of BTCUSDT and XRPUSDT; it has ETHUSDT"):
        TapeFeed.open(tmp_path, symbols=["XRPUSDT", "ethusdt", "BTCUSDT"])
    with pytest.raises(TapeError, match="the list of symbols is empty"):
        TapeFeed.open(tmp_path, symbols=[])


def test_symbol_without_candles_of_the_interval_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1m.csv").write_text(GOOD)
    (tmp_path / "SOLUSDT-1h.csv").write_text(GOOD)
    assert "no candles of 1h for ETHUSDT" in refusal(tmp_path, interval="1h")


def test_overlapping_weekly_candles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-1w.csv").write_text(GOOD + GOOD.replace(str(T0), str(T0 + 3 * 86_400_000)))
    assert "line 2: the candle opens at 2026-03-12T00:00:00Z, before the previous one closes" in refusal(tmp_path)
