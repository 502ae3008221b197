"""A leg as the desk meets it at one moment: what it would send, what speaks against that, and what every limit says.

A decision is carried out through `entering`, and a caller who only asks gets its answer from the very same.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import rounded_limit
from ocw_mcp.core.risk.verdict import UNLIMITED
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderRef, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.legs import bad_size, entry_intent, exit_objection, objection
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.protection import on_tick


class Entering(NamedTuple):
    """An entering leg: its order, the account it was held against (None: no price), and what makes no sense in it."""

    intent: OrderIntent
    account: AccountView | None
    barred: Refusal | None
    """Why no entry passes here and now, whatever the order."""
    objection: Refusal | None


class LimitSays(msgspec.Struct, frozen=True):
    """One limit on one entry. `room` is the notional (quote) that it lets pass; None where it knows no size."""

    code: RefusalCode
    passes: bool
    limit: str
    actual: str
    room: Decimal | None


class Checked(msgspec.Struct, frozen=True):
    """What the desk would answer to a leg now. Quantity in the base asset, prices and notional in quote currency."""

    intent: OrderIntent
    quantity: Decimal
    """What was meant, after rounding; 0 where it makes no sense."""
    price: Decimal | None
    worst_price: Decimal | None
    """The price at which the entry is checked and its budget reserved."""
    refusal: Refusal | None
    """The first reason why it would not pass; None when it would."""
    largest: Decimal
    """The largest quantity of this very order that would pass."""
    limits: tuple[LimitSays, ...] = ()
    """Empty for what lowers risk: no limit stands before that."""
    leverage: int | None = None
    """At which it would be carried out; None for an exit, and where that cannot be said."""


def entering(
    leg: Leg,
    manager: OrderManager,
    guard: Guard,
    key: str,
    principal: str,
    wake_id: int | None,
    now: int,
    quantity: Decimal | None = None,
    *,
    tainted: bool = False,
) -> Entering:
    """The order that an entering leg means; `quantity` (base asset) stands in for the leg's share of equity.

    Where it is `tainted`, the largest size that a refusal names passes under the stricter policies, too.
    """
    symbol = leg.symbol
    account = manager.view(symbol, now)
    protection = guard.protections.get(symbol)
    stop = protection.trigger if protection and leg.action is Action.ADD else None
    intent = entry_intent(leg, account, manager.officer, stop, key, principal, wake_id, now, tainted=tainted)
    wrong = bad_size(leg, quantity)
    if quantity is not None and wrong is None:
        rounded = quantity if account is None else floor_to(quantity, account.instrument.step)
        intent = msgspec.structs.replace(intent, quantity=rounded)
    if account is None:
        return Entering(intent, None, manager.inactive(), None)
    # What is shown, checked and approved is what is sent.
    long, tick = intent.side is Side.BUY, account.instrument.tick
    laid, wins = on_tick(intent.protect_at, intent.target_at, tick, long=long)
    limit = rounded_limit(intent, account.instrument) or intent.limit_price
    if (laid, wins, limit) != (intent.protect_at, intent.target_at, intent.limit_price):
        intent = msgspec.structs.replace(intent, protect_at=laid, target_at=wins, limit_price=limit)
    barred = manager.officer.barred(intent, account)
    # An exit of unknown outcome counts: it may still close what an entry adds.
    entering, exiting = (any(manager.orders.live(symbol, purpose)) for purpose in (Purpose.ENTRY, Purpose.EXIT))
    if wins != leg.target:
        leg = msgspec.structs.replace(leg, target=wins)
    against = objection(leg, account, stop, entering=entering, exiting=exiting)
    if wrong is not None and against is None and barred is None:
        against = msgspec.structs.replace(wrong, largest=manager.officer.largest(intent, account))
    return Entering(intent, account, barred, against)


def check(
    leg: Leg, manager: OrderManager, guard: Guard, principal: str, now: int, quantity: Decimal | None = None
) -> Checked:
    """What the desk would answer to a leg at `now` (ms). Nothing is recorded, reserved or sent."""
    if not leg.action.adds_risk:
        return _check_exit(leg, manager, principal, now)
    met = entering(leg, manager, guard, "", principal, None, now, quantity)
    if met.account is None:
        refusal = met.barred or Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none")
        return Checked(met.intent, ZERO, None, None, refusal, ZERO)
    intent, account, officer = met.intent, met.account, manager.officer
    worst = officer.worst_of(intent, account)
    if met.objection is not None:
        refusal = met.barred or met.objection
        return Checked(intent, ZERO, account.price, worst, refusal, refusal.largest)
    # The approval is let go of here: it is good for one use within this step, and nobody uses it.
    answer = officer.check_entry(intent, account, OrderRef(manager.orders.last_n + 1, Purpose.ENTRY), now)
    if isinstance(answer, Refusal) and answer.code is RefusalCode.BAD_LIMIT:
        # A limit that is no price on the venue's ticks: no limit on size can be asked with it.
        return Checked(intent, ZERO, account.price, None, met.barred or answer, ZERO)
    rounded = floor_to(intent.quantity, account.instrument.step)
    return Checked(
        intent=intent,
        quantity=rounded,
        price=account.price,
        worst_price=worst,
        refusal=met.barred or (answer if isinstance(answer, Refusal) else None),
        largest=officer.largest(intent, account),
        leverage=officer.leverage(intent, account, rounded * worst),
        limits=tuple(
            LimitSays(
                verdict.code,
                verdict.passes(rounded * worst),
                str(verdict.limit),
                str(verdict.actual),
                None if verdict.room == UNLIMITED else verdict.room,
            )
            for verdict in officer.verdicts(intent, account)
        ),
    )


def _check_exit(leg: Leg, manager: OrderManager, principal: str, now: int) -> Checked:
    account = manager.view(leg.symbol, now)
    # An exit without a key is the guard's, and held to no pace.
    intent = manager.reduction(leg.symbol, Purpose.EXIT, principal, key="check")
    price = account.price if account else None
    refusal: Refusal | None = None
    if account is None:
        refusal = Refusal(RefusalCode.NO_PRICE, limit="a price", actual="none")
    elif (refusal := exit_objection(leg, account.quantity)) is None:
        if manager.closing(leg.symbol):
            refusal = Refusal(RefusalCode.EXIT_PENDING, limit="one exit", actual="under way")
        else:
            ref = OrderRef(manager.orders.last_n + 1, Purpose.EXIT)
            answer = manager.officer.approve_reduction(intent, account, ref, now)
            refusal = answer if isinstance(answer, Refusal) else None
    quantity = ZERO if refusal else intent.quantity
    return Checked(intent, quantity, price, price, refusal, quantity)
