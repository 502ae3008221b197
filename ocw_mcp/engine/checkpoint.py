"""An engine's saved state for a restart, and its summary for the operator."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ocw_mcp.core.gate.gate import GateState
from ocw_mcp.core.market.market import SymbolState
from ocw_mcp.core.risk.counters import BudgetState
from ocw_mcp.core.risk.sizes import exposure_scale
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.money import exact, plain
from ocw_mcp.domain.steps import Timer
from ocw_mcp.engine.account import Account, AccountState
from ocw_mcp.engine.approvals import Approvals, ApprovalsState
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.decisions import DecisionsState
from ocw_mcp.engine.exits import ExitsState
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import SavedAnswer
from ocw_mcp.engine.manual_control import ManualControlState
from ocw_mcp.engine.order_manager import OrderManagerState
from ocw_mcp.engine.protection import GuardState
from ocw_mcp.engine.run_counters import RunCounters
from ocw_mcp.engine.snapshot import positions

ENGINE_FORMAT = 15
"""The version of the saved state. It increases when a field changes its name or meaning; older states are refused."""


class EngineState(msgspec.Struct):
    """The state of each part of the engine, by the name of the part, as of the end of one frame."""

    format: int
    market: dict[str, SymbolState]
    gate: GateState
    order_books: dict[str, OrderBook]
    account: AccountState
    manager: OrderManagerState
    guard: GuardState
    exits: ExitsState
    decisions: DecisionsState
    budget: BudgetState
    approvals: ApprovalsState
    manual_control: ManualControlState
    answers: list[SavedAnswer]
    commands: list[str]
    counters: RunCounters
    timers: dict[Timer, int]
    time: int


class _Format(msgspec.Struct):
    format: int


def read_checkpoint(state: bytes) -> EngineState:
    """Return a saved engine. Raises ValueError, msgspec's own among them, for one that another version saved."""
    found = msgspec.msgpack.decode(state, type=_Format).format
    if found != ENGINE_FORMAT:
        raise ValueError(f"it has format {found}, expected {ENGINE_FORMAT}")
    return msgspec.msgpack.decode(state, type=EngineState)


def summary(
    config: EngineConfig,
    account: Account,
    guard: Guard,
    gate: GateState,
    counters: RunCounters,
    limits: list[dict[str, str]],
    approvals: Approvals,
    manual_control: ManualControlState,
    prices: Mapping[str, float],
    now: int,
) -> dict[str, Any]:
    """Return the state, equity, positions, counters and usage of limits at `now` (ms).

    Money is text, so that it survives JSON.
    """
    equity = account.ledger.equity()

    return {
        "at": now,
        "state": account.trading_state.value,
        "lowered": msgspec.to_builtins(account.lowered),
        "equity": plain(equity),
        "wallet": plain(account.ledger.wallet),
        "fees": plain(account.ledger.fees),
        "funding": plain(account.ledger.funding),
        "day": account.day.today.day,
        "daily_loss": plain(round(account.day.loss(equity), 6)),
        "daily_loss_reached": account.day.today.reached,
        "drawdown": msgspec.to_builtins(account.fall()),
        "prices": {symbol: plain(exact(price)) for symbol, price in prices.items()},
        "positions": [
            {
                "symbol": view.symbol,
                "quantity": plain(view.quantity),
                "average_price": plain(round(view.average_price, 8)),
                "mark": plain(view.mark),
                "unrealised": plain(round(view.unrealised, 8)),
                "stop": plain(view.stop) if view.stop is not None else None,
                "protected": view.stop is not None,
            }
            for view in positions(account, guard)
        ],
        "policies": {"name": config.policies.name, "hash": config.policy_hash},
        "limits": limits,
        "scale": plain(exposure_scale(config.policies.scale)),
        "agent": {
            "name": config.agent,
            "paused_by": manual_control.paused_by,
            "held": dict(sorted(manual_control.held.items())),
        },
        "approvals": approvals.summary(),
        "paused_until": paused if (paused := account.activity.state().paused_until) > now else None,
        "candles": counters.candles,
        "stale_candles": counters.stale_candles,
        "evaluations": gate.evaluations,
        "skips": dict(sorted(gate.skips.items())),
    }
