"""The account: its positions and equity, its trading state, and its daily loss and drawdown."""

from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ocw_mcp.core.orders.ledger import Booked, Ledger, Position
from ocw_mcp.core.risk.counters import Activity, ActivityState, DailyLoss, DayState, Drawdown, DrawdownState
from ocw_mcp.domain import events
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import Filled, FundingPaid, OutsideCause, OutsideFill, Side, Transferred
from ocw_mcp.domain.snapshot import TRADES_SHOWN, TradeView
from ocw_mcp.domain.state import ITSELF, Fall, Lowered, TradingState
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import SECOND, next_midnight, utc_day
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.exchange_account import ExchangeAccount
from ocw_mcp.engine.outlook import Outlook

REPORTS_KEPT = 2_048


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
    exchange: ExchangeAccount
    began_with: Decimal


_PARTS: Final = ("day", "drawdown", "activity")
"""The parts of the account with a `state` method; every other field of AccountState is an attribute of Account."""


def charged_of(fill: Filled | OutsideFill) -> dict[str, Any]:
    """Return what the ledger needs to know about the asset in which the fee of a fill was charged."""
    return {"base_fee": fill.base_fee, "fee_asset": fill.fee_asset, "fee_amount": fill.fee_amount}


class CalmEquity(NamedTuple):
    """The range of equity (quote) that needs no watch while only prices change, at a version of the account."""

    lowest: Decimal
    highest: Decimal
    version: int


class Account:
    """One account; `version` counts the changes of its positions, orders and trading state."""

    def __init__(self, config: EngineConfig, effects: EffectBuffer) -> None:
        self._effects = effects
        self._policies = config.policies
        self.began_with = ZERO if config.on_exchange else config.start_equity
        """The equity (quote) with which the book began."""
        self._on_exchange = config.on_exchange
        self.exchange = ExchangeAccount(read=not config.on_exchange)
        self.ledger = Ledger(self.began_with)
        self.outlook = Outlook(config, effects)
        self.day = DailyLoss(config.policies.daily_loss)
        self.day_ends = 0
        """The midnight (ms) at which the current day ends."""
        self.drawdown = Drawdown(config.policies.drawdown, self.began_with)
        strict_pace = config.strict.pace if config.strict is not None else None
        self.activity = Activity(config.policies.pace, config.policies.losses, strict_pace)
        self.trading_state = TradingState.ACTIVE
        self.lowered: Lowered | None = None
        """The last change to a lower trading state; None while the engine is ACTIVE."""
        self.version = 0
        self.trades: list[TradeView] = []
        """The last closed trades, oldest first."""
        self.funded_until: dict[str, int] = {}
        """The time (ms) of each symbol's last funding."""
        self.reported: list[str] = []
        """The names of the last outside fills, fundings and transfers, so that each is booked once."""
        self._just_paused = False
        self._calm: CalmEquity | None = None
        self.opened: dict[str, Opened] = {}
        """The opener of each symbol's last position, until it closes that position or decides again while flat."""
        self.ended: dict[str, int] = {}
        """The symbols without further candles, and the time (ms) at which the last candle of each closed."""

    def open_day(self, at: int) -> None:
        """Begin the UTC day of `at` (ms) with the present equity.

        The day ends with the candles that close at the next midnight, or by a timer if these candles are late.
        """
        equity = self.ledger.equity()
        self._calm = None
        day = utc_day(at)
        self.day.open(day, equity)
        self.activity.open_day()
        self.day_ends = next_midnight(at)
        self._effects.record(events.DayOpened(day, equity))
        self._effects.set_timer(Timer(TimerKind.DAY), self.day_ends + self._policies.data.slack_s * SECOND)

    def pass_midnight(self, at: int, *, has_candles: bool) -> None:
        """Begin the next day with a frame at `at` (ms), after the end of the present day.

        If only prices come long after midnight, the candles of an outage follow. They, or the timer, begin the day.
        """
        if has_candles or at <= self.day_ends + self._policies.data.slack_s * SECOND:
            self.open_day(at - 1)

    def watch(self) -> str:
        """Compare equity and fees with their limits. Return the reason to cancel live entries; empty if none.

        Until the account at an exchange is known there is no equity, and nothing is compared. An account that had
        nothing, and has nothing, has lost nothing.
        """
        if self._on_exchange and not self.exchange.found:
            return ""
        equity = self.ledger.equity()
        if not (equity or self.day.today.opening or self.drawdown.state().watched):
            return ""
        why = "too many trades lost in a row" if self._just_paused else ""
        self._just_paused = False
        if self.drawdown.passes(equity):
            self._effects.record(events.DrawdownReached(equity, self.drawdown.state().watched))
            why = "the drawdown limit is reached"
            self.change_state(TradingState.HALTED, why)
        if self.day.watch(equity):
            self._effects.record(events.DailyLossReached(self.day.today.day, equity, self.day.floor))
            why = why or "the daily loss limit is reached"
        if self.activity.state().fees_today >= self._policies.pace.max_fees * self.day.today.opening > 0:
            why = why or "today's fees have reached their limit"
        # Between the lowest equity that was watched and the peaks, no limit is reached and no peak changes.
        calm, peaks = self._calm, self.drawdown.state()
        lowest = equity if calm is None or equity > calm.highest else min(equity, calm.lowest)
        self._calm = None if why else CalmEquity(lowest, min(peaks.peak, peaks.watched), self.version)
        return why

    def watch_prices(self) -> str:
        """Do the same as `watch` after a change of mark prices only, but nothing at an equity that needs no watch."""
        calm = self._calm
        if calm is not None and calm.version == self.version and calm.lowest <= self.ledger.equity() <= calm.highest:
            return ""
        return self.watch()

    def see(self, candle: Candle, last: Reading) -> None:
        """Value the position of a candle's symbol at the price `last` (quote), and extend its range by the candle."""
        symbol, close = candle.symbol, candle.close
        self.ledger.mark(symbol, exact(close if isinstance(last, Unknown) else last))
        # A position that was opened or enlarged within the candle was not exposed to all of its range, and the part
        # that it was exposed to is unknown.
        position = self.ledger.positions[symbol]
        partly = position.opened_at > candle.open_time or position.added_at > candle.open_time
        position.see(close if partly else candle.low, close if partly else candle.high)

    def close_trade(self, closed: Position, closing: Side, now: int) -> None:
        """Journal a closed position as a trade; `closing` is the side of its exit. Repeated losses pause entries."""
        symbol, opened_at, pnl = closed.symbol, closed.opened_at, closed.pnl
        shares = (round(each, 6) for each in closed.excursions())
        self._effects.record(events.PositionClosed(symbol, opened_at, pnl, closed.fees, closed.funding, *shares))
        side: Literal["long", "short"] = "short" if closing is Side.BUY else "long"
        self.trades = [*self.trades, TradeView(symbol, side, opened_at, now, pnl)][-TRADES_SHOWN:]
        if self.activity.closed(symbol, pnl, now):
            self._effects.record(events.EntriesPaused(self.activity.state().paused_until))
            self._just_paused = True

    def book_outside_fill(self, fill: OutsideFill, now: int) -> Booked | None:
        """Book a trade that no order of this engine made; return None if the trade was booked before."""
        if not self.first_fill(fill.symbol, fill.fill_id):
            return None
        self.version += 1
        booked = self.ledger.book(fill.symbol, fill.side, fill.quantity, fill.price, fill.fee, now, **charged_of(fill))
        if fill.cause is not OutsideCause.FOUND:
            self.activity.filled(fill.quantity * fill.price, fill.fee)
        values = msgspec.structs.asdict(fill)
        values |= {"traded_at": values.pop("at"), "realised": booked.realised, "position": booked.position}
        self._effects.record(events.OutsideFilled(**values))
        if booked.closed is not None:
            self.close_trade(booked.closed, fill.side, now)
        return booked

    def book_funding(self, paid: FundingPaid) -> bool:
        """Book a funding settlement. Return False if it was booked before, because a venue may repeat its report.

        The venue's transaction id identifies a settlement; without one, the symbol's time of the last one does.
        """
        last = self.funded_until.get(paid.symbol, -1)
        if paid.transaction_id:
            if not self._first_time(f"funding {paid.symbol} {paid.transaction_id}"):
                return False
        elif paid.at <= last:
            return False
        self.funded_until[paid.symbol] = max(last, paid.at)
        self.version += 1
        self.ledger.fund(paid.symbol, paid.amount)
        self._effects.record(events.FundingBooked(*msgspec.structs.astuple(paid)))
        return True

    def forget_closed_openers(self) -> None:
        """Forget who opened closed positions: the agent has decided again and knows that these symbols are flat."""
        self.opened = {symbol: opened for symbol, opened in self.opened.items() if symbol in self.ledger.positions}

    def book_transfer(self, transfer: Transferred) -> bool:
        """Book a deposit or withdrawal. Return False if it was booked before.

        A transfer changes neither the daily loss nor the drawdown in percent, as in a fund's time-weighted return.
        If equity is 0 or less before or after a transfer, daily loss and drawdown are measured from the new equity.
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
        self._calm = None
        self._effects.record(events.TransferBooked(*msgspec.structs.astuple(transfer)))
        return True

    def begin(self, deposit: Transferred) -> None:
        """Book the balance with which the book of an exchange account begins; all losses are measured from here."""
        if deposit.amount:
            self.book_transfer(deposit)
        self.began_with = equity = self.ledger.equity()
        self.day.open(self.day.today.day, equity)
        self.drawdown = Drawdown(self._policies.drawdown, equity)
        self._calm = None

    def first_fill(self, symbol: str, fill_id: str) -> bool:
        """Note that a trade is booked. Return False if it was: an exchange numbers the trades of each symbol."""
        return self._first_time(f"fill {symbol} {fill_id}")

    def booked_before(self, symbol: str, fill: Filled) -> bool:
        """Return whether a trade of an order was booked before, as one of others; report that. Else note the trade.

        The adapter may take an order for one of others until the exchange shows more of it.
        """
        if not self._on_exchange or self.first_fill(symbol, fill.fill_id):
            return False
        self.version += 1
        text = f"trade {fill.fill_id} of {symbol} was booked as one of others, but is of order {fill.ref}"
        self._effects.record(events.Incident(text))
        return True

    def _first_time(self, name: str) -> bool:
        if name in self.reported:
            return False
        self.reported = [*self.reported[1 - REPORTS_KEPT :], name]
        return True

    def resume(self, by: str) -> None:
        """Return to ACTIVE for the operator `by`. An exceeded drawdown is measured again from the present equity."""
        if self.trading_state is not TradingState.ACTIVE:
            self.drawdown.resume(self.ledger.equity())
            self._calm = None
            self.change_state(TradingState.ACTIVE, f"resumed by {by}")

    def fall(self) -> Fall:
        """Return the drawdown: the fall of equity from the peak that the drawdown limit uses."""
        equity, watched = self.ledger.equity(), self.drawdown.state().watched
        limit = self._policies.drawdown.max_share
        return Fall(equity, watched, self.drawdown.fall(equity), limit, self.drawdown.beyond(equity))

    def halt(self, by: str, reason: str) -> None:
        """Halt the engine at the request of `by`, an operator or a client; `reason` may be empty."""
        if self.trading_state is not TradingState.HALTED:
            self.change_state(TradingState.HALTED, f"halted by {by}")
            self.lowered = Lowered(by, self._effects.now, reason)

    def change_state(self, to: TradingState, why: str, by: str = ITSELF) -> None:
        """Change the trading state and journal the change, unless the state is `to` already."""
        if self.trading_state is not to:
            self._effects.record(events.StateChanged(self.trading_state, to, why))
            self.trading_state = to
            self.lowered = None if to is TradingState.ACTIVE else Lowered(by, self._effects.now, why)
            self.version += 1

    def state(self) -> AccountState:
        """Return the account's state for a checkpoint."""
        saved = {name: getattr(self, name) for name in AccountState.__struct_fields__}
        return AccountState(**saved | {name: saved[name].state() for name in _PARTS})

    def restore(self, state: AccountState, /) -> None:
        """Restore a state that `state` returned."""
        self._calm = None
        for name, value in msgspec.structs.asdict(state).items():
            if name in _PARTS:
                getattr(self, name).restore(value)
            else:
                setattr(self, name, value)
