"""The risk officer: turns an intent into an ApprovedOrder or a refusal. Nothing else in the house can make one.

An approval holds for one use, for a few seconds, and for the version of the account it was given on; the desk asks and
reserves within one step of the engine, so two callers can never both fit into the same room.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk import usage
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.activity import asked_for
from ocw_mcp.core.risk.fills import FilledEntry, Remedy, exactly, remedy
from ocw_mcp.core.risk.limits import EITHER_SIDE, LIMITS, ONE_SIDE, STANDING
from ocw_mcp.core.risk.margins import leverage_of
from ocw_mcp.core.risk.prices import dearest, limit_of, market_bound, rounded_limit, smallest, smallest_at, worst_fill
from ocw_mcp.core.risk.verdict import UNLIMITED, Limit, Verdict
from ocw_mcp.domain.cleared import ClearedOrder, claim_risk_seal
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, floor_to, plain
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Feasible
from ocw_mcp.domain.time import SECOND

_SEAL: Final = claim_risk_seal()

APPROVAL_MS: Final = 5 * SECOND
"""How long an approval holds."""


class RiskOfficer:
    """Checks orders against one set of policies."""

    def __init__(self, policies: Policies, strict: Policies | None = None) -> None:
        """`strict` holds beside `policies` for tainted entries."""
        self._policies = policies
        self._both = (policies,) if strict is None else (policies, strict)
        self._at_fill = tuple(exactly(each) for each in self._both)

    def worst_price(self, price: Decimal) -> Decimal:
        """The price at which a market entry is sized, checked and reserved: somewhat worse than the last one."""
        return worst_fill(Side.BUY, None, price, self._policies.order.price_allowance)

    def worst_of(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """The same for any entry: one with a limit has its own worst price."""
        allowance = max(policies.order.price_allowance for policies in self._held_to(intent))
        return dearest(_on_tick(intent, account.instrument), account.price, allowance)

    def leverage(self, intent: OrderIntent, account: AccountView, notional: Decimal) -> int:
        """Return the leverage at which an entry of this notional (quote) would be carried out."""
        return leverage_of(intent, account, self._policies, notional)

    def check_entry(self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int) -> ClearedOrder | Refusal:
        """Hold an entry against every limit; the refusal names the first that says no, and what all would let pass."""
        limit = rounded_limit(intent, account.instrument)
        if limit is not None and limit <= ZERO:
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(intent.limit_price))
        bound = market_bound(intent, account, self._policies.order.price_allowance)
        if bound is not None and bound <= ZERO:
            # The tick is above the price.
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(bound))
        intent = _on_tick(intent, account.instrument)
        worst = self.worst_of(intent, account)
        price = smallest_at(intent, account, self._policies.risk.gap_allowance)
        quantity = floor_to(intent.quantity, account.instrument.step)
        notional = quantity * worst
        verdicts = self.verdicts(intent, account)
        refused = next((verdict for verdict in verdicts if not verdict.passes(notional)), None)
        if refused is not None:
            largest = _largest(_least(verdicts), worst, account.instrument, price)
            return Refusal(refused.code, str(refused.limit), str(refused.actual), largest)
        minimum = _below_minimum(quantity, price, account.instrument)
        if minimum is not None:
            largest = _largest(_least(verdicts), worst, account.instrument, price)
            return msgspec.structs.replace(minimum, largest=largest)
        leverage = leverage_of(intent, account, self._policies, notional)
        return self._approve(intent, ref, quantity, account, now, leverage, bound)

    def barred(self, intent: OrderIntent, account: AccountView) -> Refusal | None:
        """Return why no entry passes at all here and now, whatever the order; None where one may."""
        verdicts = (limit(intent, account, self._policies, ZERO) for limit in STANDING)
        refused = next((verdict for verdict in verdicts if not verdict.passes(ZERO)), None)
        return None if refused is None else Refusal(refused.code, str(refused.limit), str(refused.actual))

    def verdicts(self, intent: OrderIntent, account: AccountView) -> list[Verdict]:
        """What every limit says of an entry, in the order in which the first refusal is told."""
        intent = _on_tick(intent, account.instrument)
        notional = floor_to(intent.quantity, account.instrument.step) * self.worst_of(intent, account)
        return [rule(intent, account, policies, notional) for policies in self._held_to(intent) for rule in LIMITS]

    def _held_to(self, intent: OrderIntent) -> tuple[Policies, ...]:
        return self._both if intent.tainted else self._both[:1]

    def largest(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """The largest quantity of this very entry that every limit lets pass now; 0 when none."""
        limit = rounded_limit(intent, account.instrument)
        if limit is not None and limit <= ZERO:
            return ZERO
        intent = _on_tick(intent, account.instrument)
        price = smallest_at(intent, account, self._policies.risk.gap_allowance)
        return _largest(
            _least(self.verdicts(intent, account)), self.worst_of(intent, account), account.instrument, price
        )

    def feasible(self, symbol: str, account: AccountView) -> Feasible:
        """The largest long and short entry that every limit would let pass now, each with a stop within the policy.

        One against an open position is 0: that is closed first.
        """
        long, short = (self._probe(symbol, side, account) for side in (Side.BUY, Side.SELL))
        least = smallest(account.instrument, smallest_at(long, account, self._policies.risk.gap_allowance))
        either = self._room(long, account, EITHER_SIDE)
        return Feasible(self._most(long, account, either), self._most(short, account, either), least)

    def _probe(self, symbol: str, side: Side, account: AccountView) -> OrderIntent:
        """An entry of no size, with a stop that the policy takes."""
        return OrderIntent(
            idempotency_key="",
            principal="",
            symbol=symbol,
            side=side,
            type=OrderType.MARKET,
            purpose=Purpose.ENTRY,
            quantity=ZERO,
            protect_at=account.price * (ONE - side.sign * self._policies.stop.max_distance / 2),
        )

    def _room(self, probe: OrderIntent, account: AccountView, limits: Sequence[Limit]) -> Decimal:
        """The notional (quote) that these limits let pass; 0 as soon as one of them lets nothing pass."""
        room = UNLIMITED
        for limit in limits:
            left = limit(probe, account, self._policies, ZERO).room
            if left < room:
                if left <= ZERO:
                    return ZERO
                room = left
        return room

    def _most(self, probe: OrderIntent, account: AccountView, either: Decimal) -> Decimal:
        """The largest entry like this one, where `either` is what the limits that ask for no side let pass."""
        if account.quantity * probe.side.sign < 0 or not either:
            return ZERO
        room = min(either, self._room(probe, account, ONE_SIDE))
        price = smallest_at(probe, account, self._policies.risk.gap_allowance)
        return _largest(room, self.worst_price(account.price), account.instrument, price)

    def remedy(self, entered: FilledEntry) -> Remedy:
        """What an entry's fills exceed of the limits that it was held to, and what is to be done about it."""
        return remedy(entered, self._at_fill if entered.intent.tainted else self._at_fill[:1])

    def approve_reduction(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ClearedOrder | Refusal:
        """Pass what lowers risk: in every state, on stale data, past every limit but the venue's step.

        Only so many may be asked for in a minute. The guard's own, and a person's flatten, are not held to that.

        Whether it does lower risk is told by the position, not by the caller: it has to trade against the position and
        is cut down to it.
        """
        against = intent.side.sign * account.quantity < 0
        quantity = floor_to(min(intent.quantity, abs(account.quantity)), account.instrument.step) if against else ZERO
        if quantity <= ZERO:
            return Refusal(
                RefusalCode.NO_POSITION,
                limit=f"a position to {intent.side}",
                actual=plain(account.quantity),
            )
        rate = usage.reductions_in_a_minute(account, self._policies)
        if asked_for(intent) and not rate.left:
            return Refusal(RefusalCode.REDUCTION_RATE, limit=f"{rate.limit} a minute", actual=str(rate.used))
        return self._approve(intent, ref, quantity, account, now)

    def _approve(
        self,
        intent: OrderIntent,
        ref: OrderRef,
        quantity: Decimal,
        account: AccountView,
        now: int,
        leverage: int = 1,
        bound: Decimal | None = None,
    ) -> ClearedOrder:
        order = Order(
            ref=ref,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type if bound is None else OrderType.LIMIT,
            quantity=quantity,
            reduce_only=intent.purpose.reduces,
            trigger_price=intent.trigger_price,
            limit_price=limit_of(intent) if bound is None else bound,
            post_only=intent.post_only,
            immediate=bound is not None,
            take_at=intent.target_at if intent.purpose is Purpose.STOP else None,
            leverage=leverage,
        )
        return ClearedOrder(_SEAL, order, account.version, now + APPROVAL_MS)


def _on_tick(intent: OrderIntent, instrument: Instrument) -> OrderIntent:
    """The intent with its limit, if it has one, as the venue would take it."""
    limit = rounded_limit(intent, instrument)
    return intent if limit in (None, intent.limit_price) else msgspec.structs.replace(intent, limit_price=limit)


def _least(verdicts: Sequence[Verdict]) -> Decimal:
    return min(verdict.room for verdict in verdicts)


def _largest(room: Decimal, worst: Decimal, instrument: Instrument, price: Decimal) -> Decimal:
    quantity = floor_to(room / worst, instrument.step)
    if quantity * worst > room:
        # The division was rounded up to a whole step.
        quantity -= instrument.step
    return ZERO if _below_minimum(quantity, price, instrument) else quantity


def _below_minimum(quantity: Decimal, price: Decimal, instrument: Instrument) -> Refusal | None:
    if quantity < instrument.min_quantity:
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_quantity)} units", f"{plain(quantity)} units")
    if quantity * price < instrument.min_notional:
        notional = round(quantity * price, 2)
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_notional)} quote", f"{plain(notional)} quote")
    return None
