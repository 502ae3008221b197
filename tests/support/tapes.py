"""Small tapes for tests."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from ocw_mcp.domain.market import Candle


def rows(candles: Sequence[Candle]) -> str:
    """Return candles as lines of the exchange's archive."""
    return "".join(
        f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume},{c.close_time - 1},0,0,0,0,0\n" for c in candles
    )


def write_csv(directory: Path, candles: Sequence[Candle], name: str = "BTCUSDT-1m-2026-01-01.csv") -> Path:
    """Write one file of candles; return its path."""
    path = directory / name
    path.write_text(rows(candles))
    return path


def write_zip(directory: Path, candles: Sequence[Candle], name: str = "BTCUSDT-1m-2026-01-01.zip") -> Path:
    """Write one zip file of candles, as the archive has them; return its path."""
    path = directory / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name.replace(".zip", ".csv"), rows(candles))
    return path
