"""Derivatives readings on a tape: as known at the time, and the taker ratio of rows beside that of candles."""

import asyncio
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.adapters.feeds.stamps import TakerVolumes
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.feeds.tape.options import STAMP_CHANGE
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Metrics, Product
from ocw_mcp.domain.snapshot import DerivativesView
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, iso
from ocw_mcp.domain.unknown import Unknown

FIVE = 5 * MINUTE
VISION = Path(__file__).resolve().parents[3].parent / "shared" / "tapes" / "vision"
HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def views_of(feed: TapeFeed, until: int | None = None) -> dict[int, DerivativesView]:
    """Return the readings of the tape's symbol at each close, as an engine has them."""
    market, (symbol,) = Market(feed.interval, feed.symbols), feed.symbols
    views = dict[int, DerivativesView]()

    async def read() -> None:
        async for frame in feed.frames():
            market.take_derivatives(frame.metrics, frame.funding)
            for candle in frame.closed:
                market.symbols[symbol].close(candle)
                views[frame.at] = market.symbols[symbol].derivatives_view(frame.at)
            if until is not None and frame.at >= until:
                return

    asyncio.run(read())
    return views


class Tape:
    """A day and a half of candles of 5 min, metrics and fundings around the change of time stamps."""

    def __init__(self) -> None:
        draw, begin = Random(3), STAMP_CHANGE - 30 * HOUR
        self.ends = range(begin + FIVE, STAMP_CHANGE + 6 * HOUR + 1, FIVE)
        self.candles = {end: f"{end - FIVE},100,101,99,100,{draw.randint(5, 9)}" for end in self.ends}
        self.metrics = dict[int, str]()
        for end in self.ends:
            stamp = iso(end if end <= STAMP_CHANGE else end - FIVE)[:19].replace("T", " ")
            ratios = ",".join(f"{draw.uniform(0.8, 1.4):.4f}" for _ in range(4))
            self.metrics[end] = f"{stamp},BTCUSDT,{draw.randint(900, 1100)},{draw.randint(90, 110)},{ratios}"
        self.fundings = {at: f"{at + 4},8,{draw.uniform(-1e-3, 1e-3):.6f}" for at in self.ends if at % (8 * HOUR) == 0}

    def write(self, folder: Path, known_by: int) -> TapeFeed:
        """Write what is known by a time (ms); later candles, rows and rates do not exist."""
        folder.mkdir()
        rows = {end: row for end, row in self.metrics.items() if end <= known_by}
        parts = {
            "BTCUSDT-5m-2026-06.csv": [row for end, row in self.candles.items() if end <= known_by],
            "BTCUSDT-metrics-2026-06-24.csv": [HEADER, *(row for end, row in rows.items() if end <= STAMP_CHANGE)],
            "BTCUSDT-metrics-2026-06-25.csv": [HEADER, *(row for end, row in rows.items() if end > STAMP_CHANGE)],
            "BTCUSDT-fundingRate-2026-06.csv": [
                "calc_time,funding_interval_hours,last_funding_rate",
                *(row for at, row in self.fundings.items() if at < known_by),
            ],
        }
        for name, lines in parts.items():
            if len(lines) > 1:
                (folder / name).write_text("\n".join(lines) + "\n")
        return TapeFeed.open(folder, Product.UM)


def test_reading_on_a_tape_does_not_depend_on_later_rows(tmp_path: Path) -> None:
    tape = Tape()
    whole = views_of(tape.write(tmp_path / "whole", tape.ends[-1]))
    assert list(whole) == list(tape.ends)
    cuts = (tape.ends[40], STAMP_CHANGE - FIVE, STAMP_CHANGE, STAMP_CHANGE + FIVE, STAMP_CHANGE + HOUR)
    for cut in cuts:
        part = views_of(tape.write(tmp_path / str(cut), cut))
        assert part == {at: view for at, view in whole.items() if at <= cut}
    last = whole[tape.ends[-1]]
    known = [last.composite, last.funding_8h, last.taker_ratio_1h, last.long_short_z, last.open_interest_change_24h]
    assert not any(isinstance(value, Unknown) for value in known)
    assert isinstance(last.basis, Unknown)
    assert isinstance(last.liquidations_1h, Unknown)


def recorded_symbols() -> list[str]:
    """Return the symbols of the recorded tapes that have both metrics and minute candles."""
    daily = VISION / "futures" / "um" / "daily"
    found = [folder.name for folder in sorted(daily.glob("metrics/*")) if (daily / "klines" / folder.name).is_dir()]
    return found or ["ETHUSDT"]


@cache
def recorded_fits(symbol: str) -> dict[bool, Counter[str | None]]:
    """Return what the time of each row would be by the candles, for rows up to the change and after it."""
    feed = TapeFeed.open(VISION, Product.UM, "1m", [symbol])
    volumes, rows = TakerVolumes(), list[Metrics]()

    async def read() -> None:
        async for frame in feed.frames():
            rows.extend(frame.metrics)
            for candle in frame.closed:
                volumes.add(candle)

    asyncio.run(read())
    fits: dict[bool, Counter[str | None]] = {True: Counter(), False: Counter()}
    for row in rows:
        fits[row.at > STAMP_CHANGE][volumes.fits(row.at, row.taker_ratio)] += 1
    return fits


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("symbol", recorded_symbols())
def test_taker_ratio_of_rows_is_that_of_the_candles(symbol: str, changed: bool) -> None:
    if not VISION.is_dir():
        pytest.skip("the recorded tapes are not on this machine")
    # A row's time is the end of its five minutes on both sides: its candles are those before it.
    fits = recorded_fits(symbol)[changed]
    if not fits["end"] + fits["beginning"]:
        pytest.skip(f"the tapes have no candles beside metrics {'after' if changed else 'before'} the change")
    assert fits["end"] >= 20 * fits["beginning"]
    assert fits["end"] > 200


@pytest.mark.slow
def test_readings_of_a_recorded_day_do_not_depend_on_later_days(tmp_path: Path) -> None:
    daily = VISION / "futures" / "um" / "daily"
    if not (daily / "metrics" / "ETHUSDT").is_dir():
        pytest.skip("the recorded tapes are not on this machine")
    folders = []
    for name, days in (("short", (5, 6)), ("long", (5, 6, 7))):
        (tmp_path / name).mkdir()
        for day in days:
            date = f"2026-04-{day:02d}"
            for file in (f"metrics/ETHUSDT/ETHUSDT-metrics-{date}.zip", f"klines/ETHUSDT/1m/ETHUSDT-1m-{date}.zip"):
                (tmp_path / name / Path(file).name).symlink_to(daily / file)
        folders.append(TapeFeed.open(tmp_path / name, Product.UM))
    short, long = map(views_of, folders)
    # The last minute of the shorter tape has the row of midnight in a file of the next day.
    until = max(short) - DAY // 24
    assert {at: view for at, view in short.items() if at <= until} == {at: v for at, v in long.items() if at <= until}
    assert len([view for view in short.values() if not isinstance(view.composite, Unknown)]) > 600
