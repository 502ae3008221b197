"""Legs that add no risk: they close or reduce a position, move its stop and target, or cancel an entry.

`Changes.objection` is the one validator of these actions, for decisions and for the requests of clients.
"""

from collections.abc import Collection
from decimal import Decimal

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.exposure import EXIT_UNDER_WAY, NO_PRICE, SECOND_EXIT
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.protection import on_tick, trailing_stop

LEAST_MOVE = Decimal("0.1")
"""The smallest move of a trailing stop, as a share of its distance: each move is an order at the venue."""
FINEST_PART = Decimal("0.0001")
"""The precision of the smallest share of a position that can be sold."""
FLAT = Refusal(RefusalCode.NO_POSITION, limit="an open position", actual="flat")
"""The answer to a leg that needs a position, if there is none."""


class Changes:
    """Checks legs that add no risk against the position, the stop and the live orders of their symbol."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._manager = guard.manager

    def objection(self, leg: Leg, account: AccountView | None) -> Refusal | None:
        """Return why a leg changes nothing; None if it can be carried out. The pace of reductions is not checked.

        `account` is None for a symbol without a price: its position, if it has one, can only be closed.
        """
        if leg.action is Action.CANCEL:
            live = any(self._manager.orders.live(leg.symbol, Purpose.ENTRY))
            return None if live else Refusal(RefusalCode.NO_ORDER, limit="an entry that has not filled", actual="none")
        if account is None:
            held = self._manager.account.ledger.quantity(leg.symbol)
            closes = leg.action in (Action.SELL, Action.COVER)
            return exit_objection(leg, held) if closes else NO_PRICE if held else FLAT
        match leg.action:
            case Action.SELL | Action.COVER:
                refusal = exit_objection(leg, account.quantity)
                return SECOND_EXIT if refusal is None and self._manager.closing(leg.symbol) else refusal
            case Action.REDUCE:
                part = self.part(leg, account)
                return part if isinstance(part, Refusal) else None
            case Action.PROTECT:
                return self._protection_objection(leg, account)
            case _:
                return None

    def closes(self, leg: Leg, account: AccountView) -> Decimal:
        """Return how much (base asset) of the position a leg without objections closes."""
        part = self.part(leg, account) if leg.action is Action.REDUCE else abs(account.quantity)
        return part if isinstance(part, Decimal) and leg.action.closes else ZERO

    def part(self, leg: Leg, account: AccountView) -> Decimal | Refusal:
        """Return how much (base asset) of a position REDUCE closes: all if the rest would be too small to sell."""
        if leg.share is None:
            return Refusal(RefusalCode.MISSING_FIELD, limit="a share of the position", actual="none")
        if not is_share(leg.share):
            return Refusal(RefusalCode.BAD_SHARE, limit="above 0, up to 1", actual=str(leg.share))
        held = abs(account.quantity)
        if not held:
            return FLAT
        part = self._manager.part(leg.symbol, held * leg.share, account)
        if isinstance(part, Refusal) and part.code is RefusalCode.BELOW_MINIMUM:
            least = self._manager.least_sold(leg.symbol) / held
            limit = f"a share of {plain(ceil_to(min(ONE, least), FINEST_PART))} or more"
            return Refusal(part.code, limit=limit, actual=plain(leg.share))
        return part

    def _protection_objection(self, leg: Leg, account: AccountView) -> Refusal | None:
        protection, price = self._guard.protections.get(leg.symbol), account.price
        if protection is None or not account.quantity:
            return FLAT
        if leg.stop is None and leg.target is None and leg.trail is None:
            return Refusal(RefusalCode.MISSING_FIELD, limit="a stop, a target or a trail", actual="none")
        if self._manager.exit_under_way(leg.symbol) or (self._guard.flattening and leg.target is not None):
            # During a flatten no target is placed.
            return EXIT_UNDER_WAY
        most, asked = self._manager.config.policies.pace.reductions_per_minute, account.pace.reductions_last_minute
        if asked >= most:
            # Each change is an order at the venue; on spot it cancels the previous stop first.
            return Refusal(RefusalCode.REDUCTION_RATE, limit=f"{most} a minute", actual=str(asked))
        largest, moves = account.instrument.market_max_quantity, leg.stop is not None or leg.trail is not None
        if not self._manager.spot and moves and largest is not None and abs(account.quantity) > largest:
            # A tighter stop is one order with a quantity; the first stop closes the position whatever it is.
            held = plain(abs(account.quantity))
            return Refusal(RefusalCode.ABOVE_MAXIMUM, f"{plain(largest)} units", f"{held} units")
        long, tick = account.quantity > 0, account.instrument.tick
        sign = 1 if long else -1
        stop, target = on_tick(leg.stop, leg.target, tick, long=long)
        if stop is not None and not (stop.is_finite() and stop > ZERO and (price - stop) * sign > ZERO):
            return Refusal(RefusalCode.STOP_REQUIRED, limit=f"a stop before {plain(price)}", actual=str(leg.stop))
        if stop is not None and (stop - protection.trigger) * sign < ZERO:
            return Refusal(RefusalCode.LOOSER_STOP, limit=plain(protection.trigger), actual=plain(stop))
        if target is not None and not (target.is_finite() and target > ZERO and (target - price) * sign > ZERO):
            return Refusal(RefusalCode.BAD_TARGET, limit=f"beyond {plain(price)}", actual=str(leg.target))
        if leg.trail is not None:
            if not (leg.trail.is_finite() and ZERO < leg.trail < ONE):
                return Refusal(RefusalCode.BAD_TRAIL, limit="above 0, below 1", actual=str(leg.trail))
            if (price - trailing_stop(price, leg.trail, tick, long=long)) * sign <= ZERO:
                least = plain(round(tick / price, 6))
                return Refusal(RefusalCode.BAD_TRAIL, limit=f"more than a tick, {least}", actual=str(leg.trail))
        return None


def exit_objection(leg: Leg, held: Decimal) -> Refusal | None:
    """Return the reason why a leg closes nothing: no position, or one on the other side. `held` is signed."""
    if not held:
        return FLAT
    if (held > 0) != (leg.action is Action.SELL):
        wanted = "long" if leg.action is Action.SELL else "short"
        return Refusal(RefusalCode.NO_POSITION, limit=f"a {wanted}", actual=plain(held))
    return None


def follow_prices(guard: Guard, closed: Collection[str], now: int) -> None:
    """Move the trailing stops of the `closed` symbols, whose candle has closed, to their distance from the best price.

    A stop moves at most once in a candle, and then by LEAST_MOVE or more: each move is a new order and a cancel. During
    an exit only the price is noted.
    """
    for symbol, protection in guard.protections.items():
        if symbol not in closed:
            continue
        quantity, mark = guard.manager.account.ledger.quantity(symbol), guard.manager.account.ledger.marks[symbol]
        sign, trail = 1 if quantity > 0 else -1, protection.trail
        if trail is None:
            continue
        best = protection.best = max(mark * sign, protection.best * sign) * sign
        if guard.flattening or guard.manager.exit_under_way(symbol):
            continue
        stop = trailing_stop(best, trail, guard.instruments[symbol].tick, long=sign > 0)
        far_enough = (stop - protection.trigger) * sign >= trail * best * LEAST_MOVE
        # The distance of a short's stop shrinks with the price, and may become less than a tick.
        if far_enough and (best - stop) * sign > ZERO:
            guard.protect(symbol, stop, None, None, now)


def is_share(value: Decimal) -> bool:
    """Return whether a value is above 0 and at most 1."""
    return value.is_finite() and ZERO < value <= ONE
