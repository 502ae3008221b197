"""A day of a live book on the sandbox exchange in virtual time, with faults: its candles, verdicts and memory.

`python -m ocw_mcp.app.bench.feed_day HOURS` prints a `BookDay` as JSON: the memory of a process of its own.
"""

import asyncio
import gc
import resource
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.adapters.feeds.binance.feed import WARMUP_DAYS
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.bench.live_day import BEGINS_LATE_MS, START, LiveDay, RecordedFeed, run_live_day
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain.time import HOUR, SECOND
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.virtual_time import VirtualTimeLoop

_NOT_OWN: Final = ("ocw_mcp.sandbox", "ocw_mcp.app", "ocw_mcp.adapters.feeds.simulated")
"""The packages of objects that belong to the exchange or to the measurement."""
_SHARED: Final = (type, types.ModuleType, types.CodeType, types.BuiltinFunctionType, asyncio.AbstractEventLoop)
"""The types of objects that every part of a process shares."""
_PAGES: Final = Path("/proc/self/statm")


class VirtualClock(LiveClock):
    """The engine's clock on a loop in virtual time, which begins at 0 s."""

    def __init__(self, loop: VirtualTimeLoop, start: int) -> None:
        super().__init__()
        self._loop, self._start = loop, start

    def present(self) -> int:
        """Return the exchange's time, ms."""
        return self._start + round(self._loop.time() * SECOND)


class BookDay(msgspec.Struct, frozen=True):
    """A day of a live book; the lists have an entry for the end of each hour."""

    day: LiveDay
    evaluations: int
    """Verdicts of the gate."""
    wakes: int
    own_bytes: list[int]
    """The size of the objects of feed, runtime, engine, venue and store."""
    process_bytes: list[int]
    """The memory of the process, with the exchange and the interpreter; the largest so far where only that is known."""


def run_book_day(hours: int = 24, thin: int = 8, warmup_days: int = WARMUP_DAYS) -> BookDay:
    """Run a new live book for some hours of the exchange's time, with the faults of `live_day`."""
    own, process, verdicts = list[int](), list[int](), (0, 0)
    book: WiredRun | None = None

    def observe(feed: BinanceFeed) -> None:
        session = feed.session
        if book is None or session is None or session.clock.now_ms() < START + (len(own) + 1) * HOUR:
            return
        # What waits for the next commit depends on the speed of the machine.
        book.run.shell.commit()
        own.append(size_of([feed, book.engine, book.venue, book.run]))
        process.append(process_bytes())

    def consume(feed: RecordedFeed) -> None:
        nonlocal book, verdicts
        loop = VirtualTimeLoop()
        clock = VirtualClock(loop, START + BEGINS_LATE_MS)
        with open_book(feed, load_policies(None), clock=clock) as (book, _):
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(book.run.run("bench"))
            gate = book.engine.gate.counters
            verdicts = gate.evaluations, gate.woken

    day = run_live_day(hours=hours, thin=thin, warmup_days=warmup_days, consume=consume, observe=observe)
    return BookDay(day, *verdicts, own, process)


def process_bytes() -> int:
    """Return the memory of this process; the largest so far where only that is known."""
    if _PAGES.exists():
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)


def size_of(roots: Iterable[object]) -> int:
    """Return the size (bytes) of the objects that some objects refer to, without the exchange and shared objects."""
    gc.collect()
    modules = {id(vars(module)) for module in list(sys.modules.values()) if hasattr(module, "__dict__")}
    seen, waiting, total = set[int](), list(roots), 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or id(each) in modules or isinstance(each, _SHARED):
            continue
        if type(each).__module__.startswith(_NOT_OWN):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting.extend(_referents(each))
    return total


def _referents(each: Any) -> Iterator[Any]:
    """Yield the objects that an object refers to. Structs without garbage collection do not report them."""
    yield from gc.get_referents(each)
    if isinstance(each, msgspec.Struct):
        yield from (getattr(each, name) for name in each.__struct_fields__)


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(run_book_day(int(sys.argv[1]))).decode())
