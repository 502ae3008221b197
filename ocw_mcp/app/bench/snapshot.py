"""The size of a snapshot as the text that a model reads at every wake."""

import math
from decimal import Decimal
from itertools import pairwise

from ocw_mcp.app.bench.fixtures import paper_config
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Candle, Funding, Metrics
from ocw_mcp.domain.orders import CLAUDE, Side
from ocw_mcp.domain.snapshot import (
    TRADES_SHOWN,
    Feasible,
    Remark,
    Snapshot,
    SymbolWake,
    TradeView,
    WakeKind,
    WakeReason,
)
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.engine.protection import Protection
from ocw_mcp.engine.snapshot import take_snapshot
from ocw_mcp.engine.step import Engine
from ocw_mcp.render.snapshot_text import compact

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BEGIN = 20_500 * DAY
CANDLES = 10 * 1440 + 100
"""Number of minute candles: enough for every indicator on 4h, and a forming candle on each timeframe."""

NOTE = "The trend of 4h holds while ADX stays above 25; take half off at 62400, and do not chase after news."


def measure() -> dict[str, int]:
    """Return the characters of the text for one symbol and for three, with one open position.

    Every indicator is known, and the snapshot has ten trades, a note and the texts of some limits. The snapshot of a
    new book is shorter.
    """
    counts = (1, len(SYMBOLS))
    return {f"characters_{count}": len(compact(example(SYMBOLS[:count]), reader=CLAUDE)) for count in counts}


def example(symbols: tuple[str, ...]) -> Snapshot:
    """Return a snapshot of `symbols` in which every indicator is known, with a position in the first symbol."""
    config = paper_config(symbols)
    engine, market = Engine(config), Market(MINUTE, symbols)
    for place, symbol in enumerate(symbols):
        for candle in _candles(symbol, 60_000.0 / 20**place):
            market.symbols[symbol].close(candle)
        for row in _metrics(symbol):
            market.symbols[symbol].derivatives.take(row)
        market.symbols[symbol].derivatives.settle(Funding(symbol, BEGIN + CANDLES * MINUTE - HOUR, 0.000_103, 8))
    now, held = BEGIN + CANDLES * MINUTE, symbols[0]
    ledger = engine.account.ledger
    ledger.book(held, Side.BUY, Decimal("0.031"), Decimal("60123.4"), Decimal("0.93"), now - 7 * HOUR)
    ledger.mark(held, Decimal("61410.2"))
    ledger.positions[held].see(59_512.3, 61_987.6)
    engine.guard.protections[held] = Protection(Decimal("58200.1"), None, protected=True)
    trade = TradeView(held, "short", now - 30 * HOUR, now - 26 * HOUR, Decimal("-23.45"))
    return take_snapshot(
        market,
        engine.guard,
        (SymbolWake(held, (WakeReason(WakeKind.CLOSE, "1h"), WakeReason(WakeKind.OUTLIER, "15m", "z=+3.02"))),),
        now,
        feasible=lambda symbol: Feasible(Decimal("0.052"), Decimal("0.052"), Decimal("0.001")),
        trades=(trade,) * TRADES_SHOWN,
        note=Remark(NOTE, CLAUDE, now - 30 * MINUTE),
        limits=(("order", "at most 2000"), ("position", "at most 25% of equity"), ("stop", "within 5%")),
    )


def _candles(symbol: str, level: float) -> list[Candle]:
    """Return candles whose price is a sum of waves, so that no indicator is a round number."""
    prices = [level * (1 + math.sin(n / 3_000) / 20 + math.sin(n * 0.7) / 900) for n in range(CANDLES + 1)]
    return [
        Candle(
            symbol,
            BEGIN + n * MINUTE,
            MINUTE,
            round(first, 2),
            round(max(first, last) * 1.0004, 2),
            round(min(first, last) * 0.9996, 2),
            round(last, 2),
            round(3 + math.sin(n / 7), 3),
        )
        for n, (first, last) in enumerate(pairwise(prices))
    ]


def _metrics(symbol: str) -> list[Metrics]:
    """Return one day of derivatives metrics up to the last candle."""
    last = BEGIN + CANDLES * MINUTE
    return [
        Metrics(
            symbol,
            last - back * 5 * MINUTE,
            open_interest=80_000 + 900 * math.sin(back / 40),
            open_interest_value=4.9e9 + 6e7 * math.sin(back / 35),
            top_positions_ratio=1.6 + math.sin(back / 20) / 9,
            taker_ratio=1 + math.sin(back) / 7,
        )
        for back in range(288, -1, -1)
    ]
