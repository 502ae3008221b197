"""The risk officer: it turns an intent into a ClearedOrder or a refusal. No other module can create a ClearedOrder.

The engine checks an order and reserves its budget within one step, so two callers can never both use the same budget.
"""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.counters import asked_for
from ocw_mcp.core.risk.feasible import FINEST_SHARE, below_minimum, feasible_entries, largest_within
from ocw_mcp.core.risk.fills import FilledEntry, Remedy, exactly, remedy
from ocw_mcp.core.risk.limits import LIMITS, reductions_in_a_minute
from ocw_mcp.core.risk.prices import Proposal, limit_of, market_bound, propose, rounded_limit, smallest, smallest_at
from ocw_mcp.core.risk.sizes import leverage_of, loss_at_stop
from ocw_mcp.core.risk.verdict import Verdict
from ocw_mcp.domain.cleared import ClearedOrder, claim_risk_seal
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import Order, OrderIntent, OrderRef, OrderType, Purpose, Side, SizeUnit
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Feasible
from ocw_mcp.domain.time import SECOND

_SEAL: Final = claim_risk_seal()

CLEARED_MS: Final = 5 * SECOND
"""The time (ms) for which a cleared entry is valid. A cleared reduction is valid until it is used."""

_ALL: Final = tuple(limit.judge for limit in LIMITS)
_STANDING: Final = tuple(limit.judge for limit in LIMITS if limit.standing)


class Assessment(msgspec.Struct, frozen=True):
    """The result of a check of an entry against every limit."""

    entry: Proposal
    verdicts: tuple[Verdict, ...]
    """The verdict of each limit, in the order in which refusals are shown; under both policies if `tainted` is set."""
    leverage: int
    bound: Decimal | None
    """The limit price with which a market entry is sent: the worst price at which it may fill."""
    largest: Decimal
    refusal: Refusal | None
    """The first refusal; None if the entry passes."""


class RiskOfficer:
    """Checks orders against one set of policies."""

    def __init__(self, policies: Policies, strict: Policies | None = None) -> None:
        """`strict` applies in addition to `policies` to entries that were decided after untrusted text was read."""
        self._policies = policies
        self._both = (policies,) if strict is None else _at_the_lower_leverage(policies, strict)
        self._at_fill = tuple(exactly(each) for each in self._both)

    def worst_of(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """Return the price at which an entry is sized and checked, and at which its budget is reserved."""
        return self._propose(intent, account, self._policies).worst

    def share_of_one(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """Return the size of one unit of the base asset, in the unit in which this entry's size was requested.

        It is 0 if the size cannot be computed: without equity, or for a risk without a stop.
        """
        if intent.unit is SizeUnit.QUANTITY:
            return ONE
        if account.equity <= ZERO:
            return ZERO
        notional = max(ZERO, self.worst_of(intent, account)) / account.equity
        if intent.unit is SizeUnit.SIZE:
            return notional
        losses = [loss_at_stop(self._propose(intent, account, each), each) for each in self._held_to(intent)]
        return notional * max(each or ZERO for each in losses)

    def assess(self, intent: OrderIntent, account: AccountView) -> Assessment | Refusal:
        """Check an entry against every limit; return a Refusal at once if one of its prices is not above 0."""
        limit = rounded_limit(intent, account.instrument)
        if limit is not None and limit <= ZERO:
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(intent.limit_price))
        entries = [(self._propose(intent, account, policies), policies) for policies in self._held_to(intent)]
        (entry, policies), instrument = entries[0], account.instrument
        bound = market_bound(min(entries, key=lambda each: each[1].order.price_allowance)[0], instrument.tick)
        if bound is not None and bound <= ZERO:
            # The tick is larger than the price.
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(bound))
        verdicts = tuple(judge(each, account, held_to) for each, held_to in entries for judge in _ALL)
        smallest_price = smallest_at(entry.intent, account, policies.risk.gap_allowance)
        largest = largest_within(min(verdict.room for verdict in verdicts), entry.worst, instrument, smallest_price)
        refused = next((verdict for verdict in verdicts if not verdict.passes(entry.notional)), None)
        if refused is not None:
            refusal: Refusal | None = Refusal(refused.code, str(refused.limit), str(refused.actual), largest)
        elif (refusal := below_minimum(entry.quantity, smallest_price, instrument)) is not None:
            refusal = msgspec.structs.replace(refusal, largest=largest)
            if intent.unit is not SizeUnit.QUANTITY:
                # Rounded up, so that an entry of this size is large enough.
                least = smallest(instrument, smallest_price) * self.share_of_one(intent, account)
                named = f"{refusal.limit}, {intent.unit} {plain(ceil_to(least, FINEST_SHARE))}"
                refusal = msgspec.structs.replace(refusal, limit=named)
        if refusal is not None:
            refusal = self.in_unit(refusal, intent, account)
        leverage = leverage_of(entry, account, policies)
        return Assessment(entry, verdicts, leverage, bound, largest, refusal)

    def check_entry(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int, within: Decimal | None = None
    ) -> ClearedOrder | Refusal:
        """Clear an entry that passes every limit; a refusal names the first limit that fails, and the largest size.

        `within` is the worst price (quote) at which a market entry may fill, if that is stricter than the policy's.
        """
        found = self.assess(intent, account)
        if isinstance(found, Refusal):
            return found
        if found.refusal is not None:
            return found.refusal
        entry, bound = found.entry, found.bound
        if bound is not None and within is not None:
            bound = (min if intent.side is Side.BUY else max)(bound, within)
        return self._clear(entry.intent, ref, entry.quantity, account, now, found.leverage, bound)

    def clear_again(self, cleared: ClearedOrder, intent: OrderIntent, account: AccountView) -> ClearedOrder | Refusal:
        """Clear an entry that waited to be sent once more, unchanged, if every limit lets it pass at the present price.

        `account` excludes the entry from its orders. The entry must pass as requested, and also with the limit price
        that it was given, because it may fill anywhere up to that price. The clearance before is then no longer valid.
        """
        order, price, now = cleared.order, account.price, account.now
        account = msgspec.structs.replace(account, pace=account.pace.without_entry(cleared.cleared_at, now))
        checked = [intent]
        if order.immediate and order.limit_price is not None:
            if (price - order.limit_price) * order.side.sign > ZERO:
                return Refusal(RefusalCode.PRICE_MOVED, limit=plain(order.limit_price), actual=plain(price))
            checked.append(msgspec.structs.replace(intent, type=OrderType.LIMIT, limit_price=order.limit_price))
        for each in checked:
            found = self.assess(each, account)
            if isinstance(found, Refusal):
                return found
            if found.refusal is not None:
                return found.refusal
        return _sealed(cleared.withdraw(), account.version, now)

    def barred(self, intent: OrderIntent, account: AccountView) -> Refusal | None:
        """Return a refusal if no entry passes now in this symbol and direction, whatever its size; otherwise None."""
        entry = self._propose(intent, account, self._policies)
        verdicts = (judge(entry, account, self._policies) for judge in _STANDING)
        refused = next((verdict for verdict in verdicts if not verdict.passes(ZERO)), None)
        return None if refused is None else Refusal(refused.code, str(refused.limit), str(refused.actual))

    def largest(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """Return the largest quantity of this entry that every limit lets pass now; 0 if none."""
        found = self.assess(intent, account)
        return ZERO if isinstance(found, Refusal) else found.largest

    def in_unit(self, refusal: Refusal, intent: OrderIntent, account: AccountView) -> Refusal:
        """Return a refusal with its largest size also in the requested unit: an entry of that size is the largest."""
        if intent.unit is SizeUnit.QUANTITY:
            return refusal
        one = self.share_of_one(intent, account)
        step = one * account.instrument.step
        # Rounded up, and finer than a step, so that the size becomes this quantity again and not one step less.
        finest = min(FINEST_SHARE, ONE.scaleb(step.adjusted() - 1)) if step > ZERO else FINEST_SHARE
        largest = ceil_to(refusal.largest * one, finest)
        if one > ZERO and floor_to(largest / one, account.instrument.step) < refusal.largest:
            # The product is a multiple of `finest`, and its division by `one` was rounded down.
            largest += finest
        largest = min(ONE, largest)
        return msgspec.structs.replace(refusal, unit=intent.unit, largest_in_unit=largest)

    def _propose(self, intent: OrderIntent, account: AccountView, policies: Policies) -> Proposal:
        highest = max(each.order.price_allowance for each in self._held_to(intent))
        return propose(intent, account, policies.order.price_allowance, highest)

    def _held_to(self, intent: OrderIntent) -> tuple[Policies, ...]:
        return self._both if intent.tainted else (self._policies,)

    def feasible(self, symbol: str, account: AccountView) -> Feasible:
        """Return the largest entries that pass now, at the stop distances at which they change; 0 if none passes."""
        return feasible_entries(symbol, account, self._policies)

    def remedy(self, entered: FilledEntry) -> Remedy:
        """Return the limits that an entry's fills exceed, and the new stop or quantity that corrects this."""
        return remedy(entered, self._at_fill if entered.intent.tainted else self._at_fill[:1])

    def clear_reduction(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ClearedOrder | Refusal:
        """Clear an order that reduces a position, in every trading state and on stale data.

        The order is cut to the quantity of the position. Too many requests of an agent in a minute are refused.
        """
        against = intent.side.sign * account.quantity < 0
        quantity = floor_to(min(intent.quantity, abs(account.quantity)), account.instrument.step) if against else ZERO
        if quantity <= ZERO:
            return Refusal(
                RefusalCode.NO_POSITION, limit=f"a position to {intent.side}", actual=plain(account.quantity)
            )
        rate = reductions_in_a_minute(account, self._policies)
        if asked_for(intent) and not rate.left:
            return Refusal(RefusalCode.REDUCTION_RATE, limit=f"{rate.limit} a minute", actual=str(rate.used))
        return self._clear(intent, ref, quantity, account, now)

    def _clear(
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
            close_position=intent.close_position,
        )
        return _sealed(order, account.version, now)


def _sealed(order: Order, version: int, now: int) -> ClearedOrder:
    return ClearedOrder(_SEAL, order, version, now, None if order.reduce_only else now + CLEARED_MS)


def _at_the_lower_leverage(*both: Policies) -> tuple[Policies, ...]:
    """Return the policies, each with the lowest `leverage.usual` of all: the leverage of entries that request none."""
    usual = min(each.leverage.unasked for each in both)
    return tuple(
        each.model_copy(update={"leverage": each.leverage.model_copy(update={"usual": usual})}) for each in both
    )
