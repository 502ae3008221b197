"""An engine's saved state for a restart, with the counters of the report that the journal does not contain."""

import msgspec

from ocw_mcp.core.gate.gate import GateState
from ocw_mcp.core.market.market import SymbolState
from ocw_mcp.core.risk.counters import BudgetState
from ocw_mcp.domain.market import Candle, OrderBook
from ocw_mcp.domain.orders import FundingPaid
from ocw_mcp.domain.snapshot import encode_sizes
from ocw_mcp.domain.steps import Timer
from ocw_mcp.engine.account import AccountState
from ocw_mcp.engine.approvals import ApprovalsState
from ocw_mcp.engine.decisions import DecisionsState
from ocw_mcp.engine.exits import ExitsState
from ocw_mcp.engine.idempotency import SavedAnswer
from ocw_mcp.engine.learning import LearningState
from ocw_mcp.engine.leg_executor import ManualControl
from ocw_mcp.engine.live import LiveState
from ocw_mcp.engine.near_exits import NearExitsState
from ocw_mcp.engine.order_manager import OrderManagerState
from ocw_mcp.engine.outlook import OutlookState
from ocw_mcp.engine.protection import GuardState
from ocw_mcp.engine.since_state import SinceState

ENGINE_FORMAT = 24
"""The version of the saved state. It increases when a field changes its name or meaning; older states are refused."""


class RunCounters(msgspec.Struct):
    """Counters of one book. Times in ms, prices in quote currency."""

    began_at: int | None = None
    ran_to: int | None = None
    """The time of the last frame before the last clean stop; a killed run does not change this time."""
    warmed_until: int = -1
    """The time of the last history frame. A candle that opened at or before this time is not counted."""
    candles: int = 0
    stale_candles: int = 0
    """The number of late or repeated candles, which changed nothing."""
    holes: int = 0
    first_open_time: int | None = None
    last_close_time: int | None = None
    first_opens: dict[str, float] = {}
    last_closes: dict[str, float] = {}

    funded: dict[str, int] = {}
    """The time (ms) of the first funding rate of each symbol that has rates."""

    assumed_stamps: dict[str, int] = {}
    """The number of funding settlements of each symbol at an assumed rate."""

    hashes: tuple[str, str] = ("", "")
    """The hashes of the policies and the prompts of the last start."""

    def paid(self, paid: FundingPaid) -> None:
        """Count a funding settlement if its rate is assumed."""
        if paid.assumed:
            self.assumed_stamps[paid.symbol] = self.assumed_stamps.get(paid.symbol, 0) + 1

    def closed(self, candle: Candle) -> None:
        """Count a candle."""
        self.candles += 1
        symbol = candle.symbol
        self.last_close_time = candle.open_time + candle.interval
        self.last_closes[symbol] = candle.close
        if symbol not in self.first_opens:
            self.first_opens[symbol] = candle.open
            if self.first_open_time is None or candle.open_time < self.first_open_time:
                self.first_open_time = candle.open_time


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
    near_exits: NearExitsState
    decisions: DecisionsState
    since: SinceState
    learning: LearningState
    budget: BudgetState
    outlook: OutlookState
    approvals: ApprovalsState
    manual_control: ManualControl
    answers: list[SavedAnswer]
    commands: list[str]
    counters: RunCounters
    live: LiveState
    timers: dict[Timer, int]
    time: int


class _Format(msgspec.Struct):
    format: int


def write_checkpoint(state: EngineState) -> bytes:
    """Encode an engine's state."""
    return msgspec.msgpack.encode(state, enc_hook=encode_sizes)


def read_checkpoint(state: bytes) -> EngineState:
    """Decode an engine's saved state. Raises ValueError if another version saved it or it is invalid."""
    found = msgspec.msgpack.decode(state, type=_Format).format
    if found != ENGINE_FORMAT:
        raise ValueError(f"the state has format {found}, expected {ENGINE_FORMAT}")
    return msgspec.msgpack.decode(state, type=EngineState)
