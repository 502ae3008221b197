"""The time until an order's intent is durable. Every order waits for this before it is sent."""

import sqlite3
import statistics
import tempfile
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.schema import payload_of
from ocw_mcp.app.bench.config import paper_config
from ocw_mcp.app.bench.recorded import SYMBOL, record
from ocw_mcp.app.compose import stamp
from ocw_mcp.domain.events import OrderIntended
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.recorder import Commits, EventRecorder

COMMITS: Final = 2_000


def measure() -> dict[str, Any]:
    """Return the milliseconds from recording an intent to the end of its commit, with everything a run commits.

    The reference is the insertion of a row of the same size into a bare SQLite file on the same disk, with the same
    durability (write-ahead log, synchronous FULL). `ratio` is the median of OCW over the median of the reference.
    """
    market = record(COMMITS)
    clock = SimulatedClock()
    with tempfile.TemporaryDirectory(prefix="ocw-bench-") as name:
        directory = Path(name)
        with (
            closing(SqliteStore.open(directory / "book", stamp(market), book_id="bench0", created_at=0)) as store,
            closing(_bare(directory / "bare.db")) as bare,
        ):
            engine = Engine(paper_config(market.identity.symbols))
            recorder, commits = EventRecorder(store, 0), Commits(store, engine.summary, warn=_ignore)
            durations, reference = [], []
            for n, frame in enumerate(market.recorded[:COMMITS], 1):
                engine.step(frame, frame.at)
                intended = _intended(n)
                started = clock.wall_ms()
                recorder.record(frame.at, intended)
                commits.commit()
                ended = clock.wall_ms()
                bare.execute("INSERT INTO rows (text) VALUES (?)", (payload_of(intended),))
                reference.append(clock.wall_ms() - ended)
                durations.append(ended - started)
    return {
        "commits": COMMITS,
        "p50_ms": _percentile(durations, 50),
        "p99_ms": _percentile(durations, 99),
        "bare_p50_ms": _percentile(reference, 50),
        "bare_p99_ms": _percentile(reference, 99),
        "ratio": round(statistics.median(durations) / statistics.median(reference), 2),
    }


def _ignore(problem: str) -> None:
    """Discard a report of a failed write: its delay is part of the measured time."""


def _bare(path: Path) -> sqlite3.Connection:
    """Return a connection in which each statement is its own transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    return connection


def _intended(n: int) -> OrderIntended:
    intent = OrderIntent(
        idempotency_key=f"wake:{n}:0",
        principal="bench",
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.MARKET,
        purpose=Purpose.ENTRY,
        quantity=Decimal("0.016"),
        protect_at=Decimal("81880.3"),
        wake_id=n,
    )
    return OrderIntended(OrderRef(n, Purpose.ENTRY), intent, "0" * 64)


def _percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1], 3)
