"""The trades under way, from the events that the engine records: what the signals said, what is at risk, who closes.

1 R of a trade is the loss at the stops that its entries were sent with, before fees.
"""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain import events
from ocw_mcp.domain.learning import ExitedTrade, OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored, SignalsRecorded
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import ATTACHED, GUARD, OutsideCause, Purpose, Side
from ocw_mcp.domain.state import TradingState
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.since_state import closes

NOT_CHOSEN: Final = frozenset({"stop", "target", "max_loss", OutsideCause.LIQUIDATION.value})
"""The causes of exits at a price that was set before. With any other cause, somebody chose the time of the exit."""
MOST_ENTRIES: Final = 32
"""The most entries whose signals are kept, besides those of live orders, which can wait while others are sent."""
_OUTSIDE: Final = {
    OutsideCause.LIQUIDATION: None,
    OutsideCause.DELEVERAGING: OutcomeExclusion.VENUE,
    OutsideCause.ENDED: OutcomeExclusion.VENUE,
    OutsideCause.FOUND: OutcomeExclusion.VENUE,
    OutsideCause.OTHER_TRADER: OutcomeExclusion.PERSON,
}


class OpenTrade(msgspec.Struct):
    """One trade from its opening until it is flat."""

    direction: int
    opened_at: int
    signals: SignalsRecorded | None
    """What was recorded at its first entry; None if that was not recorded."""
    risk: Decimal = ZERO
    """1 R in quote currency."""
    quantity: Decimal = ZERO
    """The sum of the entries (base asset)."""
    excluded: OutcomeExclusion | None = None
    cause: str = ""
    exited: Decimal = ZERO
    """The price (quote) of the last exit."""
    exit: str = ""
    """The order of the last exit; empty if no order of the engine made it."""
    left: Decimal = ZERO
    """The quantity (base asset) that this order closed."""


class OpenTradesState(msgspec.Struct):
    """The saved state of `OpenTrades`."""

    entries: dict[str, SignalsRecorded] = {}
    trades: dict[str, OpenTrade] = {}
    turned: dict[str, OpenTrade] = {}
    """The trades that the fill which closes the last one has opened, until that is recorded as closed."""
    rules: dict[str, str] = {}
    """The exit rule that closes each symbol's position, if one does."""


class Closed(msgspec.Struct, frozen=True):
    """A trade that has ended, and its outcome."""

    trade: OpenTrade
    outcome: OutcomeScored

    def by_choice(self) -> ExitedTrade | None:
        """Return the trade as its exit is followed, if a decider or a rule chose the exit."""
        trade, outcome = self.trade, self.outcome
        if outcome.cause in NOT_CHOSEN or not trade.quantity:
            return None
        share = min(1.0, float(trade.left / trade.quantity))
        return ExitedTrade(outcome.regime, outcome.net, round(share, 6))


class OpenTrades:
    """Follows entries and positions. An event is taken after the engine has applied its cause."""

    def __init__(self, manager: OrderManager) -> None:
        self._manager = manager
        self.saved = OpenTradesState()

    def entered(self, recorded: SignalsRecorded) -> None:
        """Keep what the signals said at an entry until it fills."""
        entries, orders = self.saved.entries, self._manager.orders
        entries[str(recorded.ref)] = recorded
        for name, each in list(entries.items())[:-1]:
            if len(entries) <= MOST_ENTRIES:
                break
            tracked = orders.get(each.ref)
            if tracked is None or not tracked.status.live:
                del entries[name]

    def continued(self, event: events.EntryContinued) -> bool:
        """Move what was recorded to the next order of a chased entry."""
        found = self.saved.entries.pop(str(event.previous), None)
        if found is not None:
            self.entered(msgspec.structs.replace(found, ref=event.ref))
        return found is not None

    def knows(self, event: events.OrderIntended) -> bool:
        """Return whether an order continues an entry whose signals are recorded."""
        return str(event.ref) in self.saved.entries

    def filled(self, fill: events.OrderFilled, at: int) -> None:
        """Take a fill of an order of the engine."""
        tracked = self._manager.orders.get(fill.ref)
        signed = (fill.quantity - fill.base_fee) * Side(fill.side).sign
        excluded = self._excluded(tracked, fill)
        parts = excluded, excluded
        trade = self._take(fill.symbol, signed, fill.position, fill.price, at, parts, str(fill.ref))
        if tracked is not None and tracked.purpose is Purpose.ENTRY:
            stop = tracked.intent.protect_at
            opened = min(abs(signed), abs(fill.position))
            if stop is not None:
                trade.risk += opened * abs(fill.price - stop)
            trade.quantity += opened
        if excluded is None and signed * trade.direction < 0:
            trade.cause = closes(tracked, fill, self.saved.rules)

    def filled_outside(self, fill: events.OutsideFilled, at: int) -> None:
        """Take a trade that no order of the engine made."""
        cause, signed = OutsideCause(fill.cause), fill.quantity * Side(fill.side).sign
        parts = _OUTSIDE[cause], OutcomeExclusion.ADOPTED
        self._take(fill.symbol, signed, fill.position, fill.price, at, parts, "").cause = cause.value

    def _take(
        self,
        symbol: str,
        signed: Decimal,
        position: Decimal,
        price: Decimal,
        at: int,
        excluded: tuple[OutcomeExclusion | None, OutcomeExclusion | None],
        order: str,
    ) -> OpenTrade:
        """Take a fill, and return its trade: the one that it opens, if it turns a position around.

        `excluded` has for which cause it excludes a trade that it closes or reduces, and one that it opens or enlarges.
        """
        closing, opening = excluded
        saved, side = self.saved, 1 if signed > 0 else -1
        held = saved.trades.get(symbol)
        if held is None or held.direction == side:
            if held is None:
                held = saved.trades[symbol] = OpenTrade(side, at, saved.entries.get(order))
            held.excluded = held.excluded or opening
            return held
        held.exited, held.excluded = price, held.excluded or closing
        if held.exit != order:
            held.exit, held.left = order, ZERO
        held.left += abs(signed) - max(ZERO, position * side)
        if position * signed > 0:
            held.cause = held.cause or "turned"
            held = saved.turned[symbol] = OpenTrade(side, at, saved.entries.get(order), excluded=opening)
        return held

    def _excluded(self, tracked: TrackedOrder | None, fill: events.OrderFilled) -> OutcomeExclusion | None:
        """Return for which cause a fill excludes its trade."""
        if tracked is None or tracked.purpose is not Purpose.EXIT:
            return None
        cause = closes(tracked, fill, self.saved.rules)
        if cause == "operator" or (cause == "client" and self._manager.config.agent != ATTACHED):
            return OutcomeExclusion.PERSON
        if self._manager.account.trading_state is TradingState.HALTED:
            return OutcomeExclusion.HALTED
        # The guard closes without a rule what it could not protect, or what the venue filled beyond the limits.
        return OutcomeExclusion.VENUE if cause == GUARD else None

    def closed(self, event: events.PositionClosed) -> Closed | None:
        """Return the outcome of a closed position; None if its opening was not seen, or nothing was at risk."""
        saved, symbol = self.saved, event.symbol
        trade = saved.trades.pop(symbol, None)
        if (turned := saved.turned.pop(symbol, None)) is not None:
            saved.trades[symbol] = turned
        rule = saved.rules.pop(symbol, "")
        if trade is None or (trade.excluded is None and (trade.risk <= 0 or trade.signals is None)):
            return None
        seen = trade.signals
        net = 0.0 if trade.risk <= 0 else float(event.pnl / trade.risk)
        outcome = OutcomeScored(
            source=OutcomeSource.TRADE,
            symbol=symbol,
            began_at=trade.opened_at,
            regime="" if seen is None else seen.regime,
            direction=trade.direction,
            values={} if seen is None else seen.values,
            net=round(net, 6),
            excluded=trade.excluded,
            cause=trade.cause or rule,
            claimed={} if seen is None else seen.claimed,
            choices={} if seen is None else seen.choices,
        )
        return Closed(trade, outcome)
