"""The account: what it holds, what it is worth, what state the desk is in, and how the day goes."""

from collections import deque
from decimal import Decimal

import msgspec

from ocw_mcp.core.orders.ledger import Ledger, LedgerState
from ocw_mcp.core.risk.day import DailyLoss, DayState
from ocw_mcp.domain.events import DailyLossReached, DayOpened, StateChanged
from ocw_mcp.domain.snapshot import TRADES_SHOWN, TradeView
from ocw_mcp.domain.state import DeskState
from ocw_mcp.domain.time import SECOND, next_midnight, utc_day
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.out import Out

DAY_TIMER = "day"


class AccountState(msgspec.Struct):
    """An account, to be restored."""

    ledger: LedgerState
    day: DayState
    day_ends: int
    desk_state: DeskState
    version: int
    peak: Decimal
    max_drawdown: Decimal
    trades: list[TradeView]
    funded_until: dict[str, int]


class Account:
    """One account. `version` counts every change of what it holds."""

    def __init__(self, config: EngineConfig, out: Out) -> None:
        self._out = out
        self.ledger = Ledger(config.start_equity)
        self.day = DailyLoss(config.policies.daily_loss)
        self.day_ends = 0
        """The midnight (ms) with which the day under way ends."""
        self._slack_ms = config.policies.data.slack_s * SECOND
        self.desk_state = DeskState.ACTIVE
        self.version = 0
        self.peak = config.start_equity
        self.max_drawdown = Decimal(0)
        """The deepest fall of equity from its peak so far, as a share of the peak."""
        self.trades: deque[TradeView] = deque(maxlen=TRADES_SHOWN)
        """The last closed ones, oldest first."""
        self.funded_until: dict[str, int] = {}
        """The stamp (ms) of each symbol's last funding."""

    def open_day(self, at: int) -> None:
        """Begin the UTC day of `at` (ms) with the equity of this moment.

        It ends with the candles that close at its midnight. Where none come, the timer ends it, once they would be
        stale: live, a candle is known somewhat later than it closes.
        """
        equity = self.ledger.equity()
        day = utc_day(at)
        self.day.open(day, equity)
        self.day_ends = next_midnight(at)
        self._out.record(DayOpened(day, equity))
        self._out.set_timer(DAY_TIMER, self.day_ends + self._slack_ms)

    def watch(self) -> bool:
        """Follow equity after prices or holdings moved; True when that reached the daily loss limit."""
        equity = self.ledger.equity()
        if equity > self.peak:
            self.peak = equity
        elif self.peak > 0:
            self.max_drawdown = max(self.max_drawdown, (self.peak - equity) / self.peak)
        if not self.day.watch(equity):
            return False
        self._out.record(DailyLossReached(self.day.today.day, equity, self.day.today.floor))
        return True

    def go(self, to: DeskState, why: str) -> None:
        """Change the desk's state, if it is not there yet."""
        if self.desk_state is not to:
            self._out.record(StateChanged(self.desk_state, to, why))
            self.desk_state = to
            self.version += 1

    def state(self) -> AccountState:
        """All that must survive a restart."""
        return AccountState(
            self.ledger.state(),
            self.day.today,
            self.day_ends,
            self.desk_state,
            self.version,
            self.peak,
            self.max_drawdown,
            list(self.trades),
            self.funded_until,
        )

    def restore(self, state: AccountState) -> None:
        """Put back what `state` gave."""
        self.ledger.restore(state.ledger)
        self.day.today = state.day
        self.day_ends = state.day_ends
        self.desk_state = state.desk_state
        self.version = state.version
        self.peak = state.peak
        self.max_drawdown = state.max_drawdown
        self.trades.extend(state.trades)
        self.funded_until = state.funded_until
