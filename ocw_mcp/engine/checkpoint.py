"""An engine's saved state for a restart."""

import msgspec

from ocw_mcp.core.gate.gate import GateState
from ocw_mcp.core.market.market import SymbolState
from ocw_mcp.core.risk.budget import BudgetState
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.steps import Timer
from ocw_mcp.engine.account import AccountState
from ocw_mcp.engine.approvals import ApprovalsState
from ocw_mcp.engine.decisions import DecisionsState
from ocw_mcp.engine.exits import ExitsState
from ocw_mcp.engine.idempotency import SavedAnswer
from ocw_mcp.engine.leg_executor import ManualControl
from ocw_mcp.engine.order_manager import OrderManagerState
from ocw_mcp.engine.protection import GuardState
from ocw_mcp.engine.run_counters import RunCounters

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
    manual_control: ManualControl
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
