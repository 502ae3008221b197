"""Compares the account at the exchange with the books, and corrects the books: the exchange is right.

A report of the account may be older than what the engine knows of a symbol, or be taken while an order trades. So a
difference counts at once only if the symbol is quiet; otherwise it must be the same in two reports in a row. Each
difference is one incident. The positions of the first report, with which the book begins, all count.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from ocw_mcp.core.orders.table import OrderStatus, TrackedOrder
from ocw_mcp.core.risk.prices import smallest
from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import (
    AccountSeen,
    OrderSeen,
    OrderType,
    OutsideCause,
    OutsideFill,
    PositionSeen,
    Purpose,
    Side,
    Transferred,
)
from ocw_mcp.domain.steps import Cancel, CancelForeign
from ocw_mcp.domain.symbols import assets_of
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.outside_trades import OutsideTrades

STANDS_MS: Final = 3 * MINUTE
"""The time (ms) for which a difference of the balance must stand: its record may be shown later than the balance."""
LEAST_AMOUNT: Final = Decimal("0.01")
"""The smallest difference of the balance (quote) that counts: the exchange rounds each amount to eight digits."""
FOREIGN_REPORTED: Final = 20
"""The largest number of orders of others that one report of the account makes incidents of."""


class Reconciler:
    """Takes the reports of the account, one after the other."""

    def __init__(self, guard: Guard, outside: OutsideTrades) -> None:
        self._guard = guard
        self._outside = outside
        self._manager = guard.manager
        self._orders = guard.manager.orders
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._config = guard.manager.config
        self._adopt = guard.manager.config.policies.adopt

    def take(self, seen: AccountSeen, now: int) -> None:
        """Compare a report with the books, and correct them. It waits if a position of it has no price yet."""
        exchange = self._account.exchange
        if seen.at < exchange.seen_at:
            return
        positions = {each.symbol: each for each in self._positions_of(seen, now)}
        if any(self._manager.prices.get(symbol, now) is None for symbol in positions if self._follows(symbol)):
            exchange.waiting = seen
            return
        exchange.waiting, exchange.seen_at, exchange.balances = None, seen.at, seen.balances
        self._account.version += 1
        first = not exchange.found
        if first:
            exchange.found_at = seen.at
            self._effects.record(AccountFound(seen.at, seen.balances, seen.positions, seen.orders))
        self._take_positions(positions, seen.at, now, first=first)
        self._take_shared(seen)
        self._take_orders(seen, now, first=first)
        self._take_balance(seen, first=first)
        exchange.found = exchange.read = True
        if exchange.resumed:
            exchange.resumed = False
            self._guard.cover_after_absence(now)

    def take_waiting(self, now: int) -> None:
        """Compare the report that waited for a price, if there is one."""
        waiting = self._account.exchange.waiting
        if waiting is not None:
            self.take(waiting, now)

    # Positions

    def _positions_of(self, seen: AccountSeen, now: int) -> Iterator[PositionSeen]:
        """Yield the positions of a report; on spot they are the balances of the base assets, of unknown price."""
        if not self._manager.spot:
            yield from (each for each in seen.positions if each.quantity)
            return
        totals = {each.asset: each.total for each in seen.balances}
        for symbol in self._config.symbols:
            total = totals.get(assets_of(symbol)[0], ZERO)
            quote = self._manager.prices.get(symbol, now)
            if total > ZERO:
                yield PositionSeen(symbol, total, ZERO if quote is None else quote.price)

    def _follows(self, symbol: str) -> bool:
        return symbol in self._config.symbols

    def _take_positions(self, positions: dict[str, PositionSeen], at: int, now: int, *, first: bool) -> None:
        exchange, ledger = self._account.exchange, self._account.ledger
        differences: dict[str, Decimal] = {}
        self._take_elsewhere(positions)
        for symbol in sorted({*positions, *ledger.positions}):
            if symbol in exchange.elsewhere:
                continue
            seen = positions.get(symbol)
            by = self._difference(symbol, ZERO if seen is None else seen.quantity)
            if not by:
                self._take_leverage(symbol, seen)
                continue
            newer = exchange.traded_at.get(symbol, -1) >= at
            if (first and not newer) or exchange.differences.get(symbol) == by or self._quiet(symbol, at):
                self._correct(symbol, ledger.quantity(symbol) + by, seen, at, now)
            else:
                differences[symbol] = by
        exchange.differences = differences

    def _take_elsewhere(self, positions: dict[str, PositionSeen]) -> None:
        """Note the positions that are not in the books: of symbols without prices here, and those to be ignored."""
        exchange, ledger = self._account.exchange, self._account.ledger
        elsewhere: dict[str, Decimal] = {}
        margin = ZERO
        for symbol, seen in positions.items():
            left_out = self._adopt.positions == "ignore" and not self._sells_nothing(symbol, seen.quantity)
            if ledger.quantity(symbol) or (self._follows(symbol) and not left_out):
                continue
            elsewhere[symbol] = seen.quantity
            margin += seen.margin
            if symbol not in exchange.elsewhere:
                why = "policy adopt.positions is ignore" if self._follows(symbol) else "this book does not follow it"
                text = f"the account has {plain(seen.quantity)} {symbol}, which is not in the books: {why}"
                self._effects.record(Incident(text))
                self._manager.cancel_entries("others have a position in it", symbol)
        exchange.elsewhere, exchange.margin_elsewhere = elsewhere, margin

    def _take_shared(self, seen: AccountSeen) -> None:
        """Note the symbols of whose base asset the account has more than the books (spot).

        While an exit may be trading, or the account has less, it does not show what others have.
        """
        totals = {each.asset: each.total for each in seen.balances} if self._manager.spot else {}
        shared = set(self._account.exchange.shared)
        for symbol in self._config.symbols if self._manager.spot else ():
            instrument = self._manager.prices.instruments.get(symbol)
            step = ZERO if instrument is None else instrument.step
            more = totals.get(assets_of(symbol)[0], ZERO) - self._account.ledger.base_balance(symbol)
            if any(self._orders.live(symbol, Purpose.EXIT)):
                continue
            if more >= step and more > ZERO:
                shared.add(symbol)
            elif more > -step:
                shared.discard(symbol)
        self._account.exchange.shared = sorted(shared)

    def _difference(self, symbol: str, seen: Decimal) -> Decimal:
        """Return by how much (base asset) the exchange's position differs; on spot, what cannot be sold is left out."""
        ledger = self._account.ledger
        held = ledger.quantity(symbol)
        if not self._manager.spot:
            return seen - held
        by = seen - ledger.base_balance(symbol)
        instrument = self._manager.prices.instruments.get(symbol)
        if instrument is not None and abs(by) < instrument.step:
            return ZERO
        if not held:
            # What is too small to be sold is no position. A purchase may add it to one.
            return ZERO if self._sells_nothing(symbol, seen) else seen
        return by

    def _sells_nothing(self, symbol: str, quantity: Decimal) -> bool:
        """Return whether a spot quantity (base asset) is too small to be sold."""
        quote = self._manager.prices.get(symbol, self._effects.now)
        return self._manager.spot and quote is not None and quantity < smallest(quote.instrument, quote.price)

    def _quiet(self, symbol: str, at: int) -> bool:
        """Return whether no order of a symbol is trading, and no trade of it is newer than a report of `at` (ms)."""
        if self._account.exchange.traded_at.get(symbol, -1) >= at:
            return False
        return not any(_under_way(each) for each in self._orders.live(symbol))

    def _correct(self, symbol: str, real: Decimal, seen: PositionSeen | None, at: int, now: int) -> None:
        """Book trades that make a position `real` (signed, base asset), at the exchange's price or the mark price."""
        ledger, quote = self._account.ledger, self._manager.prices.get(symbol, now)
        held, self._account.exchange.corrected = ledger.quantity(symbol), True
        if self._manager.spot and self._sells_nothing(symbol, real):
            real = ZERO
        mark = quote.price if quote is not None else ledger.marks[symbol]
        text = f"{symbol}: the exchange has {_position(real)}, the books had {_position(held)}; the exchange is right"
        self._effects.record(Incident(text))
        opened = seen.entry_price if seen is not None and seen.entry_price > ZERO else mark
        if held and real and (held > 0) is not (real > 0):
            self._book(f"found-{at}-{symbol}-closed", symbol, -held, mark, at, now)
            held = ZERO
        by, price = real - held, mark
        if real and abs(real) > abs(held):
            price = self._price_of_addition(symbol, real, opened, mark) if held else opened
        self._book(f"found-{at}-{symbol}", symbol, by, price, at, now)
        if seen is not None:
            self._set_leverage(symbol, seen)

    def _take_leverage(self, symbol: str, seen: PositionSeen | None) -> None:
        """Take the leverage of a position that a person has changed: an addition must not change it back."""
        position = self._account.ledger.positions.get(symbol)
        if seen is None or position is None or self._manager.spot or position.leverage == max(1, seen.leverage):
            return
        if symbol not in self._account.exchange.adopted:
            text = f"{symbol}: its position has leverage {seen.leverage}, the books had {position.leverage}"
            self._effects.record(Incident(f"{text}; the exchange is right"))
        self._set_leverage(symbol, seen)

    def _set_leverage(self, symbol: str, seen: PositionSeen) -> None:
        position = self._account.ledger.positions.get(symbol)
        if position is not None and not self._manager.spot:
            position.leverage = max(1, seen.leverage)
            position.margin = seen.margin or round(abs(position.cost) / position.leverage, 12)

    def _price_of_addition(self, symbol: str, real: Decimal, average: Decimal, mark: Decimal) -> Decimal:
        """Return the price (quote) of an unknown addition that leads to the exchange's average; else the mark price."""
        position = self._account.ledger.positions[symbol]
        price = round((real * average - position.cost) / (real - position.quantity), 8)
        return price if mark / 2 < price < mark * 2 else mark

    def _book(self, name: str, symbol: str, signed: Decimal, price: Decimal, at: int, now: int) -> None:
        side = Side.BUY if signed > 0 else Side.SELL
        self._outside.take(OutsideFill(name, symbol, side, abs(signed), price, ZERO, at, OutsideCause.FOUND), now)

    # Orders

    def _take_orders(self, seen: AccountSeen, now: int, *, first: bool) -> None:
        exchange = self._account.exchange
        listed = {str(each.ref): each for each in seen.orders if each.ref is not None}
        live = {str(each.ref): each for each in self._orders.live()}
        missing: list[str] = []
        for name, tracked in live.items():
            if name in listed or tracked.status not in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
                continue
            missed_before = name in exchange.missing
            if exchange.heard_at.get(name, -1) >= seen.at and not missed_before:
                continue
            missing.append(name)
            if tracked.purpose is Purpose.STOP and not tracked.cancel_requested:
                text = f"the stop {name} of {tracked.order.symbol} is not among the orders at the exchange"
                self._effects.record(Incident(f"{text}; it counts as lost"))
                self._guard.on_lost_stop(tracked, now)
        exchange.unsettled = [name for name in missing if name in exchange.missing]
        exchange.missing = missing
        exchange.heard_at = {name: at for name, at in exchange.heard_at.items() if name in live}
        stray = [each for name, each in listed.items() if name not in live]
        exchange.stray = {str(each.ref): self._cancels_stray(each, first=first) for each in stray}
        self._take_foreign(seen)

    def _cancels_stray(self, seen: OrderSeen, *, first: bool) -> bool:
        """Cancel an order that is finished in the books but live at the exchange, if it was so before; whether it is.

        A single report may be older than the end of the order.
        """
        assert seen.ref is not None
        asked = self._account.exchange.stray.get(str(seen.ref))
        if asked is None and not first:
            return False
        if not asked:
            kind = seen.ref.leg.name.lower()
            text = f"the {kind} {seen.ref} of {seen.symbol} is live at the exchange, but finished in the books"
            self._effects.record(Incident(f"{text}; it is cancelled"))
        self._effects.add(Cancel(seen.ref))
        return True

    def _take_foreign(self, seen: AccountSeen) -> None:
        """Report the new orders of others, and cancel them if the policy says so."""
        exchange = self._account.exchange
        others = [each for each in seen.orders if each.ref is None]
        new = [each for each in others if each.venue_order_id not in exchange.foreign]
        cancels = self._adopt.orders == "cancel"
        for each in new[:FOREIGN_REPORTED]:
            done = "it is cancelled" if cancels else "it is left"
            order = f"{each.type.lower()} {each.side} {plain(each.quantity)} {each.symbol}"
            text = f"the account has an order that is not of this book: {order} ({each.venue_order_id}); {done}"
            self._effects.record(Incident(text))
        if len(new) > FOREIGN_REPORTED:
            self._effects.record(Incident(f"and {len(new) - FOREIGN_REPORTED} more orders that are not of this book"))
        if cancels:
            for each in others:
                self._effects.add(CancelForeign(each))
        exchange.foreign = [each.venue_order_id for each in others]

    # Balance

    def _take_balance(self, seen: AccountSeen, *, first: bool) -> None:
        exchange, quotes = self._account.exchange, {assets_of(each)[1] for each in self._config.symbols}
        real = sum((each.total for each in seen.balances if each.asset in quotes), ZERO)
        by = real - self._account.ledger.quote_balance(spot=self._manager.spot)
        if first:
            self._account.begin(Transferred(f"found-{seen.at}", by, seen.at))
            return
        if exchange.moved_at >= seen.at or exchange.differences:
            # The report is older than the books, or a correction of a position will change the balance.
            return
        before, exchange.quote_difference = exchange.quote_difference, by if abs(by) >= LEAST_AMOUNT else ZERO
        if not exchange.quote_difference:
            exchange.corrected = False
        elif not before or abs(by - before) >= LEAST_AMOUNT:
            exchange.quote_differs_since = seen.at
        elif exchange.corrected or seen.at - exchange.quote_differs_since >= STANDS_MS:
            kind = "a deposit or a gain" if by > 0 else "a withdrawal or a cost"
            text = f"the balance differs by {plain(round(by, 8))} from the reports: {kind} that was not reported"
            self._effects.record(Incident(f"{text}; it is booked as a transfer"))
            self._account.book_transfer(Transferred(f"found-{seen.at}", by, seen.at))
            exchange.quote_difference, exchange.corrected = ZERO, False


def _under_way(tracked: TrackedOrder) -> bool:
    """Return whether an order is trading, or its outcome is open: a resting order is not under way."""
    order = tracked.order
    rests = order.type is not OrderType.MARKET and not order.immediate and not tracked.cancel_requested
    return tracked.status is not OrderStatus.ACCEPTED or not rests


def _position(quantity: Decimal) -> str:
    if not quantity:
        return "no position"
    return f"{plain(abs(quantity))} {'long' if quantity > 0 else 'short'}"
