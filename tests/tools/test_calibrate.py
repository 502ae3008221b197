"""The measurements of recordings, on files in the archive's format with candles of the simulated market."""

import asyncio
import gzip
from pathlib import Path

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.simulated.parameters import (
    JUMP_DOWN,
    OWN,
    REGIME_TRANSITIONS,
    VOLUME_ON_VOLATILITY,
    SymbolModel,
)
from ocw_mcp.adapters.feeds.simulated.paths import regime_shares, season
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import HOUR, MINUTE
from tools.calibrate import MEASURES, Archive, correlations, derivatives, jumps, read, volume

DAYS = 14


async def fill(folder: Path) -> None:
    """Write a simulated market as files of the archive."""
    candles: dict[str, list[str]] = {}
    metrics: list[str] = []
    funding: list[str] = []
    async for frame in SimulatedFeed(2, ("BTCUSDT", "ETHUSDT"), days=DAYS, warmup_days=0).frames():
        for c in frame.closed:
            row = f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume},0,0,0,{c.taker_volume},0,0"
            candles.setdefault(c.symbol, []).append(row)
        for m in frame.metrics[:1]:
            stamp = str(np.datetime64(m.at, "ms")).replace("T", " ")
            metrics.append(
                f"{stamp},{m.symbol},{m.open_interest},{m.open_interest_value},{m.top_accounts_ratio},"
                f"{m.top_positions_ratio},{m.accounts_ratio},{m.taker_ratio}"
            )
        funding += [f"{f.at},8,{f.rate}" for f in frame.funding[:1]]
    for symbol, rows in candles.items():
        (folder / f"{symbol}-1m-2026-01.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (folder / "BTCUSDT-metrics-2026-01-01.csv").write_text("create_time\n" + "\n".join(metrics))
    (folder / "BTCUSDT-fundingRate-2026-01.csv").write_text("calc_time\n" + "\n".join(funding))
    async for frame in SimulatedFeed(2, ("BTCUSDT",), days=60, step=HOUR, warmup_days=0).frames():
        candles.setdefault("hours", []).extend(
            f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume}" for c in frame.closed
        )
    (folder / "BTCUSDT-1h-2026-01.csv").write_text("\n".join(candles["hours"]))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("archive")
    asyncio.run(fill(folder))
    return read(folder)


def test_calibration_reads_all_recordings_below_a_directory(archive: Archive) -> None:
    assert list(archive.minutes) == ["BTCUSDT 2026-01", "ETHUSDT 2026-01"]
    assert {len(each.close) for each in archive.minutes.values()} == {DAYS * 1440}
    assert archive.minutes["BTCUSDT 2026-01"].step == MINUTE
    assert archive.metrics["BTCUSDT"].shape == (DAYS * 288, 7)
    assert len(archive.funding["BTCUSDT"]) == DAYS * 3


def test_every_calibration_measure_returns_numbers(archive: Archive) -> None:
    for measure in MEASURES.values():
        found = measure(archive)
        assert found
        assert all(isinstance(value, float) for value in found.values())


def test_calibration_recovers_parameters_of_the_simulated_market(archive: Archive) -> None:
    assert volume(archive)["ln volume per ln volatility"] == pytest.approx(VOLUME_ON_VOLATILITY, abs=0.3)
    assert 0.3 < volume(archive)["taker's log odds per return"] < 0.6
    assert correlations(archive)["BTCUSDT 2026-01~ETHUSDT 2026-01 1m"] == pytest.approx(0.76, abs=0.04)
    assert 2.5 < jumps(archive)["hill_index"] < 4.5
    told = derivatives(archive)
    assert told["BTCUSDT all accounts: per return of 1 d"] < told["BTCUSDT all accounts: per return of 1 h"] < 0
    assert 0.3 < told["BTCUSDT open interest: per return of 1 d"] < 1.3


def test_calibration_refuses_a_directory_without_candles(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no 1m candles"):
        read(tmp_path)


def test_parameter_tables_of_the_simulated_market_are_consistent() -> None:
    assert all(sum(turns) == pytest.approx(1) for turns in REGIME_TRANSITIONS)
    assert all(turns[place] == 0 for place, turns in enumerate(REGIME_TRANSITIONS))
    assert sum(regime_shares()) == pytest.approx(1)
    assert min(regime_shares()) > 0.1
    assert np.mean([np.mean(season(weekday) ** 2) for weekday in range(7)]) == pytest.approx(1)
    assert 0 < OWN < 1
    assert 0 < JUMP_DOWN < 1
    assert "volatility" in SymbolModel.__annotations__


@pytest.mark.slow
def test_calibration_reads_recorded_months_of_the_exchange(tapes: Path) -> None:
    found = read(tapes / "vision" / "futures")
    assert any(name.startswith("ETHUSDT") for name in found.minutes)
    assert jumps(found)["hill_index"] == pytest.approx(3.3, abs=0.5)
