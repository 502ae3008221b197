"""Invalid rows and files of a tape are left out and reported, and all others are read."""

import hashlib
import json
import math
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.feeds.tape import reading
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.markets import START, path
from tests.support.shell import CommandResult, Ocw
from tests.support.tapes import rows

SECOND = 1_000
FIRST, NEXT = "BTCUSDT-1m-2026-01-01", "BTCUSDT-1m-2026-01-02"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def lines(count: int = 30, since: int = START, step: int = MINUTE, price: float = 100.0, volume: float = 5.0) -> str:
    return "".join(f"{since + n * step},{price},{price},{price},{price},{volume}\n" for n in range(count))


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def packed(folder: Path, name: str, text: str, member: str | None = None) -> Path:
    file = folder / f"{name}.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member or f"{name}.csv", text)
    return file


def summed(file: Path, digest: str | None = None) -> None:
    entry = digest or hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(file.name + ".CHECKSUM").write_text(f"{entry}  {file.name}\n")


def report(said: CommandResult) -> dict[str, Any]:
    assert said.code == 0, said.err
    return json.loads(said.out)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("bad", "count", "why"),
    [
        (lines(40, START + 31 * MINUTE + 17 * SECOND), 40, "is not a multiple of 1m"),  # after an outage, as in 2018-02
        ("soon,1,1,1,1,1\n", 1, "is not a whole number of milliseconds"),
        (f"{START + 31 * MINUTE},100,99,101,100,5\n", 1, "the high 99.0 is below the low 101.0"),
        (f"{START + 29 * MINUTE},100,102,99,100,5\n", 1, "differs from that of the same time in"),
        (f"{START + 30 * MINUTE},1e9,1e9,1e9,1e9,5\n", 1, "by a factor of over a million"),
        ("\n", 1, "the line is blank though others follow"),
        (f"{START + 31 * MINUTE},100,101\n", 1, "the row has 3 columns; expected 6"),
    ],
)
def test_invalid_rows_are_reported_and_valid_rows_are_read(
    ocw: Ocw, tmp_path: Path, bad: str, count: int, why: str
) -> None:
    write(tmp_path, f"{FIRST}.csv", lines() + bad + lines(30, START + DAY // 2))
    said = ocw("replay", tmp_path, "--json")
    figures = report(said)
    assert figures["candles"] == 60
    (entry,) = figures["left_out"]
    assert (entry["file"], entry["rows"]) == (f"{FIRST}.csv", count)
    assert why in entry["why"]
    assert "line 31" in entry["why"]
    assert f"left out: {FIRST}.csv, line 31" in said.err
    info = ocw("tape", "info", tmp_path)
    assert info.code == 0
    assert f"left out: {FIRST}.csv, line 31" in info.out
    strict = ocw("replay", tmp_path, "--strict")
    assert strict.code == 2
    assert why in strict.err


def test_reading_continues_after_a_bad_row_in_every_stream(ocw: Ocw, tmp_path: Path) -> None:
    write(tmp_path, f"{FIRST}.csv", lines(900))
    metrics = "2026-01-01 {at:%H:%M:%S},BTCUSDT,{interest},6,1,1,1,1\n"
    times = [datetime.fromtimestamp(START / 1000 + n * 300, UTC) for n in range(20)]
    entry = "".join(metrics.format(at=at, interest="lots" if n == 7 else 5) for n, at in enumerate(times))
    write(tmp_path, "BTCUSDT-metrics-2026-01-01.csv", entry)
    write(tmp_path, "BTCUSDT-fundingRate-2026-01.csv", f"{START},8,0.0001\n{START + 800 * MINUTE},8,7\n")
    trade = "{n},100,1,1,1,{at},false\n"
    write(
        tmp_path,
        "ETHUSDT-aggTrades-2026-01-01.csv",
        "".join(trade.format(n=n, at=START + n * MINUTE) for n in range(20))
        + "20,0,1,1,1,5,no\n"
        + trade.format(n=21, at=START + 21 * MINUTE),
    )
    figures = report(ocw("replay", tmp_path, "--json"))
    assert figures["candles"] == 921
    assert {each["file"].split("-")[1]: each["rows"] for each in figures["left_out"]} == {
        "metrics": 1, "fundingRate": 1, "aggTrades": 1,
    }  # fmt: skip


def test_damaged_files_are_reported_and_other_files_are_read(ocw: Ocw, tmp_path: Path) -> None:
    for day in range(1, 5):
        file = packed(tmp_path, f"BTCUSDT-1m-2026-01-0{day}", lines(10, START + (day - 1) * DAY))
        if day != 3:
            summed(file, "0" * 64 if day == 2 else None)
    (tmp_path / "BTCUSDT-1m-2026-01-05.zip").write_bytes(b"PK\x03\x04 cut off")
    figures = report(ocw("replay", tmp_path, "--json"))
    assert figures["candles"] == 30
    entry = {each["file"][-6:-4]: (each["why"], each["read"]) for each in figures["left_out"]}
    assert sorted(entry) == ["02", "03", "05"]
    assert "does not match its CHECKSUM file" in entry["02"][0]
    assert entry["03"] == ("no CHECKSUM lies beside it", True)
    assert "is damaged or cut off" in entry["05"][0]
    assert ocw("replay", tmp_path, "--strict").code == 2


@pytest.mark.parametrize("sound", [0, 2, 300])
def test_tape_with_many_invalid_rows_is_refused(ocw: Ocw, tmp_path: Path, sound: int) -> None:
    write(tmp_path, f"{FIRST}.csv", lines(sound) + lines(200, START + DAY // 2, price=math.nan))
    if not sound:
        write(tmp_path, f"{FIRST}.csv", "soon,1,1,1,1,1\n" + lines(1))
    said = ocw("replay", tmp_path)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"{FIRST}.csv, line " in said.err


def test_trade_displaced_beyond_the_sort_window_is_left_out(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reading.WINDOW > 240_000
    monkeypatch.setattr(reading, "WINDOW", 100)
    trades = [f"{n},100,1,{n},{n},{START + n * SECOND},false" for n in range(600)]
    woven = [each for pair in zip(trades[:60], trades[60:120], strict=True) for each in pair] + trades[120:]
    write(tmp_path / "a", "BTCUSDT-aggTrades-2026-01-01.csv", "\n".join(woven))
    figures = report(ocw("replay", tmp_path / "a", "--json"))
    assert (figures["candles"], figures["left_out"]) == (10, [])
    assert figures["disordered"] == 59
    write(tmp_path / "b", "BTCUSDT-aggTrades-2026-01-01.csv", "\n".join(trades[1:] + trades[:1]))
    figures = report(ocw("replay", tmp_path / "b", "--json"))
    assert (figures["candles"], [each["rows"] for each in figures["left_out"]]) == (10, [1])


def test_symbol_in_chinese_characters_is_read(ocw: Ocw, tmp_path: Path) -> None:
    name = "币安人生USDT"
    write(tmp_path, f"futures/um/daily/klines/{name}/1m/{name}-1m-2026-01-01.csv", lines())
    write(tmp_path, f"futures/um/daily/klines/BTCUSDT/1m/{FIRST}.csv", lines())
    assert report(ocw("replay", tmp_path, "--json"))["symbols"] == ["BTCUSDT", name]
    assert report(ocw("replay", tmp_path, "--json", "--symbols", name.lower()))["symbols"] == [name]
    assert name in ocw("tape", "info", tmp_path).out


def test_unread_files_are_listed_with_the_reason(ocw: Ocw, tmp_path: Path) -> None:
    write(tmp_path, f"{FIRST}.csv", lines())
    others = {
        "README.md": "not a .zip",
        "notes.csv": "its name does not give a symbol",
        "UNRATE.csv": "its first line is not a candle",
        "markPriceKlines/BTCUSDT-1m-2026-01-02.csv": "in a folder that holds no trades",
        "cm/BTCUSDT-1m-2026-01-02.csv": "in a folder that holds no trades",
        "BTCUSDT-trades-2026-01-02.csv": "its name does not give",
        f"{NEXT}.zip.part": "the unfinished part of a download",
        f".{NEXT}.csv": "hidden",
        "ETHUSDT-metrics-2026-01-01.csv": "there are no candles of ETHUSDT",
    }
    for name in others:
        write(tmp_path, name, "2026-01-01 00:05:00,ETHUSDT,5,6,1,1,1,1\n" if "metrics" in name else "something,else\n")
    write(tmp_path, ".git/config", "")
    write(tmp_path, f"{FIRST}.csv.CHECKSUM", "none")
    for command in (("replay",), ("tape", "info")):
        left_out = {each["file"]: each["why"] for each in json.loads(ocw(*command, tmp_path, "--json").out)["left_out"]}
        assert sorted(left_out) == sorted([*others, ".git/"])
        assert {name: left_out[name] for name, why in others.items() if why not in left_out[name]} == {}
    shown = ocw("tape", "info", tmp_path).out
    assert [name for name in others if name not in shown] == []
    assert "left out: README.md" in ocw("replay", tmp_path).err


@pytest.mark.parametrize("above", ["cm", "option", "spot", "futures/um/daily", "markPriceKlines", "spot/daily/klines"])
def test_names_of_folders_above_the_tape_are_ignored(ocw: Ocw, tmp_path: Path, above: str) -> None:
    tape = tmp_path / above / "mine"
    file = write(tape, f"{FIRST}.csv", lines())
    for given in (tape, file):
        (stream,) = json.loads(ocw("tape", "info", given, "--json").out)["streams"]
        assert (stream["product"], stream["rows"], stream["used"]) == (None, 30, True)
    assert report(ocw("replay", tape, "--json", "--product", "spot"))["candles"] == 30


def test_zip_file_of_another_symbol_is_left_out(ocw: Ocw, tmp_path: Path) -> None:
    packed(tmp_path, FIRST, lines())
    packed(tmp_path, NEXT, lines(30, START + DAY), "ETHUSDT-1m-2026-01-02.csv")
    packed(tmp_path, "BTCUSDT-1m-2026-01-03", lines(30, START + 2 * DAY), "data.csv")  # which names none
    figures = report(ocw("replay", tmp_path, "--json"))
    assert figures["candles"] == 60
    (entry,) = figures["left_out"]
    assert "holds a file of ETHUSDT, ETHUSDT-1m-2026-01-02.csv; expected BTCUSDT" in entry["why"]
    assert "holds a file of ETHUSDT" in ocw("tape", "info", tmp_path).out
    assert ocw("replay", tmp_path, "--strict").code == 2


def test_tape_info_counts_price_moves_without_volume(ocw: Ocw, tmp_path: Path) -> None:
    candles = path([100.0, 100.0, 101.0, 101.0, 102.0])
    text = rows(candles).splitlines()
    for place in (1, 2, 4):  # of which one stood still
        cells = text[place].split(",")
        cells[5] = "0"
        text[place] = ",".join(cells)
    write(tmp_path, f"{FIRST}.csv", "\n".join(text))
    (stream,) = json.loads(ocw("tape", "info", tmp_path, "--json").out)["streams"]
    assert stream["moved_on_no_volume"] == 2
    assert "2 candles whose price moved without volume" in ocw("tape", "info", tmp_path).out


def test_control_characters_in_file_names_are_escaped(ocw: Ocw, tmp_path: Path) -> None:
    odd = "\x1b]0;gone\x07\u202e"
    tape = tmp_path / f"t{odd}"
    write(tape, f"{odd}/{FIRST}.csv", lines() + "soon,1,1,1,1,1\n")
    write(tape, f"read{odd}me.md", "")
    packed(tape, NEXT, lines(30, START + DAY), f"{odd}/ETHUSDT-1m-2026-01-02.csv")
    said = [
        ocw("tape", "info", tape),
        ocw("tape", "info", tape, "--json"),
        ocw("replay", tape),
        ocw("replay", tape, "--strict"),
        ocw("tape", "info", tmp_path / f"nowhere{odd}"),
        ocw("replay", tape / odd, "--symbols", "ETHUSDT"),
        ocw("tape", "fetch", f"BTC{odd}", "2026-01-01", "2026-01-01", "--to", tape),
        ocw("tape", "fetch", "BTCUSDT", "2026-01-01", "2026-01-01", "--to", tape / f"read{odd}me.md", "--url", "x:"),
    ]
    for each in said:
        for text in (each.out, each.err):
            assert all(one.isprintable() or one == "\n" for one in text), text
    assert r"read\x1b]0;gone\x07\u202eme.md" in said[0].out


def test_folder_with_only_unused_files_is_refused_with_the_reason(ocw: Ocw, tmp_path: Path) -> None:
    for day in (1, 2):
        write(tmp_path, f"futures/cm/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-01-0{day}.csv", lines())
    for command in (("replay",), ("tape", "info")):
        said = ocw(*command, tmp_path)
        assert said.code == 2
        assert "BTCUSDT-1m-2026-01-01.csv: in a folder that holds no trades" in said.err
        assert "and 1 more are left out" in said.err


def test_tape_info_lists_a_left_out_file_once(ocw: Ocw, tmp_path: Path) -> None:
    packed(tmp_path, FIRST, lines())
    summed(packed(tmp_path, NEXT, lines(30, START + DAY)), "0" * 64)
    said = ocw("tape", "info", tmp_path)
    (line,) = [line for line in said.out.splitlines() if "does not match its CHECKSUM" in line]
    assert line.startswith(f"left out: {NEXT}.zip does not match")
    assert line.count(NEXT) == 1


def test_folder_links_and_checksums_of_missing_files_are_left_out(ocw: Ocw, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", f"{NEXT}.csv", lines(30, START + DAY))
    write(tmp_path / "tape", f"{FIRST}.csv", lines())
    summed(tmp_path / "tape" / f"{FIRST}.csv")
    write(tmp_path / "tape" / "sub", f"{NEXT}.zip.CHECKSUM", "0" * 64)
    (tmp_path / "tape" / "linked").symlink_to(tmp_path / "elsewhere")
    figures = report(ocw("replay", tmp_path / "tape", "--json"))
    assert figures["candles"] == 30
    assert {each["file"]: each["why"].split(",")[0] for each in figures["left_out"]} == {
        "linked/": "a link to a folder",
        f"sub/{NEXT}.zip.CHECKSUM": "the checksum of a file that is not there",
    }
    assert figures["candles"] == report(ocw("replay", tmp_path / "tape", "--json", "--strict"))["candles"]
    assert report(ocw("replay", tmp_path / "tape" / "linked", "--json"))["candles"] == 30


def test_named_pipe_in_a_tape_folder_is_left_out_without_blocking(ocw: Ocw, tmp_path: Path) -> None:
    write(tmp_path, f"{FIRST}.csv", lines())
    os.mkfifo(tmp_path / f"{NEXT}.csv")
    (entry,) = report(ocw("replay", tmp_path, "--json"))["left_out"]
    assert (entry["file"], entry["why"]) == (f"{NEXT}.csv", "a pipe or a device, not a file")
