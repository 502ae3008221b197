"""Durations of single steps: a gate evaluation, the check of an entry against every limit, and a journal commit."""

import math
import sqlite3
import tempfile
from collections import deque
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import msgspec

from ocw_mcp.adapters.store.database import payload_of
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.bench.fixtures import SYMBOL, paper_config, record
from ocw_mcp.app.compose import stamp
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.events import OrderIntended
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import ApprovalPolicy, MandatePolicy
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.price_board import PriceBoard
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.recorder import Commits, EventRecorder

EVALUATIONS: Final = 50_000
_TURN, _WINDOW = 1_000, 50
CHECKS: Final = 5_000
BATCH: Final = 100
COMMITS: Final = 2_000
ENTRY: Final = OrderIntent(
    idempotency_key="",
    principal="bench",
    symbol=SYMBOL,
    side=Side.BUY,
    type=OrderType.MARKET,
    purpose=Purpose.ENTRY,
    quantity=Decimal("0.016"),
    protect_at=Decimal("81880.3"),
)


class ZScore:
    """The z-score of a value in a window of 50 values, by running sums."""

    def __init__(self) -> None:
        self._values = deque([0.0] * _WINDOW)
        self._sum = self._squares = 0.0

    def take(self, value: float) -> float:
        """Add a value, and return its z-score."""
        out = self._values.popleft()
        self._values.append(value)
        self._sum += value - out
        self._squares += value * value - out * out
        mean = self._sum / _WINDOW
        variance = self._squares / _WINDOW - mean * mean
        return (value - mean) / math.sqrt(variance) if variance > 0 else 0.0


def measure_gate() -> dict[str, Any]:
    """Return the microseconds per evaluation of the gate, and of two z-scores, of price and volume.

    Both are measured in turns on the same closes of a calm market; each number is that of the fastest turn.
    """
    clock = SimulatedClock()
    gate = Gate(load_policies(None).policies.gate, MINUTE, (SYMBOL,))
    unknown = Unknown("not measured here")
    closes = [100.0 + (index * 7919 % 101) / 1_000 for index in range(EVALUATIONS)]
    windows = ZScore(), ZScore()

    def read(symbol: str, metric: str) -> Reading:
        return unknown

    def evaluate(index: int, close: float) -> None:
        at = index * MINUTE
        gate.evaluate(SYMBOL, close, (MINUTE,), at=at, close_time=at, read=read, in_position=False)
        gate.wake(at, busy=False)

    def z_scores(index: int, close: float) -> None:
        windows[0].take(close)
        windows[1].take(index % 17)

    fastest = dict.fromkeys((evaluate, z_scores), math.inf)
    for begin in range(0, EVALUATIONS, _TURN):
        for test in fastest:
            started = clock.wall_ms()
            for index in range(begin, begin + _TURN):
                test(index, closes[index])
            fastest[test] = min(fastest[test], (clock.wall_ms() - started) * 1_000 / _TURN)
    return {
        "evaluations": EVALUATIONS,
        "us_per_evaluation": round(fastest[evaluate], 3),
        "us_per_z_score": round(fastest[z_scores], 3),
        "ratio": round(fastest[evaluate] / fastest[z_scores], 3),
    }


def measure_policies() -> dict[str, Any]:
    """Return the median and fastest time (µs) to build the account view for an entry and check the entry."""
    manager, now = order_manager()
    view = manager.view(SYMBOL, now)
    assert view is not None
    intent = msgspec.structs.replace(
        ENTRY,
        type=OrderType.LIMIT,
        quantity=Decimal("0.01"),
        protect_at=view.price * Decimal("0.98"),
        limit_price=view.price,
        leverage=2,
    )
    clock, ref = SimulatedClock(), OrderRef(1, Purpose.ENTRY)
    durations = []
    for _ in range(CHECKS // BATCH):
        started = clock.wall_ms()
        for _ in range(BATCH):
            view = manager.view(SYMBOL, now)
            assert view is not None
            assert isinstance(manager.officer.check_entry(intent, view, ref, now), ClearedOrder)
        durations.append((clock.wall_ms() - started) * 1_000 / BATCH)
    return {
        "limits": len(LIMITS),
        "checks": CHECKS,
        "us_per_check": round(median(durations), 2),
        "us_per_check_fastest": round(min(durations), 2),
    }


def order_manager() -> tuple[OrderManager, int]:
    """Return an order manager with every optional limit, after a few candles, and the time (ms) of the last one."""
    mandate = MandatePolicy(amount=Decimal(5_000), symbols=("*USDT",), expires=datetime(2100, 1, 1, tzinfo=UTC))
    approval = ApprovalPolicy(above_notional=Decimal(4_000), modes=(Mode.LIVE,), answer_s=900)
    policies = load_policies(None).policies.model_copy(update={"mandate": mandate, "approval": approval})
    recorded = record(10)
    symbols = recorded.identity.symbols
    config = paper_config(symbols, policies)
    market, out = Market(MINUTE, symbols), EffectBuffer()
    for frame in recorded.recorded:
        for candle in frame.closed:
            market.symbols[candle.symbol].close(candle)
    account, now = Account(config, out), recorded.recorded[-1].at
    account.open_day(now)
    quotes = PriceBoard(config, market)
    price = float(recorded.recorded[-1].closed[0].close)
    for symbol in symbols:
        quotes.take_book(OrderBook(symbol, now, price * 0.9999, price * 1.0001, bid_depth=1e6, ask_depth=1e6))
    return OrderManager(config, account, quotes, out), now


def measure_journal() -> dict[str, Any]:
    """Return the result of `measure_commits` for many orders."""
    return measure_commits(COMMITS)


def measure_commits(count: int) -> dict[str, Any]:
    """Return the milliseconds from recording an order intent to the end of its commit, as in a run.

    Every order waits for this commit before it is sent. The reference is the insertion of a row of the same size into a
    bare SQLite file on the same disk, with the same durability (write-ahead log, synchronous FULL). `ratio` is the
    median of OCW over the median of the reference.
    """
    market = record(count)
    clock = SimulatedClock()
    with tempfile.TemporaryDirectory(prefix="ocw-bench-") as name:
        directory = Path(name)
        with (
            closing(SqliteStore.open(directory / "book", stamp(market), book_id="bench0", created_at=0)) as store,
            closing(sqlite3.connect(directory / "bare.db", isolation_level=None)) as bare,
        ):
            bare.execute("PRAGMA journal_mode=WAL").fetchall()
            bare.execute("PRAGMA synchronous=FULL")
            bare.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            engine = Engine(paper_config(market.identity.symbols))
            # Reports of failed writes are discarded: their delay is part of the measured time.
            recorder, commits = (
                EventRecorder(store, 0),
                Commits(store, partial(summary, engine), warn=lambda problem: None),
            )
            durations, reference = [], []
            for n, frame in enumerate(market.recorded[:count], 1):
                engine.step(frame, frame.at)
                intent = msgspec.structs.replace(ENTRY, idempotency_key=f"wake:{n}:0", wake_id=n)
                intended = OrderIntended(OrderRef(n, Purpose.ENTRY), intent, "0" * 64)
                started = clock.wall_ms()
                recorder.record(frame.at, intended)
                commits.commit()
                ended = clock.wall_ms()
                bare.execute("INSERT INTO rows (text) VALUES (?)", (payload_of(intended),))
                reference.append(clock.wall_ms() - ended)
                durations.append(ended - started)
    found: dict[str, Any] = {"commits": count}
    for label, values in (("", durations), ("bare_", reference)):
        percentiles = quantiles(values, n=100)
        found |= {f"{label}p50_ms": round(percentiles[49], 3), f"{label}p99_ms": round(percentiles[98], 3)}
    return found | {"ratio": round(median(durations) / median(reference), 2)}
