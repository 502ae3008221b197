"""Metrics are known when their five minutes are over, before and after the archive changed their timestamps."""

import asyncio
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed, reading
from ocw_mcp.adapters.feeds.tape.options import STAMP_CHANGE, TapeOptions
from ocw_mcp.domain.market import Frame, Metrics
from ocw_mcp.domain.time import MINUTE, iso
from tests.support.shell import Ocw

FIVE = 5 * MINUTE
HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
END, BEGINNING = "end", "beginning"


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def test_metrics_timestamps_change_meaning_on_2026_06_25() -> None:
    assert datetime.fromtimestamp(STAMP_CHANGE / 1000, UTC) == datetime(2026, 6, 25, tzinfo=UTC)


class Tape:
    """Candles around the timestamp change, with a taker ratio (bought over sold) for each five minutes."""

    def __init__(self, folder: Path, since: int = -60, until: int = 60) -> None:
        self.folder = folder
        draw = Random(7)
        self.ratios: dict[int, float] = {}
        lines = []
        for minute in range(since, until):
            at = STAMP_CHANGE + minute * MINUTE
            ratio = self.ratios.setdefault(at - at % FIVE, round(math.exp(draw.uniform(-1, 1)), 6))
            bought = 100 * ratio / (1 + ratio)
            lines.append(f"{at},100,101,99,100,100,{at + MINUTE - 1},1,1,{bought},1,0")
        folder.mkdir(exist_ok=True)
        (folder / "BTCUSDT-1m-2026-06.csv").write_text("\n".join(lines))

    def row(self, begin: int, stamped: str) -> str:
        """Return the metrics row of the five minutes from `begin` (ms)."""
        stamp = iso(begin + (FIVE if stamped == END else 0))[:19].replace("T", " ")
        return f"{stamp},BTCUSDT,{(begin - STAMP_CHANGE) / MINUTE + 1e6},6,1,1,1,{self.ratios[begin]}"

    def write(self, name: str, *rows: str) -> None:
        (self.folder / name).write_text("\n".join([HEADER, *rows]))

    def usual(self) -> None:
        """Write two daily files as a fetch across the change brings them; both have a row stamped midnight."""
        old, new = (
            sorted(at for at in self.ratios if at < STAMP_CHANGE),
            sorted(at for at in self.ratios if at >= STAMP_CHANGE),
        )
        self.write("BTCUSDT-metrics-2026-06-24.csv", *(self.row(at, END) for at in old))
        self.write("BTCUSDT-metrics-2026-06-25.csv", *(self.row(at, BEGINNING) for at in new))


def frames_of(feed: TapeFeed, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    return asyncio.run(collect())


def known(feed: TapeFeed, after: int | None = None) -> list[tuple[int, Metrics]]:
    return [(frame.at, row) for frame in frames_of(feed, after) for row in frame.metrics]


def test_metrics_are_delivered_at_the_end_of_their_five_minutes(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.usual()
    feed = TapeFeed.open(tmp_path)
    rows = known(feed)
    assert [at for at, _ in rows] == [begin + FIVE for begin in sorted(tape.ratios)]
    assert [row.taker_ratio for _, row in rows] == [tape.ratios[begin] for begin in sorted(tape.ratios)]
    assert all(at == row.at for at, row in rows)
    assert feed.counters.duplicates == 0


def test_tape_across_the_timestamp_change_resumes_at_any_time(tmp_path: Path) -> None:
    tape = Tape(tmp_path, -20, 20)
    tape.usual()
    feed = TapeFeed.open(tmp_path)
    frames = frames_of(feed)
    for moment in range(STAMP_CHANGE - 20 * MINUTE, STAMP_CHANGE + 20 * MINUTE, MINUTE // 2):
        assert frames_of(feed, moment) == [frame for frame in frames if frame.at > moment]


@pytest.mark.parametrize("name", ["BTCUSDT-metrics.csv", "BTCUSDT-metrics-2026-06.csv"])
def test_two_metrics_rows_at_the_timestamp_change_are_both_read(tmp_path: Path, name: str) -> None:
    tape = Tape(tmp_path, -20, 20)
    tape.write(name, *(tape.row(at, END if at < STAMP_CHANGE else BEGINNING) for at in sorted(tape.ratios)))
    assert [at for at, _ in known(TapeFeed.open(tmp_path))] == [begin + FIVE for begin in sorted(tape.ratios)]


@pytest.mark.parametrize("swapped", [0, 6])
def test_swapped_metrics_rows_at_the_timestamp_change_are_both_read(tmp_path: Path, swapped: int) -> None:
    tape = Tape(tmp_path)
    rows = [tape.row(at, END if at < STAMP_CHANGE else BEGINNING) for at in sorted(tape.ratios)]
    rows[swapped], rows[swapped + 1] = rows[swapped + 1], rows[swapped]
    tape.write("BTCUSDT-metrics.csv", *rows)
    assert [at for at, _ in known(TapeFeed.open(tmp_path))] == [begin + FIVE for begin in sorted(tape.ratios)]


def test_metrics_rows_at_the_timestamp_change_are_read_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape(tmp_path, -20, 20)
    tape.write(
        "BTCUSDT-metrics.csv", *(tape.row(at, END if at < STAMP_CHANGE else BEGINNING) for at in sorted(tape.ratios))
    )
    for size in range(60, 90):
        monkeypatch.setattr(reading, "BLOCK", size)
        assert [at for at, _ in known(TapeFeed.open(tmp_path))] == [begin + FIVE for begin in sorted(tape.ratios)]


def test_repeated_metrics_row_at_timestamp_change_is_a_duplicate(tmp_path: Path) -> None:
    tape = Tape(tmp_path, -5, 20)
    rows = [tape.row(at, BEGINNING) for at in sorted(tape.ratios) if at >= STAMP_CHANGE]
    tape.write("BTCUSDT-metrics.csv", rows[0], *rows)
    feed = TapeFeed.open(tmp_path)
    assert [at for at, _ in known(feed)] == [begin + FIVE for begin in sorted(tape.ratios) if begin >= STAMP_CHANGE]
    assert feed.counters.duplicates == 1


@pytest.mark.parametrize("stamped", [END, BEGINNING])
def test_option_sets_the_meaning_of_metrics_timestamps(tmp_path: Path, stamped: str) -> None:
    tape = Tape(tmp_path)
    tape.write("BTCUSDT-metrics.csv", *(tape.row(at, stamped) for at in sorted(tape.ratios)))
    options = TapeOptions(begins_from=0 if stamped == BEGINNING else 1 << 62)
    feed = TapeFeed.open(tmp_path, options=options)
    assert [at for at, _ in known(feed)] == [begin + FIVE for begin in sorted(tape.ratios)]
    assert feed.identity != TapeFeed.open(tmp_path).identity


def test_tape_info_warns_if_metrics_timestamps_fit_the_other_meaning(ocw: Ocw, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "usual")
    tape.usual()
    metrics = json.loads(ocw("tape", "info", tmp_path / "usual", "--json").out)["streams"][1]
    assert [(fit["side"], fit["read_as"], fit["fits"], fit["disagrees"]) for fit in metrics["stamps"]] == [
        ("before", END, END, False), ("from", BEGINNING, BEGINNING, False),
    ]  # fmt: skip
    assert "WARNING" not in ocw("tape", "info", tmp_path / "usual").out
    for stamped in (END, BEGINNING):
        folder = tmp_path / stamped
        tape = Tape(folder)
        tape.write("BTCUSDT-metrics.csv", *(tape.row(at, stamped) for at in sorted(tape.ratios)))
        shown = ocw("tape", "info", folder).out
        side = "from" if stamped == END else "before"
        assert f"stamps {side} the change are read as" in shown
        assert shown.count("WARNING: taker ratios fit") == 1
        assert "WARNING" not in ocw("tape", "info", folder, "--metrics-stamps", stamped).out
    assert ocw("tape", "info", tmp_path / "usual", "--metrics-stamps", "soon").code == 2
