"""How long this thread was ready and waited for a core that other programs used, as Linux counts it."""

import math
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_COUNTERS: Final = Path("/proc/thread-self/schedstat")
"""The time on a core, the time that was waited for one (both ns), and the number of turns."""


class CoreWaits:
    """Samples of the time that a thread has waited for a core, in s; they stay 0 where the system does not count it."""

    def __init__(self, counters: BinaryIO | None) -> None:
        self._counters = counters
        self._samples: list[tuple[float, float]] = []

    def note(self) -> float:
        """Take a sample, and return the time waited so far (s)."""
        total = 0.0
        if self._counters is not None:
            self._counters.seek(0)
            total = int(self._counters.read().split()[1]) / 1e9
        self._samples.append((time.perf_counter(), total))  # noqa: TID251 - the real time of a benchmark
        return total

    def since(self, moment: float, total: float) -> float:
        """Return how much of a total (s) was waited after the last sample before a moment of `time.perf_counter`."""
        place = bisect_right(self._samples, (moment, math.inf)) - 1
        return total - self._samples[max(0, place)][1]


@contextmanager
def core_waits() -> Iterator[CoreWaits]:
    """Open the counters of the thread that calls."""
    if not _COUNTERS.exists():
        yield CoreWaits(None)
        return
    with _COUNTERS.open("rb", buffering=0) as counters:
        yield CoreWaits(counters)
