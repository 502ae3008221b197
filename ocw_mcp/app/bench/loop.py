"""The delays of an event loop, and which part of them this process causes."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

TICK_S: Final = 0.001
"""The time that the event loop sleeps between two measurements."""
_SCHEDULER: Final = Path("/proc/thread-self/schedstat")


class Tick(NamedTuple):
    """One measurement, in ms."""

    delay: float
    """How late the loop was."""
    ran: float
    """How long its thread ran."""
    own: float | None
    """The delay without the time that the thread was ready and waited for a core; None if the system does not say it.

    It has the time that the thread ran, and that in which the kernel stopped it, as at the start of a process.
    """


async def ticks(going: Callable[[], bool]) -> list[Tick]:
    """Return the delays of the running event loop while `going` is true."""
    found = []
    while going():
        began, ran, waited = time.perf_counter(), time.thread_time(), _waited_ms()  # noqa: TID251 - a measurement
        await asyncio.sleep(TICK_S)  # noqa: TID251
        delay = 1_000 * (time.perf_counter() - began - TICK_S)  # noqa: TID251
        after = _waited_ms()
        own = None if waited is None or after is None else max(0.0, delay - (after - waited))
        found.append(Tick(delay, 1_000 * (time.thread_time() - ran), own))
    return found


def figures(found: Sequence[Tick]) -> dict[str, dict[str, float]]:
    """Return median, 99th percentile and worst of `delay_ms`, `ran_ms` and, if the system says it, `own_ms`."""
    own = [each.own for each in found if each.own is not None]
    columns = {"delay_ms": [each.delay for each in found], "ran_ms": [each.ran for each in found], "own_ms": own}
    return {name: _quantiles(values) for name, values in columns.items() if values}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))] for share in (0.5, 0.99))
    return {"p50": round(p50, 3), "p99": round(p99, 3), "worst": round(ordered[-1], 3)}


def _waited_ms() -> float | None:
    """Return how long this thread has been ready and waited for a core, since its start."""
    try:
        return int(_SCHEDULER.read_text().split()[1]) / 1e6
    except (OSError, ValueError, IndexError):
        return None
