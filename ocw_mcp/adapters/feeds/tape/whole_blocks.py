"""Parses a block of candle rows all at once, if every row is valid and follows the one before without a gap.

Nearly every block of a recorded market is of this kind. All other blocks are read row by row in `candles.py`, which
finds the faults, counts and reports them.
"""

from typing import Final

import msgspec

from ocw_mcp.adapters.feeds.tape.options import EARLIEST, LATEST, LEAP, MICROSECONDS
from ocw_mcp.domain.market import Candle

FEWEST: Final = 16
"""The number of rows from which parsing a block at once is faster."""

_TAKER = 9
"""The column of the taker buy volume."""
_Short = tuple[int, float, float, float, float, float]
_Long = tuple[int, float, float, float, float, float, int, float, int, float, float, float]
_DECODERS: Final[dict[int, msgspec.json.Decoder[list[_Short]] | msgspec.json.Decoder[list[_Long]]]] = {
    6: msgspec.json.Decoder(list[_Short]),
    12: msgspec.json.Decoder(list[_Long]),
}
"""The decoders by the number of columns: open time, prices and volume; then close time, taker volume and others."""


def whole_block(
    lines: list[str], width: int, symbol: str, interval: int, due: int, previous: float
) -> list[Candle] | None:
    """Return the candles of rows with `width` columns; None if one row is invalid, or does not follow the one before.

    The first row must open at `due` (ms) and follow the close `previous` (quote); it is on the grid of the interval.
    """
    decoder = _DECODERS.get(width)
    if decoder is None or len(lines) < FEWEST:
        return None
    try:
        rows = decoder.decode("[[" + "],[".join(lines) + "]]")
    except msgspec.MsgspecError:
        return None
    columns = list(zip(*rows, strict=True))
    unit = 1000 if columns[0][0] > MICROSECONDS else 1
    begins, step = due * unit, interval * unit
    times = range(due, due + len(lines) * interval, interval)
    if len(rows) != len(lines) or not EARLIEST <= due <= times[-1] < LATEST:
        return None
    if columns[0] != tuple(range(begins, begins + len(lines) * step, step)):
        return None
    # Commands that read no block of candles start faster without numpy.
    import numpy as np

    opens, highs, lows, closes, volumes = map(np.array, columns[1:6])
    before = np.concatenate(([previous], closes[:-1]))
    good = (
        (lows > 0.0)
        & (lows <= opens)
        & (opens <= highs)
        & (lows <= closes)
        & (closes <= highs)
        & (highs <= before * LEAP)
        & (before <= lows * LEAP)
        & (volumes >= 0.0)
    )
    values = columns[1:6]
    if width > _TAKER:
        takers = np.array(columns[_TAKER])
        good &= (takers >= 0.0) & (takers <= volumes)
        values.append(columns[_TAKER])
    if not good.all():
        return None
    return [Candle(symbol, at, interval, *row) for at, row in zip(times, zip(*values, strict=True), strict=True)]
