"""The time of a refit of the regime, and the delays of the event loop while a worker process refits."""

import asyncio
import time
from typing import Any, Final

import numpy as np

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.app.bench.loop import figures, ticks
from ocw_mcp.core.anomaly.detector import AnomalyDetector
from ocw_mcp.core.regime.features import Floats, features_of
from ocw_mcp.core.regime.fitting import fit_of
from ocw_mcp.core.regime.tracker import SETTINGS
from ocw_mcp.domain.regime import FitRequest, RegimeFit
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.runtime.fitting import FitProcess

YEAR: Final = 365
ROUNDS: Final = 5
ANOMALIES: Final = 400


def measure() -> dict[str, Any]:
    """Return the seconds of a refit from a year of days and from the most days, and milliseconds of delays and rows.

    The first refit imports hmmlearn. `loop` has the delays of an event loop while a worker process refits, and alone:
    see `Tick`.
    """
    first = _seconds(_request(YEAR))
    year = sorted(_seconds(_request(YEAR)) for _ in range(ROUNDS))
    longest = sorted(_seconds(_request(SETTINGS.fit_days)) for _ in range(2))
    return {
        "refit_year_s": round(year[len(year) // 2], 3),
        "refit_year_worst_s": round(year[-1], 3),
        "refit_first_s": round(first, 3),
        "refit_longest_s": round(longest[0], 3),
        "rows": {"year": YEAR, "longest": SETTINGS.fit_days},
        "loop": {
            "alone": asyncio.run(_loop(None)),
            "refitting": asyncio.run(_loop(_request(YEAR))),
        },
        "anomaly_row_ms": round(_anomaly_ms(), 3),
    }


def _request(days: int) -> FitRequest:
    """Return the request for a fit from days whose volatility changes between three sizes."""
    draw, count = generator(1, days, "bench of the regime"), days + 27
    sizes = np.array([0.012, 0.03, 0.06])[np.arange(count) // 45 % 3]
    prices = 100 * np.exp(np.cumsum(draw.standard_t(5, size=count) * sizes))
    rows = features_of([(place * DAY, float(price)) for place, price in enumerate(prices)])
    assert not isinstance(rows, Unknown)
    return FitRequest("BTCUSDT", count * DAY, tuple(map(tuple, rows.tolist())), 1)


def _seconds(request: FitRequest) -> float:
    began = time.perf_counter()  # noqa: TID251 - a measurement of this machine
    found = fit_of(request)
    assert isinstance(found, RegimeFit), found
    return time.perf_counter() - began  # noqa: TID251


async def _loop(request: FitRequest | None) -> dict[str, dict[str, float]]:
    """Return the delays of an event loop: during a refit in a worker process, or for two seconds without one."""
    work = FitProcess().fit(request) if request is not None else asyncio.sleep(2)  # noqa: TID251
    task = asyncio.ensure_future(work)
    return figures(await ticks(lambda: not task.done()))


def _anomaly_ms() -> float:
    """Return the mean time of testing one row of six features."""
    rows: Floats = generator(1, 1, "bench of anomalies").normal(size=(ANOMALIES, 6))
    detector = AnomalyDetector()
    for at, row in enumerate(rows.tolist()[: ANOMALIES // 2]):
        detector.test(at, tuple(row))
    began = time.perf_counter()  # noqa: TID251
    for at, row in enumerate(rows.tolist()[ANOMALIES // 2 :]):
        detector.test(ANOMALIES + at, tuple(row))
    return 1_000 * (time.perf_counter() - began) / (ANOMALIES // 2)  # noqa: TID251
