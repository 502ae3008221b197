"""The size of a snapshot as the text that a model reads at every wake."""

import math
from decimal import Decimal
from itertools import pairwise

from msgspec.structs import replace

from ocw_mcp.app.bench.fixtures import paper_config
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.decision import Comparison, WakeCondition
from ocw_mcp.domain.happenings import GuardPlan, Happening, HappeningKind, StandingCondition
from ocw_mcp.domain.market import Candle, Funding, Metrics
from ocw_mcp.domain.orders import CLAUDE, Side
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import (
    TRADES_SHOWN,
    Feasible,
    Remark,
    SizeStep,
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

SCALE = Decimal("0.54")
THESIS = "The range of the day broke upwards on volume; wrong below the low of 4h."
NOTE = "The trend of 4h holds while ADX stays above 25; take half off at 62400, and do not chase after news."


def measure() -> dict[str, int]:
    """Return the characters of the text for one symbol and for three, with one open position.

    Every indicator is known, and the snapshot has ten trades, a note and the limits. The snapshot of a
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
    ledger.book(held, Side.BUY, Decimal("0.016"), Decimal("56123.4"), Decimal("0.93"), now - 7 * HOUR)
    ledger.mark(held, Decimal("57053.1"))
    ledger.positions[held].see(55_812.3, 57_107.6)
    engine.guard.protections[held] = Protection(Decimal("55200.1"), Decimal("58900"), protected=True)
    trade = TradeView(held, "short", now - 30 * HOUR, now - 26 * HOUR, Decimal("-23.45"))
    plan = GuardPlan(53_317.2, 70_154.3, 58_368.3, None, now + 161 * HOUR)
    watched = WakeCondition(held, "rsi_14@1h", Comparison.GT, 70, "take a half off", expires_s=7_200)
    key, code = "risk.max_share", RefusalCode.RISK_PER_TRADE
    far = SizeStep(Decimal("0.05"), Decimal("0.0412"), Decimal("0.0072"), code, key, SCALE)
    key, code = "position.max_share", RefusalCode.POSITION_SHARE
    near = replace(far, distance=Decimal("0.033"), size=Decimal("0.0437"), code=code, key=key)
    stop = Decimal("55200.1")
    moved = Happening(now - HOUR, HappeningKind.STOP_MOVED, held, CLAUDE, price=stop, previous=Decimal(54_900))
    return take_snapshot(
        market,
        engine.guard,
        (SymbolWake(held, (WakeReason(WakeKind.CLOSE, "1h"), WakeReason(WakeKind.OUTLIER, "15m", "z=+3.02"))),),
        now,
        sizes=lambda symbol: Feasible(
            Decimal("0.052"), Decimal("0.052"), Decimal("0.001"), (near, far), () if symbol == held else (near, far)
        ),
        planned=lambda view: replace(
            view, target=Decimal(58_900), guard=plan, thesis=Remark(THESIS, CLAUDE, view.opened_at)
        ),
        trades=(trade,) * TRADES_SHOWN,
        note=Remark(NOTE, CLAUDE, now - 30 * MINUTE),
        limits=limits_in_force(config.policies),
        since=(moved,),
        since_wake=41,
        conditions=(StandingCondition(watched, CLAUDE, now - HOUR, now + HOUR, 45.8, with_position=True),),
        next_check_at=now + 90 * MINUTE,
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
