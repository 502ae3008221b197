"""The duration of checking one entry against every limit."""

from datetime import UTC, datetime
from decimal import Decimal
from statistics import median
from typing import Any, Final

from ocw_mcp.app.bench.config import paper_config
from ocw_mcp.app.bench.recorded import SYMBOL, record
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import ApprovalPolicy, MandatePolicy, Policies
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.price_board import PriceBoard
from ocw_mcp.runtime.clock import SimulatedClock

CHECKS: Final = 5_000
BATCH: Final = 100


def measure() -> dict[str, Any]:
    """Return the microseconds to build the account view of an entry and to check the entry, which passes every limit.

    Both the median and the fastest of the batches are given; the difference is due to other load of the machine.
    """
    manager, now = _order_manager()
    view = manager.view(SYMBOL, now)
    assert view is not None
    intent = OrderIntent(
        idempotency_key="",
        principal="bench",
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.LIMIT,
        purpose=Purpose.ENTRY,
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


def _order_manager() -> tuple[OrderManager, int]:
    """Return an order manager after a few candles of the simulated market, and the time (ms) of the last one."""
    recorded = record(10)
    symbols = recorded.identity.symbols
    config = paper_config(symbols, _every_limit())
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


def _every_limit() -> Policies:
    """Return the shipped policies with their optional tables, so that every limit is checked."""
    mandate = MandatePolicy(amount=Decimal(5_000), symbols=("*USDT",), expires=datetime(2100, 1, 1, tzinfo=UTC))
    approval = ApprovalPolicy(above_notional=Decimal(4_000), modes=(Mode.LIVE,), answer_s=900)
    return load_policies(None).policies.model_copy(update={"mandate": mandate, "approval": approval})
