"""The account: its positions and equity, its trading state, and its daily loss and drawdown."""

from collections import deque
from typing import Final, Literal

import msgspec

from ocw_mcp.core.orders.ledger import Booked, Ledger, Position
from ocw_mcp.core.risk.counters import Activity, ActivityState, DailyLoss, DayState, Drawdown, DrawdownState
from ocw_mcp.domain.events import (
    DailyLossReached,
    DayOpened,
    DrawdownReached,
    EntriesPaused,
    FundingBooked,
    OutsideFilled,
    PositionClosed,
    StateChanged,
    SymbolEnded,
    TransferBooked,
)
from ocw_mcp.domain.orders import FundingPaid, OutsideFill, Side, Transferred
from ocw_mcp.domain.snapshot import TRADES_SHOWN, TradeView
from ocw_mcp.domain.state import ITSELF, Fall, Lowered, TradingState
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND, next_midnight, utc_day
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer

DAY_TIMER = Timer(TimerKind.DAY)
REPORTS_KEPT = 512
"""The number of outside fills and transfers whose names are remembered, so that each is booked once."""


class Opened(msgspec.Struct, frozen=True):
    """The author and the side of the entry that opened the last position of a symbol."""

    principal: str
    side: Side


class AccountState(msgspec.Struct):
    """An account in a saved state."""

    ledger: Ledger
    day: DayState
    drawdown: DrawdownState
    activity: ActivityState
    trades: list[TradeView]
    reported: list[str]
    day_ends: int
    trading_state: TradingState
    version: int
    funded_until: dict[str, int]
    opened: dict[str, Opened]
    lowered: Lowered | None
    ended: dict[str, int]


_SAVED_AS_THEY_ARE: Final = ("day_ends", "trading_state", "version", "funded_until", "opened", "lowered", "ended")
"""The attributes of an account that are fields of its saved state under the same name."""


class Account:
    """One account. `version` counts every change of its positions, orders and state."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._effects = effects
        self.ledger = Ledger(config.start_equity)
        self.day = DailyLoss(config.policies.daily_loss)
        self.day_ends = 0
        """The midnight (ms) at which the current day ends."""
        self._policies = config.policies
        self._slack_ms = config.policies.data.slack_s * SECOND
        self.trading_state = TradingState.ACTIVE
        self.lowered: Lowered | None = None
        """The last change to a lower trading state; None while the engine is ACTIVE."""
        self.version = 0
        self.drawdown = Drawdown(config.policies.drawdown, config.start_equity)
        strict_pace = config.strict.pace if config.strict is not None else None
        self.activity = Activity(config.policies.pace, config.policies.losses, strict_pace)
        self.trades: deque[TradeView] = deque(maxlen=TRADES_SHOWN)
        """The last closed trades, oldest first."""
        self.funded_until: dict[str, int] = {}
        """The time (ms) of each symbol's last funding."""
        self._reported: list[str] = []
        self._just_paused = False
        self.opened: dict[str, Opened] = {}
        """The opener of each symbol's last position, until it closes that position or decides again while flat."""
        self.ended: dict[str, int] = {}
        """The symbols without further candles, and the time (ms) at which the last candle of each closed."""

    def open_day(self, at: int) -> None:
        """Begin the UTC day of `at` (ms) with the present equity.

        The day ends with the candles that close at its midnight. If none come, a timer ends it after the time at which
        they would be stale, because a live candle is known some time after its close.
        """
        equity = self.ledger.equity()
        day = utc_day(at)
        self.day.open(day, equity)
        self.activity.open_day()
        self.day_ends = next_midnight(at)
        self._effects.record(DayOpened(day, equity))
        self._effects.set_timer(DAY_TIMER, self.day_ends + self._slack_ms)

    def watch(self) -> str:
        """Check equity after a change of prices or positions. Return why entries are cancelled; empty within limits."""
        equity = self.ledger.equity()
        why = "too many trades lost in a row" if self._just_paused else ""
        self._just_paused = False
        if self.drawdown.passes(equity):
            self._effects.record(DrawdownReached(equity, self.drawdown.state().watched))
            why = "the drawdown limit is reached"
            self.change_state(TradingState.HALTED, why)
        if self.day.watch(equity):
            self._effects.record(DailyLossReached(self.day.today.day, equity, self.day.floor))
            why = why or "the daily loss limit is reached"
        if self.activity.state().fees_today >= self._policies.pace.max_fees * self.day.today.opening > 0:
            why = why or "today's fees have reached their limit"
        return why

    def close_trade(self, closed: Position, closing: Side, now: int) -> None:
        """Journal a closed position as a trade; `closing` is the side that closed it. Losses in a row pause entries."""
        mfe, mae = (round(each, 6) for each in closed.excursions())
        self._effects.record(
            PositionClosed(closed.symbol, closed.opened_at, closed.pnl, closed.fees, closed.funding, mfe, mae)
        )
        side: Literal["long", "short"] = "short" if closing is Side.BUY else "long"
        self.trades.append(TradeView(closed.symbol, side, closed.opened_at, now, closed.pnl))
        if self.activity.closed(closed.symbol, closed.pnl, now):
            self._effects.record(EntriesPaused(self.activity.state().paused_until))
            self._just_paused = True

    def book_outside_fill(self, fill: OutsideFill, now: int) -> Booked | None:
        """Book a trade that no order of this engine made, once; None if it was booked before."""
        if not self._first_time(f"fill {fill.symbol} {fill.fill_id}"):
            return None
        self.version += 1
        booked = self.ledger.book(fill.symbol, fill.side, fill.quantity, fill.price, fill.fee, now)
        self.activity.filled(fill.quantity * fill.price, fill.fee)
        self._effects.record(
            OutsideFilled(
                fill_id=fill.fill_id,
                symbol=fill.symbol,
                side=fill.side,
                quantity=fill.quantity,
                price=fill.price,
                fee=fill.fee,
                traded_at=fill.at,
                cause=fill.cause,
                realised=booked.realised,
                position=booked.position,
            )
        )
        if booked.closed is not None:
            self.close_trade(booked.closed, fill.side, now)
        return booked

    def book_funding(self, paid: FundingPaid) -> bool:
        """Book one funding settlement, once: a venue may report it again. Return whether it was booked."""
        if paid.at <= self.funded_until.get(paid.symbol, -1):
            return False
        self.funded_until[paid.symbol] = paid.at
        self.version += 1
        self.ledger.fund(paid.symbol, paid.amount)
        self._effects.record(
            FundingBooked(
                symbol=paid.symbol,
                amount=paid.amount,
                rate=paid.rate,
                quantity=paid.quantity,
                mark=paid.mark,
                settled_at=paid.at,
                assumed=paid.assumed,
            )
        )
        return True

    def forget_opener(self, symbol: str, principal: str) -> None:
        """Forget the opener of a symbol's position, if the principal that closed it is the one that opened it."""
        opened = self.opened.get(symbol)
        if opened is not None and opened.principal == principal:
            del self.opened[symbol]

    def forget_closed_openers(self) -> None:
        """Forget the openers of closed positions: the agent has decided again and knows that the symbols are flat."""
        self.opened = {symbol: opened for symbol, opened in self.opened.items() if symbol in self.ledger.positions}

    def end(self, symbol: str, last: int) -> None:
        """Note that no candle of a symbol comes after the one that closed at `last` (ms)."""
        self.ended[symbol] = last
        self._effects.record(SymbolEnded(symbol, last))

    def book_transfer(self, transfer: Transferred) -> bool:
        """Book a deposit or withdrawal, once. Return whether it was booked.

        The loss of the day and the drawdown, as shares, are the same after it as before, as in the time-weighted return
        of a fund. An account that was emptied begins anew with its next deposit.
        """
        if not self._first_time(f"transfer {transfer.transfer_id}"):
            return False
        self.version += 1
        before = self.ledger.equity()
        self.ledger.transfer(transfer.amount)
        after = self.ledger.equity()
        if before > 0 and after > 0:
            self.day.rescale(after / before)
            self.drawdown.rescale(after / before)
        else:
            self.day.open(self.day.today.day, after)
            self.drawdown = Drawdown(self._policies.drawdown, after)
        self._effects.record(TransferBooked(transfer.transfer_id, transfer.amount, transfer.at))
        return True

    def _first_time(self, name: str) -> bool:
        """Return whether the venue reports a name for the first time, among the remembered names."""
        if name in self._reported:
            return False
        self._reported = [*self._reported[1 - REPORTS_KEPT :], name]
        return True

    def resume(self, by: str) -> None:
        """Allow new risk again, by an operator. A drawdown beyond its limit is measured from the present equity."""
        if self.trading_state is not TradingState.ACTIVE:
            self.drawdown.resume(self.ledger.equity())
            self.change_state(TradingState.ACTIVE, f"resumed by {by}")

    def fall(self) -> Fall:
        """Return the fall of equity from the peak of the drawdown limit."""
        equity, watched = self.ledger.equity(), self.drawdown.state().watched
        limit = self._policies.drawdown.max_share
        return Fall(equity, watched, self.drawdown.fall(equity), limit, self.drawdown.beyond(equity))

    def halt(self, by: str, reason: str) -> None:
        """Halt the engine, by an operator or a client, with a reason if one is given."""
        if self.trading_state is not TradingState.HALTED:
            self.change_state(TradingState.HALTED, f"halted by {by}")
            self.lowered = Lowered(by, self._effects.now, reason)

    def change_state(self, to: TradingState, why: str) -> None:
        """Change the trading state, unless it is the same."""
        if self.trading_state is not to:
            self._effects.record(StateChanged(self.trading_state, to, why))
            self.trading_state = to
            self.lowered = None if to is TradingState.ACTIVE else Lowered(ITSELF, self._effects.now, why)
            self.version += 1

    def state(self) -> AccountState:
        """Return all that must survive a restart."""
        return AccountState(
            ledger=self.ledger,
            day=self.day.state(),
            drawdown=self.drawdown.state(),
            activity=self.activity.state(),
            trades=list(self.trades),
            reported=self._reported,
            **{name: getattr(self, name) for name in _SAVED_AS_THEY_ARE},
        )

    def restore(self, state: AccountState, /) -> None:
        """Restore a state that `state` returned."""
        self.ledger = state.ledger
        self.day.restore(state.day)
        self.drawdown.restore(state.drawdown)
        self.activity.restore(state.activity)
        self.trades.extend(state.trades)
        self._reported = state.reported
        for name in _SAVED_AS_THEY_ARE:
            setattr(self, name, getattr(state, name))
