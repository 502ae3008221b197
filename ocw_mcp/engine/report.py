"""The report of a run: what happened, what it cost and what it earned, ready for JSON."""

import math
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec

from ocw_mcp.core.gate.gate import GateState
from ocw_mcp.domain.figures import JournalFigures
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import DeskState
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.tally import Tally

DAYS_FOR_SHARPE = 10


def report(
    config: EngineConfig,
    tally: Tally,
    account: Account,
    gate: GateState,
    figures: JournalFigures,
    entry_fee: Decimal,
    fingerprint: str,
) -> dict[str, Any]:
    """A run's figures: money in quote currency as numbers, shares as fractions, times in ms, never NaN.

    `funding` is what was gained by it: below 0 it was paid. `thinking_usd` is what deciders were paid. `entry_fee` is
    the fee of a market entry as a share of its notional, which buying and holding pays once.
    """
    start, end = config.start_equity, account.ledger.equity()
    evaluations = gate.evaluations
    return {
        "symbols": sorted(config.symbols),
        "candles": tally.candles,
        "from": tally.first_open_time,
        "to": tally.last_close_time,
        "evaluations": evaluations,
        "skip_rate": 1 - gate.woken / evaluations if evaluations else None,
        "skips": dict(sorted(gate.skips.items())),
        "wakes": [{"t": wake.t, "symbol": wake.symbol, "reasons": list(wake.reasons)} for wake in figures.wakes],
        "decisions": figures.decisions,
        "decided": msgspec.to_builtins(figures.decided),
        "orders": figures.orders,
        "fills": figures.fills,
        "refusals": dict(sorted(figures.refusals.items())),
        "time_in_state": time_in_state(figures.state_changes, tally.first_open_time, tally.last_close_time),
        "holes": figures.holes,
        "stale_candles": tally.stale_candles,
        "equity_start": float(start),
        "equity_end": float(end),
        "return": float(end / start - 1),
        "buy_and_hold": _buy_and_hold(config.symbols, tally, entry_fee),
        "max_drawdown": float(account.drawdown.state.deepest),
        "sharpe": sharpe([float(equity) for _, equity in figures.day_equities]),
        "fees": float(figures.fees),
        "funding": float(figures.funding),
        "thinking_usd": float(figures.thinking_usd),
        "flags": _flags(config, tally),
        "fingerprint": fingerprint,
    }


def time_in_state(changes: list[tuple[int, DeskState]], since: int | None, until: int | None) -> dict[str, int]:
    """Simulated milliseconds in each state of the desk, zeros included; together they are `until` - `since` (ms).

    `changes` tell when (ms) the desk went into which state; it begins ACTIVE. Without a candle no time has passed.
    """
    spent = {state.value: 0 for state in DeskState}
    if since is None or until is None:
        return spent
    state, entered = DeskState.ACTIVE, since
    for at, after in [*changes, (until, DeskState.ACTIVE)]:
        # A command can come before the first candle has closed, or after the last.
        left = min(max(at, entered), until)
        spent[state.value] += left - entered
        state, entered = after, left
    return spent


def _flags(config: EngineConfig, tally: Tally) -> list[str]:
    """What the figures stand on that the market did not tell."""
    flags = ["mark=last: the market carries no mark price"]
    if config.product is Product.SPOT:
        return [*flags, "funding=none: spot has none"]
    if tally.assumed_stamps:
        counted = ", ".join(f"{count} of {symbol}" for symbol, count in sorted(tally.assumed_stamps.items()))
        flags.append(
            f"funding=assumed: stamps without a rate in the market: {counted}; long and short paid 0.01% at each"
        )
    silent = sorted(set(config.symbols) - tally.funded.keys() - tally.assumed_stamps.keys())
    if silent:
        flags.append(
            f"funding=assumed: the market carries no funding rates of {', '.join(silent)}; long and short pay 0.01% "
            "every 8 hours"
        )
    return flags


def sharpe(equities: list[float]) -> float | None:
    """Sharpe ratio of daily returns on equity, times √365; None under ten days, or where equity never moved.

    Mean over sample standard deviation, riskless rate 0 (W. F. Sharpe, The Sharpe Ratio, 1994).
    """
    changes = [after / before - 1 for before, after in pairwise(equities) if before > 0]
    if len(changes) < DAYS_FOR_SHARPE:
        return None
    mean = math.fsum(changes) / len(changes)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in changes) / (len(changes) - 1))
    return mean / deviation * math.sqrt(365) if deviation > 0 else None


def _buy_and_hold(symbols: tuple[str, ...], tally: Tally, entry_fee: Decimal) -> float | None:
    """Return of equity split equally over all symbols at their first opening, with the entry fee paid.

    The share of a symbol that has no candle yet is still cash.
    """
    opens, closes = tally.first_opens, tally.last_closes
    if not opens:
        return None
    kept = 1 - float(entry_fee)
    worth = [kept * closes[symbol] / opens[symbol] if symbol in opens else 1.0 for symbol in sorted(symbols)]
    return math.fsum(worth) / len(worth) - 1
