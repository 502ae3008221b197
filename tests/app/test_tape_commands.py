"""`ocw tape info` and `ocw tape fetch` as text and as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.archive import fetch as archive_fetch
from tests.support.archive import Archive, serving
from tests.support.markets import START, path
from tests.support.shell import Ocw
from tests.support.tapes import rows, write_csv

MINUTE = 60_000
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
DAY = "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-01-01.csv"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


@pytest.fixture
def archive() -> Iterator[Archive]:
    with serving(Archive()) as served:
        yield served


def tape(folder: Path) -> Path:
    """Twenty minutes with two gaps, a repeated row and a late one; metrics with empty fields and a gap."""
    candles = path([100.0] * 20)
    there = [candles[index] for index in (0, 1, 2, 6, 7, 8, 10, 9, 9, 13, 14, 19)]
    file = folder / DAY
    file.parent.mkdir(parents=True)
    write_csv(file.parent, there, file.name)
    beside = folder / "futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2026-01-01.csv"
    beside.parent.mkdir(parents=True)
    beside.write_text(METRICS + "".join(f"2026-01-01 00:{at:02d}:00,BTCUSDT,5,6,,,1,\n" for at in (0, 5, 20)))
    return folder


def test_tape_info_counts_rows_gaps_and_disorder(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("tape", "info", tape(tmp_path), "--json")
    assert said.code == 0
    view = json.loads(said.out)
    klines, metrics = view["streams"]
    assert (klines["stream"], klines["symbol"], klines["interval"], klines["product"]) == (
        "klines", "BTCUSDT", "1m", "um",
    )  # fmt: skip
    assert (klines["files"], klines["rows"], klines["duplicates"], klines["disordered"]) == (1, 11, 1, 2)
    assert (klines["first"], klines["last"]) == (START, START + 19 * MINUTE)
    assert klines["first_utc"] == "2026-01-01T00:00:00Z"
    gaps = klines["gaps"]
    assert (gaps["count"], gaps["missing"], gaps["longest_ms"]) == (3, 9, 4 * MINUTE)
    assert (gaps["longest_from"], gaps["longest_to_utc"]) == (START + 15 * MINUTE, "2026-01-01T00:19:00Z")
    assert (metrics["stream"], metrics["rows"], metrics["empty"]) == ("metrics", 3, 9)
    assert (metrics["gaps"]["count"], metrics["gaps"]["missing"]) == (1, 2)
    assert klines["used"]
    assert metrics["used"]
    plan = view["replay"]
    assert (plan["product"], plan["interval"], plan["symbols"], plan["metrics"]) == (
        "um", "1m", ["BTCUSDT"], ["BTCUSDT"],
    )  # fmt: skip
    assert plan["refused"] is None


def test_tape_info_prints_the_gaps_and_missing_rows_as_text(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("tape", "info", tape(tmp_path))
    assert said.code == 0
    assert "2026-01-01T00:00:00Z … 2026-01-01T00:19:00Z" in said.out
    assert "3 gaps, 9 rows missing; the longest is 4m, 2026-01-01T00:15:00Z … 2026-01-01T00:19:00Z" in said.out
    assert "a replay takes BTCUSDT of um in candles of 1m, with metrics of BTCUSDT" in said.out


def test_tape_info_shows_streams_that_replay_does_not_use(ocw: Ocw, tmp_path: Path) -> None:
    for interval, step in (("1m", MINUTE), ("1h", 60 * MINUTE)):
        lines = "".join(f"{START + index * step},1,1,1,1,1\n" for index in range(3))
        (tmp_path / f"BTCUSDT-{interval}-2026-01.csv").write_text(lines)
    view = json.loads(ocw("tape", "info", tmp_path, "--json").out)
    assert [each["interval"] for each in view["streams"]] == ["1m", "1h"]
    assert "pick one with --interval" in view["replay"]["refused"]
    view = json.loads(ocw("tape", "info", tmp_path, "--json", "--interval", "1h").out)
    assert [(each["interval"], each["used"]) for each in view["streams"]] == [("1h", True)]
    assert ocw("tape", "info", tmp_path, "--symbols", "XRPUSDT").code == 2


def test_tape_info_names_a_faulty_line_and_shows_what_it_read(ocw: Ocw, tmp_path: Path) -> None:
    file = write_csv(tmp_path, path([100.0] * 5))
    file.write_text(file.read_text() + "soon,1,1,1,1,1,1,0,0,0,0,0\n")
    said = ocw("tape", "info", tmp_path, "--json", "--strict")
    assert said.code == 2
    assert said.err.startswith("ocw: BTCUSDT-1m-2026-01-01.csv, line 6: open_time 'soon'")
    (stream,) = json.loads(said.out)["streams"]
    assert stream["rows"] == 5
    assert "line 6" in stream["fault"]
    shown = ocw("tape", "info", tmp_path, "--strict").out
    assert "used" not in shown
    assert "a replay of BTCUSDT would stop: BTCUSDT-1m-2026-01-01.csv, line 6" in shown


def test_tape_info_without_a_tape_prints_one_sentence(ocw: Ocw, tmp_path: Path) -> None:
    (tmp_path / "UNRATE.csv").write_text("observation_date,UNRATE\n1980-01-01,6.3\n")
    (tmp_path / "stream.gz").write_bytes(b"\x1f\x8b")
    for where in (tmp_path, tmp_path / "UNRATE.csv", tmp_path / "stream.gz", tmp_path / "nowhere"):
        said = ocw("tape", "info", where)
        assert said.code == 2
        assert said.out == ""
        assert said.err.count("\n") == 1


def test_replay_reports_the_rows_of_a_tape_that_it_corrected(ocw: Ocw, tmp_path: Path) -> None:
    report = json.loads(ocw("replay", tape(tmp_path), "--json").out)
    assert (report["candles"], report["duplicates"], report["disordered"], report["holes"]) == (11, 1, 2, 3)


def test_fetched_tape_can_be_replayed(ocw: Ocw, archive: Archive, tmp_path: Path) -> None:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("BTCUSDT-1m-2026-01-01.csv", rows(path([100.0] * 30)))
    archive.publish(DAY.replace(".csv", ".zip"), packed.getvalue())
    wish = ("tape", "fetch", "BTCUSDT", "2026-01-01", "2026-01-02", "--to", tmp_path / "here", "--url", archive.url)
    said = ocw(*wish)
    assert said.code == 0
    assert "1 file downloaded" in said.out
    assert "4 not published" in said.out  # the other day, two of metrics, one month of funding
    report = json.loads(ocw("replay", tmp_path / "here", "--json").out)
    assert report["candles"] == 30
    fetched = json.loads(ocw(*wish, "--streams", "klines", "--json").out)
    assert (fetched["downloaded"], fetched["kept"], fetched["absent"]) == (0, 1, ["BTCUSDT-1m-2026-01-02.zip"])


@pytest.mark.parametrize(
    "wish",
    [
        ("BTCUSDT", "tomorrow", "2026-01-01"),
        ("BTCUSDT", "2026-01-02", "2026-01-01"),
        ("BTCUSDT", "2026-01-01", "2026-01-02", "--streams", "trades"),
        ("BTCUSDT", "2026-01-01", "2026-01-02", "--product", "coin"),
        ("BTCUSDT", "2026-01-01", "2026-01-02", "--interval", "7m"),
        ("BTCUSDT", "2026-01-01", "2026-01-02", "--url", "nowhere"),
    ],
)
def test_invalid_tape_fetch_is_refused_in_one_sentence(ocw: Ocw, tmp_path: Path, wish: tuple[str, ...]) -> None:
    said = ocw("tape", "fetch", *wish, "--to", tmp_path)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("ocw: ")
    assert said.err.count("\n") == 1


def test_tape_fetch_uses_the_archive_of_the_exchange_by_default() -> None:
    assert archive_fetch.ARCHIVE == "https://data.binance.vision"
