"""The answer that a leg would get now: the order it means, the objections to it, and the verdict of every limit.

The executor sends what `entry` returns, and a preview or a check shows the same, so both get the same answer.
`changes.py` does the same for legs that only close, reduce, protect or cancel.
"""

from decimal import Decimal
from typing import NamedTuple, Self

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import expected_fill, rounded_limit, sane_limit
from ocw_mcp.core.risk.verdict import UNLIMITED, Verdict
from ocw_mcp.domain.asks import AnswerKey, LegKey, RequestKey, Taken
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side, SizeUnit
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.changes import FLAT, Changes, is_share
from ocw_mcp.engine.exposure import EXIT_UNDER_WAY, NO_PRICE
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.protection import on_tick

LIMIT_EXPIRES_S = 3_600
"""Seconds after which a limit entry expires, if its leg names none."""


class Instruction(msgspec.Struct, frozen=True):
    """A leg with its sender and the terms that bind it. Quantity in the base asset, price in quote currency."""

    leg: Leg
    principal: str
    key: AnswerKey
    """The key under which the result of the leg is stored."""
    quantity: Decimal | None = None
    """The quantity that replaces the leg's share of equity."""
    quoted: Decimal | None = None
    """The mark price that the caller was shown."""
    side: Side | None = None
    """The side that the caller was shown."""
    approval: str = ""
    """The text of a person's approval; empty without one."""
    tainted: bool = False
    """Whether the sender had read texts of other authors before it decided."""

    @property
    def wake_id(self) -> int | None:
        """The wake that the leg answers; None for a request of a caller."""
        return self.key.decision.wake_id if isinstance(self.key, LegKey) else None


class EntryCheck(NamedTuple):
    """An entry before its limits are checked."""

    intent: OrderIntent
    account: AccountView | None
    """The account at the check; None if the symbol has no price."""
    barred: Refusal | None
    """The reason why no entry at all passes now."""
    objection: Refusal | None
    """The reason why the leg makes no sense on this account."""


class CheckedLimit(msgspec.Struct, frozen=True):
    """The verdict of one limit on one entry. `room` is the largest notional (quote) that passes; None if unlimited."""

    code: RefusalCode
    passes: bool
    limit: str
    actual: str
    room: Decimal | None

    @classmethod
    def of(cls, verdict: Verdict, notional: Decimal) -> Self:
        """Return the verdict on an entry of a notional (quote)."""
        room = None if verdict.room == UNLIMITED else verdict.room
        return cls(verdict.code, verdict.passes(notional), str(verdict.limit), str(verdict.actual), room)


class CheckedLeg(msgspec.Struct, frozen=True):
    """The answer that a leg would get now. Quantity in the base asset, prices and notional in quote currency."""

    intent: OrderIntent
    quantity: Decimal
    """The quantity of the order, after rounding; 0 if the leg makes no sense."""
    price: Decimal | None
    worst_price: Decimal | None
    """The price at which the entry is checked and its budget reserved."""
    refusal: Refusal | None
    """The first reason why the order would be refused; None if it would pass."""
    largest: Decimal
    """The largest quantity of this order that would pass."""
    limits: tuple[CheckedLimit, ...] = ()
    """The verdicts of all limits; empty for an exit, which no limit refuses."""
    leverage: int | None = None
    """The leverage of the order; None for an exit, and if it cannot be known."""

    @property
    def needs_approval(self) -> bool:
        """Whether the leg passes every limit except the one that requires a person's approval."""
        return self.refusal is not None and self.refusal.code is RefusalCode.APPROVAL_REQUIRED


class Precheck:
    """Checks legs against the account and the market as they are between two events."""

    def __init__(self, guard: Guard) -> None:
        self._manager = guard.manager
        self._guard = guard
        self.changes = Changes(guard)

    def defect(self, leg: Leg, quantity: Decimal | None = None) -> Refusal | None:
        """Return the defect of a leg on any account: it is unreadable, its symbol unknown, or it has a field too many.

        `quantity` (base asset) is given apart from the leg; only an entry uses it.
        """
        if leg.malformed:
            return Refusal(RefusalCode.MALFORMED, limit="a leg as the schema has it", actual=leg.malformed)
        symbols = self._manager.config.symbols
        if leg.symbol not in symbols:
            return Refusal(RefusalCode.UNKNOWN_SYMBOL, limit=",".join(symbols), actual=repr(leg.symbol[:20]))
        unused = leg.unused
        if quantity is not None and not leg.action.adds_risk:
            unused = f"{unused}, quantity={quantity}".removeprefix(", ")
        if unused:
            uses = ", ".join(("symbol", *leg.action.fields))
            return Refusal(RefusalCode.UNUSED_FIELD, limit=f"{leg.action} uses {uses}", actual=unused)
        return None

    def entry(self, given: Instruction, now: int) -> EntryCheck:
        """Return the order that an entering leg means, rounded as it would be sent, and the objections to it."""
        leg, manager, officer = given.leg, self._manager, self._manager.officer
        account = manager.view(leg.symbol, now)
        protection = self._guard.protections.get(leg.symbol)
        stop = protection.trigger if protection and leg.action is Action.ADD else None
        intent, bad_size = _entry_intent(given, account, stop, now), _bad_size(leg, given.quantity)
        asked = given.quantity or leg.size or leg.risk or ZERO
        if account is None:
            quantity = asked if given.quantity is not None and bad_size is None else ZERO
            return EntryCheck(msgspec.structs.replace(intent, quantity=quantity), None, manager.inactive(), None)
        # The order that is shown, checked and approved is the order that is sent.
        long, instrument = intent.side is Side.BUY, account.instrument
        protect_at, target_at = on_tick(intent.protect_at, intent.target_at, instrument.tick, long=long)
        limit = rounded_limit(intent, instrument) or intent.limit_price
        if (protect_at, target_at, limit) != (intent.protect_at, intent.target_at, intent.limit_price):
            intent = msgspec.structs.replace(intent, protect_at=protect_at, target_at=target_at, limit_price=limit)
        share_of_one = officer.share_of_one(intent, account) if bad_size is None else ZERO
        if share_of_one > ZERO:
            intent = msgspec.structs.replace(intent, quantity=floor_to(asked / share_of_one, instrument.step))
        barred = officer.barred(intent, account)
        target = leg.target if target_at == leg.target else target_at
        objection = self._objection(leg, target, account, stop)
        if bad_size is not None and objection is None and barred is None:
            refusal = msgspec.structs.replace(bad_size, largest=officer.largest(intent, account))
            objection = officer.in_unit(refusal, intent, account)
        return EntryCheck(intent, account, barred, objection)

    def taken(self, leg: Leg, intent: OrderIntent, account: AccountView) -> Taken:
        """Return an entering leg as it is sent: its size in shares of equity, its prices, and how they were rounded."""
        officer, by_size = self._manager.officer, msgspec.structs.replace(intent, unit=SizeUnit.SIZE)
        at_risk = msgspec.structs.replace(intent, unit=SizeUnit.RISK)
        prices = [("stop", leg.stop, intent.protect_at), ("target", leg.target, intent.target_at)]
        prices.append(("limit", leg.limit, intent.limit_price))
        on_tick_at_worst = ceil_to if intent.side is Side.BUY else floor_to
        return Taken(
            quantity=intent.quantity,
            share=intent.quantity * officer.share_of_one(by_size, account),
            price=on_tick_at_worst(officer.worst_of(intent, account), account.instrument.tick),
            risk=intent.quantity * officer.share_of_one(at_risk, account),
            stop=intent.protect_at,
            target=intent.target_at,
            leverage=intent.leverage,
            replaced=tuple((name, asked) for name, asked, sent in prices if asked is not None and asked != sent),
        )

    def check(self, leg: Leg, principal: str, now: int, quantity: Decimal | None = None) -> CheckedLeg:
        """Return the answer that a leg would get at `now` (ms). Nothing is recorded, reserved or sent.

        `quantity` (base asset) takes the place of the leg's share of equity.
        """
        if (defect := self.defect(leg, quantity)) is not None or not leg.action.adds_risk:
            return self._check_change(leg, principal, now, defect)
        found = self.entry(Instruction(leg, principal, RequestKey(principal, "check"), quantity), now)
        if found.account is None:
            refusal = found.barred or NO_PRICE
            return CheckedLeg(found.intent, ZERO, None, None, refusal, ZERO)
        intent, account, officer = found.intent, found.account, self._manager.officer
        if found.objection is not None:
            refusal = found.barred or found.objection
            worst = officer.worst_of(intent, account)
            return CheckedLeg(intent, ZERO, account.price, worst, refusal, refusal.largest)
        assessed = officer.assess(intent, account)
        if isinstance(assessed, Refusal):
            return CheckedLeg(intent, ZERO, account.price, None, found.barred or assessed, ZERO)
        entry = assessed.entry
        return CheckedLeg(
            intent=intent,
            quantity=entry.quantity,
            price=account.price,
            worst_price=entry.worst,
            refusal=found.barred or assessed.refusal,
            largest=assessed.largest,
            leverage=assessed.leverage,
            limits=tuple(CheckedLimit.of(verdict, entry.notional) for verdict in assessed.verdicts),
        )

    def _check_change(self, leg: Leg, principal: str, now: int, defect: Refusal | None) -> CheckedLeg:
        """Return the answer to a leg that adds no risk, or that has a `defect`."""
        account = self._manager.view(leg.symbol, now)
        # Without a key it would count as the guard's own exit, whose pace is not limited.
        intent = self._manager.reduction(leg.symbol, Purpose.EXIT, principal, key="check")
        refusal = defect or self.changes.objection(leg, account)
        if defect is not None or account is None:
            return CheckedLeg(intent, ZERO, None, None, refusal or NO_PRICE, ZERO)
        if refusal is None and (part := self.changes.closes(leg, account)):
            intent = msgspec.structs.replace(intent, quantity=min(part, intent.quantity))
            ref = OrderRef(self._manager.orders.last_n + 1, Purpose.EXIT)
            answer = self._manager.officer.clear_reduction(intent, account, ref, now)
            refusal = answer if isinstance(answer, Refusal) else None
        quantity = ZERO if refusal or not leg.action.closes else intent.quantity
        return CheckedLeg(intent, quantity, account.price, account.price, refusal, quantity)

    def _objection(
        self, leg: Leg, target: Decimal | None, account: AccountView, stop: Decimal | None
    ) -> Refusal | None:
        """Return the reason why an entering leg makes no sense on this account, before any limit is checked.

        `target` is the leg's target, rounded to the tick; `stop` is the open position's stop, for an addition.
        """
        orders = self._manager.orders
        if any(orders.live(leg.symbol, Purpose.ENTRY)) or leg.symbol in self._manager.chases:
            return Refusal(RefusalCode.ENTRY_PENDING, limit="one entry", actual="under way")
        if any(orders.live(leg.symbol, Purpose.EXIT)):
            # An exit of unknown outcome counts: it may still close the quantity that an entry adds.
            return EXIT_UNDER_WAY
        if (refusal := _position_objection(leg, account.quantity, stop)) is not None:
            return refusal
        if leg.stop is not None and not (leg.stop.is_finite() and leg.stop > 0):
            return Refusal(RefusalCode.STOP_REQUIRED, limit="a price above 0", actual=str(leg.stop))
        if leg.limit is not None and not sane_limit(leg.limit):
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(leg.limit))
        if leg.limit is not None and _expires_s(leg) <= 0:
            return Refusal(RefusalCode.BAD_LIMIT, limit="above 0 s", actual=f"{_expires_s(leg)} s")
        if leg.leverage is not None and leg.leverage < 1:
            return Refusal(RefusalCode.LEVERAGE, limit="1 or more", actual=str(leg.leverage))
        if target is not None:
            side = _entry_side(leg, account.quantity)
            begins = expected_fill(side, leg.limit, account.price)
            if not (target.is_finite() and target > 0 and (target - begins) * side.sign > 0):
                return Refusal(RefusalCode.BAD_TARGET, limit=f"beyond {begins}", actual=str(target))
        return None


def _entry_intent(given: Instruction, account: AccountView | None, stop: Decimal | None, now: int) -> OrderIntent:
    """Return the order that an entering leg means, without its quantity. An addition without a stop gets `stop`."""
    leg = given.leg
    return OrderIntent(
        idempotency_key=str(given.key),
        principal=given.principal,
        symbol=leg.symbol,
        side=_entry_side(leg, account.quantity if account else ZERO),
        type=OrderType.MARKET if leg.limit is None else OrderType.LIMIT,
        purpose=Purpose.ENTRY,
        quantity=ZERO,
        protect_at=leg.stop if leg.stop is not None else stop,
        target_at=leg.target,
        wake_id=given.wake_id,
        limit_price=leg.limit,
        post_only=leg.post_only and leg.limit is not None,
        expires_at=None if leg.limit is None else now + _expires_s(leg) * SECOND,
        leverage=leg.leverage,
        approval=given.approval,
        tainted=given.tainted,
        quoted=given.quoted,
        unit=_unit(given),
    )


def _unit(given: Instruction) -> SizeUnit:
    """Return the unit in which an entering leg gives its size."""
    if given.quantity is not None:
        return SizeUnit.QUANTITY
    return SizeUnit.SIZE if given.leg.risk is None else SizeUnit.RISK


def _entry_side(leg: Leg, held: Decimal) -> Side:
    """Return the side on which an entering leg trades; `held` is the signed position."""
    if leg.action is Action.ADD:
        return Side.BUY if held >= 0 else Side.SELL
    return Side.BUY if leg.action is Action.BUY else Side.SELL


def _expires_s(leg: Leg) -> int:
    return LIMIT_EXPIRES_S if leg.limit_expires_s is None else leg.limit_expires_s


def _bad_size(leg: Leg, quantity: Decimal | None) -> Refusal | None:
    """Return why an entering leg has no valid size; `quantity` (base asset) takes the place of its share of equity."""
    if quantity is not None:
        if quantity.is_finite() and quantity > ZERO:
            return None
        return Refusal(RefusalCode.BAD_SIZE, limit="a quantity above 0", actual=str(quantity))
    given = {name: value for name in ("size", "risk") if (value := getattr(leg, name)) is not None}
    if len(given) != 1:
        return Refusal(RefusalCode.BAD_SIZE, limit="a size or a risk", actual="both" if given else "none")
    name, share = given.popitem()
    if is_share(share):
        return None
    return Refusal(RefusalCode.BAD_SIZE, limit="above 0, up to 1", actual=f"{name} {share}")


def _position_objection(leg: Leg, held: Decimal, stop: Decimal | None) -> Refusal | None:
    if leg.action is not Action.ADD:
        if not held:
            return None
        same = (held > 0) == (leg.action is Action.BUY)
        code = RefusalCode.ALREADY_IN_POSITION if same else RefusalCode.OPPOSITE_POSITION
        return Refusal(code, limit="flat", actual=plain(held))
    if not held:
        return FLAT
    if leg.stop is None or stop is None or not leg.stop.is_finite():
        return None
    if leg.stop < stop if held > 0 else leg.stop > stop:
        return Refusal(RefusalCode.LOOSER_STOP, limit=plain(stop), actual=plain(leg.stop))
    return None
