"""The live market between two closes: mark prices, notices of the feed, and outages.

Without reliable data the engine only reduces positions: it lowers the trading state itself, and raises it again when
the data return, unless an operator, a limit or an incident has lowered the state meanwhile.
"""

import math
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame, Mark
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.state import MARKET_DATA, TradingState
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.order_manager import OrderManager

LARGEST_JUMP: Final = 10
"""A mark price that is more than this many times above or below the last price is ignored."""
FARTHEST_AHEAD_MS: Final = MINUTE
"""A mark price whose time (ms) is farther ahead of the clock is ignored."""
SILENT_AFTER_MS: Final = 5 * MINUTE
"""The time without data after which the watchdog reports an incident and wakes the agent."""


class LiveState(msgspec.Struct):
    """The time (ms) of the last data, and the subjects whose data cannot be relied on, each with the reason."""

    data_at: int | None = None
    silent: bool = False
    degraded: dict[str, str] = {}
    implausible: set[str] = set()
    """The symbols whose latest mark price was ignored."""


class LiveMarket(Stateful[LiveState]):
    """Takes what a live feed sends besides closed candles."""

    def __init__(self, market: Market, gate: Gate, manager: OrderManager) -> None:
        super().__init__(LiveState())
        self._market = market
        self._gate = gate
        self._manager = manager
        self._account = manager.account
        self._prices = manager.prices
        self._effects = manager.effects

    def take(self, frame: Frame, now: int) -> bool:
        """Take the marks and notices of a frame at `now` (ms). Return whether the price of a position changed."""
        state = self._state
        if frame.notices:
            self._note(frame.notices)
        held, moved, has_data = self._account.ledger.positions, False, bool(frame.closed) and not frame.late
        for mark in frame.marks:
            candles = self._market.symbols.get(mark.symbol)
            if candles is None or not self._plausible(mark, candles.last, now):
                continue
            if not candles.tick(mark.price, mark.at):
                continue
            # Messages that were on the way for minutes do not show that the market is watched.
            has_data = has_data or now - mark.at < SILENT_AFTER_MS
            if (position := held.get(mark.symbol)) is not None:
                self._account.ledger.mark(mark.symbol, exact(mark.price))
                position.see(mark.price, mark.price)
                moved = True
        if has_data:
            if state.silent:
                after = (now - (state.data_at or now)) // SECOND
                self._effects.record(Incident(f"market data are back after {after} s"))
                self._gate.end_outage()
            state.data_at, state.silent = now, False
        return moved

    def _plausible(self, mark: Mark, last: Reading, now: int) -> bool:
        """Return whether a mark price can be true; an incident is journaled for the first that cannot, by symbol."""
        state = self._state
        possible = 0 < mark.price < math.inf and mark.at <= now + FARTHEST_AHEAD_MS
        if possible and not isinstance(last, Unknown):
            possible = last / LARGEST_JUMP <= mark.price <= last * LARGEST_JUMP
        if possible:
            state.implausible.discard(mark.symbol)
        elif mark.symbol not in state.implausible:
            state.implausible.add(mark.symbol)
            after = "" if isinstance(last, Unknown) else f" after {last:g}"
            self._effects.record(Incident(f"{mark.symbol}: the mark price {mark.price:g}{after} is ignored"))
        return possible

    def watch(self, left_out: Collection[str], now: int) -> bool:
        """Report an outage as an incident if it has just lasted too long. Return whether it has to wake the agent.

        The agent is woken for each symbol with a position, except those of `left_out`.
        """
        state = self._state
        if state.data_at is not None and not state.silent and now - state.data_at >= SILENT_AFTER_MS:
            state.silent = True
            self._effects.record(Incident(f"no market data for {(now - state.data_at) // SECOND} s"))
            self.judge()
            for symbol in sorted(self._account.ledger.positions.keys() - left_out):
                reason = WakeReason(WakeKind.WATCHDOG, f"{SILENT_AFTER_MS // SECOND} s")
                self._gate.raise_reason(symbol, reason)
        return state.silent and self._gate.urgent

    def judge(self) -> None:
        """Lower the trading state while no symbol's data can be relied on, and raise it again afterwards.

        The engine calls this after every step, so that a resume during an outage has no effect.
        """
        account, why = self._account, self._unreliable()
        if why and account.trading_state is TradingState.ACTIVE:
            account.change_state(TradingState.REDUCING, why, MARKET_DATA)
            self._manager.cancel_entries(why)
        elif not why and account.lowered is not None and account.lowered.by == MARKET_DATA:
            account.change_state(TradingState.ACTIVE, "market data can be relied on again")

    def restore(self, state: LiveState, /) -> None:
        """Restore a state that `state` returned."""
        super().restore(state)
        self._prices.degraded = state.degraded

    def _note(self, notices: Sequence[FeedNotice]) -> None:
        """Take the notices of a frame: subjects that are degraded together, or restored together, share an incident."""
        degraded = self._state.degraded
        changed: dict[str, list[FeedNotice]] = {"degraded": [], "restored": []}
        for notice in notices:
            if notice.kind is FeedNoticeKind.INCIDENT:
                self._effects.record(Incident(f"{notice.subject}: {notice.detail}"))
            elif notice.kind is FeedNoticeKind.RESTORED and degraded.pop(notice.subject, None) is not None:
                changed["restored"].append(notice)
            elif notice.kind is FeedNoticeKind.DEGRADED:
                if notice.subject not in degraded:
                    changed["degraded"].append(notice)
                # A further cause is no incident, and replaces a reason that has ended.
                degraded[notice.subject] = notice.detail
        self._prices.degraded = degraded
        for what, found in changed.items():
            if found:
                found.sort(key=lambda each: each.subject)
                subjects = ", ".join(each.subject for each in found)
                self._effects.record(Incident(f"market data {what}, {subjects}: {found[0].detail}"))
        for notice in changed["degraded"]:
            if notice.subject in self._market.symbols and notice.subject in degraded:
                self._manager.cancel_entries("its market data cannot be relied on", notice.subject)

    def _unreliable(self) -> str:
        state, symbols = self._state, self._market.symbols
        if state.silent:
            return f"there are no market data for {SILENT_AFTER_MS // SECOND} s"
        general = next((subject for subject in state.degraded if subject not in symbols), None)
        if general is not None:
            return f"{general}: {state.degraded[general]}"
        if state.degraded and len(state.degraded) == len(symbols):
            return f"the data of every symbol are degraded, {next(iter(state.degraded.values()))}"
        return ""
