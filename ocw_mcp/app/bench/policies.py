"""What it costs to hold one entry against every policy."""

from decimal import Decimal
from typing import Any, Final

from ocw_mcp.app.bench.config import paper_config
from ocw_mcp.app.bench.recorded import SYMBOL, record
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.domain.approved import ApprovedOrder
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.desk import Desk
from ocw_mcp.engine.out import Out
from ocw_mcp.engine.quotes import Quotes
from ocw_mcp.runtime.clock import SimulatedClock

CHECKS: Final = 5_000


def measure() -> dict[str, Any]:
    """Microseconds to see the account as one entry has to, and to check it against every limit; it passes them all."""
    desk, now = _desk()
    view = desk.view(SYMBOL, now)
    assert view is not None
    intent = OrderIntent(
        idempotency_key="",
        principal="bench",
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.MARKET,
        purpose=Purpose.ENTRY,
        quantity=Decimal("0.01"),
        protect_at=view.price * Decimal("0.98"),
    )
    clock, ref = SimulatedClock(), OrderRef(1, Purpose.ENTRY)
    started = clock.wall_ms()
    for _ in range(CHECKS):
        view = desk.view(SYMBOL, now)
        assert view is not None
        assert isinstance(desk.officer.check_entry(intent, view, ref, now), ApprovedOrder)
    return {
        "limits": len(LIMITS),
        "checks": CHECKS,
        "us_per_check": round((clock.wall_ms() - started) * 1_000 / CHECKS, 2),
    }


def _desk() -> tuple[Desk, int]:
    """A desk over a few candles of the simulated market, and the moment (ms) of the last."""
    recorded = record(10)
    symbols = recorded.identity.symbols
    config = paper_config(symbols)
    market, out = Market(MINUTE, symbols), Out()
    for frame in recorded.recorded:
        for candle in frame.closed:
            market.symbols[candle.symbol].close(candle)
    account, now = Account(config, out), recorded.recorded[-1].at
    account.open_day(now)
    return Desk(config, account, Quotes(config, market), out), now
