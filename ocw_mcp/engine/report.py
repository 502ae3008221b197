"""The report of a run: what happened, what it cost and what it earned, ready for JSON."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec

from ocw_mcp.core.gate.outlier import channels_of
from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain.figures import ClosedTrade, JournalFigures
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import span_name
from ocw_mcp.engine.checkpoint import RunCounters
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.step import Engine

DAYS_FOR_SHARPE = 10


def report(engine: Engine, figures: JournalFigures, entry_fee: Decimal, fingerprint: str) -> dict[str, Any]:
    """Return a run's figures: money in quote currency as numbers, shares as fractions, times in ms, never NaN.

    `funding` is the funding received, below 0 if paid. `thinking_usd` is the cost of the deciders. `entry_fee` is the
    fee of a market entry as a share of its notional; `buy_and_hold` pays it once. `positions` are those that are
    open at the end, and `equity_end` is `equity_start` + `realised` + `unrealised`; deposits and withdrawals
    count as realised. `ended` lists the symbols whose candles end before those of others, with the time.
    """
    config, counters, account, gate = engine.config, engine.counters, engine.account, engine.gate.counters
    start, end, evaluations = account.began_with, account.ledger.equity(), gate.evaluations
    since, until = counters.first_open_time, counters.last_close_time
    return {
        "symbols": sorted(config.symbols),
        "candles": counters.candles,
        "from": since,
        "to": until,
        "evaluations": evaluations,
        "skip_rate": 1 - gate.woken / evaluations if evaluations else None,
        "skips": dict(sorted(gate.skips.items())),
        "wakes": [
            {"t": wake.t, "symbol": wake.symbol, "reasons": [str(each) for each in wake.reasons]}
            for wake in figures.wakes
        ],
        "wake_reasons": dict(sorted(Counter(each.name for wake in figures.wakes for each in wake.reasons).items())),
        "decisions": figures.decisions,
        "decided": msgspec.to_builtins(figures.decided),
        "orders": figures.orders,
        "fills": figures.fills,
        "refusals": dict(sorted(figures.refusals.items())),
        "trades": trade_statistics(
            figures.trades,
            {symbol: position.opened_at for symbol, position in account.ledger.positions.items()},
            since,
            until,
        ),
        "time_in_state": time_in_state(figures.state_changes, since, until),
        "holes": figures.holes,
        "stale_candles": counters.stale_candles,
        "equity_start": float(start),
        "equity_end": float(end),
        "realised": float(account.ledger.wallet - start),
        "unrealised": float(end - account.ledger.wallet),
        "positions": [_position(engine, symbol, until) for symbol in sorted(account.ledger.positions)],
        "orders_waiting": [
            _waiting(each) for each in engine.orders.live() if each.purpose in (Purpose.ENTRY, Purpose.EXIT)
        ],
        "ended": [{"symbol": symbol, "last": last} for symbol, last in sorted(account.ended.items())],
        # A book at an exchange that never began has no equity.
        "return": float(end / start - 1) if start else None,
        "buy_and_hold": _buy_and_hold(config.symbols, counters, entry_fee),
        "max_drawdown": float(account.drawdown.state().deepest),
        "sharpe": sharpe([float(equity) for _, equity in figures.day_equities]),
        "fees": float(figures.fees),
        "funding": float(figures.funding),
        "thinking_usd": float(figures.thinking_usd),
        "stop_waits": len(figures.unprotected),
        "unprotected_ms": sum(
            max(0, (until or began if ended is None else ended) - began) for began, ended in figures.unprotected
        ),
        "flags": _flags(config, counters),
        "fingerprint": fingerprint,
    }


def trade_statistics(
    trades: Sequence[ClosedTrade], open_since: Mapping[str, int], since: int | None, until: int | None
) -> dict[str, Any]:
    """Return figures of the closed trades of a run from `since` to `until` (ms), and of each symbol.

    A trade begins when a position opens and ends when it is flat; its result `pnl` (quote) is net of fees and funding.
    A trade that was closed in several parts (`scaled_out`) counts once. It is won if its result is above 0, and lost if
    below 0. `win_rate` is the share of won trades in all trades.
    `profit_factor` is `gross_profit` divided by `gross_loss`, both 0 or more, and None without a loss. `average_loss`
    is 0 or less. `expectancy` is the mean result. `exposure_ms` is the time with at least one open position, and
    `exposure` its share of the run; a position that is still open counts from its time in `open_since` (ms, by symbol).
    """
    symbols = sorted({trade.symbol for trade in trades} | open_since.keys())
    return {
        **_statistics(trades, open_since.values(), since, until),
        "by_symbol": {
            symbol: _statistics(
                [trade for trade in trades if trade.symbol == symbol],
                [open_since[symbol]] if symbol in open_since else [],
                since,
                until,
            )
            for symbol in symbols
        },
    }


def _statistics(
    trades: Sequence[ClosedTrade], open_since: Iterable[int], since: int | None, until: int | None
) -> dict[str, Any]:
    won = [trade.pnl for trade in trades if trade.pnl > 0]
    lost = [trade.pnl for trade in trades if trade.pnl < 0]
    profit, loss, pnl = sum(won, ZERO), -sum(lost, ZERO), sum((trade.pnl for trade in trades), ZERO)
    exposed = 0
    if since is not None and until is not None:
        spans = [(trade.opened_at, trade.closed_at) for trade in trades]
        exposed = _covered([*spans, *((opened_at, until) for opened_at in open_since)], since, until)
    return {
        "count": len(trades),
        "won": len(won),
        "lost": len(lost),
        "scaled_out": sum(trade.exits > 1 for trade in trades),
        "pnl": float(pnl),
        "win_rate": len(won) / len(trades) if trades else None,
        "gross_profit": float(profit),
        "gross_loss": float(loss),
        "profit_factor": float(profit / loss) if loss else None,
        "average_win": float(profit / len(won)) if won else None,
        "average_loss": -float(loss / len(lost)) if lost else None,
        "expectancy": float(pnl / len(trades)) if trades else None,
        "exit_reasons": dict(Counter(trade.exit_reason for trade in trades).most_common()),
        "exposure_ms": exposed,
        "exposure": exposed / (until - since) if since is not None and until is not None and until > since else None,
    }


def _covered(spans: Iterable[tuple[int, int]], since: int, until: int) -> int:
    """Return the time (ms) in [since, until) that lies in at least one span."""
    covered, reached = 0, since
    for begins, ends in sorted(spans):
        begins, ends = max(begins, reached), min(ends, until)
        if ends > begins:
            covered += ends - begins
            reached = ends
    return covered


def _position(engine: Engine, symbol: str, until: int | None) -> dict[str, Any]:
    """Return the row of a position open at the end. `mark_age_ms` is the age of its mark at the run's last candle."""
    ledger, protection = engine.account.ledger, engine.guard.protections.get(symbol)
    position, mark = ledger.positions[symbol], ledger.marks[symbol]
    known_at = engine.market.symbols[symbol].known_at
    return {
        "symbol": symbol,
        "quantity": float(position.quantity),
        "average_price": float(position.average_price),
        "mark": float(mark),
        "mark_age_ms": None if known_at is None or until is None else max(0, until - known_at),
        "unrealised": float(position.unrealised(mark)),
        "stop": float(protection.trigger) if protection is not None and protection.protected else None,
        "ended": symbol in engine.account.ended,
    }


def _waiting(tracked: TrackedOrder) -> dict[str, Any]:
    """Return the row of a live entry or exit at the end. A market order has no `price`."""
    order = tracked.order
    return {
        "order": str(tracked.ref),
        "symbol": order.symbol,
        "side": order.side.value,
        "quantity": float(tracked.remaining),
        "price": None if order.limit_price is None else float(order.limit_price),
        "status": tracked.status.value,
    }


def time_in_state(changes: list[tuple[int, TradingState]], since: int | None, until: int | None) -> dict[str, int]:
    """Return the simulated time (ms) in each trading state, zeros included; the sum is `until` - `since` (ms).

    `changes` has the time (ms) and the new state of each change. A run begins ACTIVE; without candles all times are 0.
    """
    spent = {state.value: 0 for state in TradingState}
    if since is None or until is None:
        return spent
    state, entered = TradingState.ACTIVE, since
    for at, after in [*changes, (until, TradingState.ACTIVE)]:
        # A command can come before the first candle has closed, or after the last.
        left = min(max(at, entered), until)
        spent[state.value] += left - entered
        state, entered = after, left
    return spent


def _flags(config: EngineConfig, counters: RunCounters) -> list[str]:
    # On spot the last price is the mark price.
    has_marks = config.live and config.product is Product.UM
    flags = [] if has_marks else ["mark=last: the market carries no mark price"]
    _, unwatched = channels_of(config.policies.gate, config.interval)
    if unwatched and config.policies.gate.every is None:
        flags.append(
            f"gate: moves over {', '.join(unwatched)} are not watched, because candles of "
            f"{span_name(config.interval)} do not measure them"
        )
    if config.product is Product.SPOT:
        return [*flags, "funding=none: spot has none"]
    if counters.assumed_stamps:
        counted = ", ".join(f"{count} of {symbol}" for symbol, count in sorted(counters.assumed_stamps.items()))
        flags.append(
            f"funding=assumed: stamps without a rate in the market: {counted}; long and short paid 0.01% at each"
        )
    silent = sorted(set(config.symbols) - counters.funded.keys() - counters.assumed_stamps.keys())
    if silent:
        flags.append(
            f"funding=assumed: the market carries no funding rates of {', '.join(silent)}; long and short pay 0.01% "
            "every 8 hours"
        )
    return flags


def sharpe(equities: list[float]) -> float | None:
    """Return the Sharpe ratio of daily returns on equity, times √365; None under ten days or for constant equity.

    Mean over sample standard deviation, riskless rate 0 (W. F. Sharpe, The Sharpe Ratio, 1994).
    """
    changes = [after / before - 1 for before, after in pairwise(equities) if before > 0]
    if len(changes) < DAYS_FOR_SHARPE:
        return None
    mean = math.fsum(changes) / len(changes)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in changes) / (len(changes) - 1))
    return mean / deviation * math.sqrt(365) if deviation > 0 else None


def _buy_and_hold(symbols: tuple[str, ...], counters: RunCounters, entry_fee: Decimal) -> float | None:
    """Return the gain of equity that is split equally over all symbols at their first opening, after the entry fee.

    The part of the equity for a symbol without candles stays cash.
    """
    opens, closes = counters.first_opens, counters.last_closes
    if not opens:
        return None
    kept = 1 - float(entry_fee)
    worth = [kept * closes[symbol] / opens[symbol] if symbol in opens else 1.0 for symbol in sorted(symbols)]
    return math.fsum(worth) / len(worth) - 1
