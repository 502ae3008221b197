"""The current state of an engine as `ocw status` shows it."""

from typing import Any

import msgspec

from ocw_mcp.domain.money import exact, plain
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.snapshot import positions, summary_of
from ocw_mcp.engine.step import Engine


def _exchange(engine: Engine) -> dict[str, Any]:
    """Return the account at the exchange as far as entries depend on it, with its balances."""
    known = engine.account.exchange
    return {
        "refuses_entries": known.objection(),
        "busy_until": known.busy_until if known.busy_until > engine.now else None,
        "seen_at": known.seen_at if known.found else None,
        "balances": {each.asset: plain(each.total) for each in known.balances if each.total},
        "adopted": list(known.adopted),
        "not_in_the_books": {symbol: plain(quantity) for symbol, quantity in sorted(known.elsewhere.items())},
        "orders_of_others": len(known.foreign),
    }


def _outlook(engine: Engine) -> dict[str, Any]:
    """Return why the size limits have their scale, and the extreme derivatives readings by symbol."""
    outlook, now = engine.account.outlook, engine.now
    moods = {"regime": outlook.regime(now), "macro": outlook.macro(now)}
    views = {symbol: market.derivatives_view(now) for symbol, market in engine.market.symbols.items()}
    return {
        "scale_reason": outlook.scale_reason(now),
        "unknown": {name: each.reason for name, each in moods.items() if isinstance(each, Unknown)},
        "extremes": {symbol: list(view.extremes) for symbol, view in views.items() if view.extremes},
    }


def summary(engine: Engine) -> dict[str, Any]:
    """Return the current state of an engine, ready for JSON: money is text."""
    account, counters, manual = engine.account, engine.counters, engine.executor.manual_control
    equity, paused_until = account.ledger.equity(), account.activity.state().paused_until
    return {
        "at": engine.now,
        "state": account.trading_state.value,
        "lowered": msgspec.to_builtins(account.lowered),
        "equity": plain(equity),
        "wallet": plain(account.ledger.wallet),
        "fees": plain(account.ledger.fees),
        "funding": plain(account.ledger.funding),
        "day": account.day.today.day,
        "daily_loss": plain(round(account.day.loss(equity), 6)) if account.day.today.opening else "0",
        "daily_loss_reached": account.day.today.reached,
        "drawdown": msgspec.to_builtins(account.fall()),
        "prices": {symbol: plain(exact(price)) for symbol, price in engine.market.prices().items()},
        "positions": [summary_of(view) for view in positions(engine.guard)],
        "policies": {"name": engine.config.policies.name, "hash": engine.config.policy_hash},
        "limits": engine.limit_usage(),
        "scale": plain(account.outlook.scale(engine.now)),
        "outlook": _outlook(engine),
        "agent": {
            "name": engine.config.agent,
            "paused_by": manual.paused_by,
            "held": dict(sorted(manual.held.items())),
        },
        "approvals": engine.approvals.summary(),
        "paused_until": paused_until if paused_until > engine.now else None,
        "degraded": engine.degraded,
        "exchange": _exchange(engine) if engine.config.on_exchange else None,
        "candles": counters.candles,
        "stale_candles": counters.stale_candles,
        "evaluations": engine.gate.counters.evaluations,
        "skips": dict(sorted(engine.gate.counters.skips.items())),
    }
