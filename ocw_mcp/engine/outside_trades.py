"""Trades on the account that no order of the engine made: they are booked, and what they leave is kept under a stop."""

from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OutsideCause, OutsideFill, Side
from ocw_mcp.domain.state import TradingState
from ocw_mcp.engine.guard import Guard

BY_FORCE = (OutsideCause.LIQUIDATION, OutsideCause.DELEVERAGING)
"""The causes of trades that the exchange made against the will of the account's owner."""


class OutsideTrades:
    """Books the trades of persons, of other programs and of the exchange itself, as `[adopt]` of the policy says."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._treatment = guard.manager.config.policies.adopt.positions

    def take(self, fill: OutsideFill, now: int) -> None:
        """Book a fill, report it, and protect the remaining position."""
        symbol = fill.symbol
        if not self._followed(fill) or self._ignored(fill):
            self._leave_out(fill)
            return
        booked = self._account.book_outside_fill(fill, now)
        if booked is None:
            return
        self._guard.size_stops(symbol)
        quote = self._manager.prices.get(symbol, now) if fill.cause is OutsideCause.FOUND else None
        if quote is not None and booked.position:
            # A position that was found may be old, and its price far from the market.
            self._account.ledger.mark(symbol, quote.price)
        if fill.cause not in (OutsideCause.ENDED, OutsideCause.FOUND):
            self._effects.record(Incident(_text(fill)))
        self._halt_if_forced(fill)
        flat = not booked.position or self._manager.sweep(symbol, now, sold=fill.side is Side.SELL) is not None
        if flat or booked.opened:
            self._guard.release(symbol)
            self._manager.names.end(symbol)
        if flat:
            return
        closes, enlarged = self._treatment == "close" or self._guard.flattening, booked.position * fill.side.sign > 0
        if symbol not in self._guard.protections:
            self._account.exchange.adopt(symbol)
            self._guard.adopt(symbol, now, close=closes)
        else:
            before = abs(booked.position) - fill.quantity if enlarged and closes else None
            self._guard.adopt(symbol, now, most=before)

    def _followed(self, fill: OutsideFill) -> bool:
        """Return whether the engine has prices of a symbol, or has it in its books."""
        return fill.symbol in self._manager.config.symbols or bool(self._account.ledger.quantity(fill.symbol))

    def _ignored(self, fill: OutsideFill) -> bool:
        """Return whether a fill belongs to a position that is not in the books: only a flat symbol can have one."""
        return self._treatment == "ignore" and not self._account.ledger.quantity(fill.symbol)

    def _leave_out(self, fill: OutsideFill) -> None:
        """Report the first trade of a position that is not booked; no entry passes in its symbol meanwhile."""
        exchange, symbol = self._account.exchange, fill.symbol
        if symbol not in exchange.elsewhere:
            # The next report of the account has the true quantity.
            exchange.elsewhere = {**exchange.elsewhere, symbol: fill.side.sign * fill.quantity}
            self._account.version += 1
            self._effects.record(Incident(f"{_text(fill)}; it is not in the books"))
            self._manager.cancel_entries("others have a position in it", symbol)
        self._halt_if_forced(fill)

    def _halt_if_forced(self, fill: OutsideFill) -> None:
        if fill.cause in BY_FORCE:
            self._account.change_state(TradingState.HALTED, f"{fill.cause} of {fill.symbol}")
            self._manager.cancel_entries("halted")


def _text(fill: OutsideFill) -> str:
    return f"{fill.cause}: {fill.side} {plain(fill.quantity)} {fill.symbol} at {plain(fill.price)}"
