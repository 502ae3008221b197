"""The account: what it holds, what it is worth, what state the desk is in, and how the day goes."""

from collections import deque
from typing import Final, Literal

import msgspec

from ocw_mcp.core.orders.ledger import Booked, Ledger, LedgerState, Position
from ocw_mcp.core.risk.activity import Activity, ActivityState
from ocw_mcp.core.risk.equity import DailyLoss, DayState, Drawdown, DrawdownState
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
TOLD_KEPT = 512
"""Outside fills and transfers whose names are remembered, so that each is booked once."""


class Opened(msgspec.Struct, frozen=True):
    """Who opened the last position of a symbol, and which way."""

    principal: str
    side: Side


class AccountState(msgspec.Struct):
    """An account, to be restored."""

    ledger: LedgerState
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
"""Attributes of an account that are fields of its saved state."""


class Account:
    """One account. `version` counts every change of what it holds."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._effects = effects
        self.ledger = Ledger(config.start_equity)
        self.day = DailyLoss(config.policies.daily_loss)
        self.day_ends = 0
        """The midnight (ms) with which the day under way ends."""
        self._policies = config.policies
        self._slack_ms = config.policies.data.slack_s * SECOND
        self.trading_state = TradingState.ACTIVE
        self.lowered: Lowered | None = None
        """None while the desk is ACTIVE."""
        self.version = 0
        self.drawdown = Drawdown(config.policies.drawdown, config.start_equity)
        self.activity = Activity(config.policies.pace, config.policies.losses)
        self.trades: deque[TradeView] = deque(maxlen=TRADES_SHOWN)
        """The last closed ones, oldest first."""
        self.funded_until: dict[str, int] = {}
        """The stamp (ms) of each symbol's last funding."""
        self._reported: list[str] = []
        self._just_paused = False
        self.opened: dict[str, Opened] = {}
        """By symbol, until whoever opened it is done with it."""
        self.ended: dict[str, int] = {}
        """Symbols of which no candle comes any more, and when (ms) the last one of each closed."""

    def open_day(self, at: int) -> None:
        """Begin the UTC day of `at` (ms) with the equity of this moment.

        It ends with the candles that close at its midnight. Where none come, the timer ends it, once they would be
        stale: live, a candle is known somewhat later than it closes.
        """
        equity = self.ledger.equity()
        day = utc_day(at)
        self.day.open(day, equity)
        self.activity.open_day()
        self.day_ends = next_midnight(at)
        self._effects.record(DayOpened(day, equity))
        self._effects.set_timer(DAY_TIMER, self.day_ends + self._slack_ms)

    def watch(self) -> str:
        """Follow equity after prices or holdings moved; why entries have to be cancelled, when that reached a limit."""
        equity = self.ledger.equity()
        why = "too many trades lost in a row" if self._just_paused else ""
        self._just_paused = False
        if self.drawdown.passes(equity):
            self._effects.record(DrawdownReached(equity, self.drawdown.state().watched))
            why = "the drawdown limit is reached"
            self.go(TradingState.HALTED, why)
        if self.day.watch(equity):
            self._effects.record(DailyLossReached(self.day.today.day, equity, self.day.today.floor))
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

    def done_with(self, symbol: str, principal: str) -> None:
        """A position was closed on somebody's order: who opened it himself has no view of the symbol any more."""
        opened = self.opened.get(symbol)
        if opened is not None and opened.principal == principal:
            del self.opened[symbol]

    def decided_anew(self) -> None:
        """The agent has looked at everything: where nothing is held, it means that."""
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
        """Return whether the venue reports this for the first time, among those that are remembered."""
        if name in self._reported:
            return False
        self._reported = [*self._reported[1 - TOLD_KEPT :], name]
        return True

    def resume(self, by: str) -> None:
        """A person lets the desk take new risk again; a fall that would halt it at once is measured anew from here."""
        if self.trading_state is not TradingState.ACTIVE:
            self.drawdown.resume(self.ledger.equity())
            self.go(TradingState.ACTIVE, f"resumed by {by}")

    def fall(self) -> Fall:
        """The fall of equity from the peak that the limit is held against."""
        equity, watched = self.ledger.equity(), self.drawdown.state().watched
        limit = self._policies.drawdown.max_share
        return Fall(equity, watched, self.drawdown.fall(equity), limit, self.drawdown.beyond(equity))

    def halt(self, by: str, reason: str) -> None:
        """Somebody halts the desk, for a reason of theirs, if they give one."""
        if self.trading_state is not TradingState.HALTED:
            self.go(TradingState.HALTED, f"halted by {by}")
            self.lowered = Lowered(by, self._effects.now, reason)

    def go(self, to: TradingState, why: str) -> None:
        """Change the desk's state, if it is not there yet."""
        if self.trading_state is not to:
            self._effects.record(StateChanged(self.trading_state, to, why))
            self.trading_state = to
            self.lowered = None if to is TradingState.ACTIVE else Lowered(ITSELF, self._effects.now, why)
            self.version += 1

    def state(self) -> AccountState:
        """Return all that must survive a restart."""
        return AccountState(
            ledger=self.ledger.state(),
            day=self.day.state(),
            drawdown=self.drawdown.state(),
            activity=self.activity.state(),
            trades=list(self.trades),
            reported=self._reported,
            **{name: getattr(self, name) for name in _SAVED_AS_THEY_ARE},
        )

    def restore(self, state: AccountState, /) -> None:
        """Take back what `state` returned."""
        self.ledger.restore(state.ledger)
        self.day.restore(state.day)
        self.drawdown.restore(state.drawdown)
        self.activity.restore(state.activity)
        self.trades.extend(state.trades)
        self._reported = state.reported
        for name in _SAVED_AS_THEY_ARE:
            setattr(self, name, getattr(state, name))
