"""The risk officer: turns an intent into an ApprovedOrder or a refusal. Nothing else in the house can make one.

An approval holds for one use, for a few seconds, and for the version of the account it was given on; the desk asks and
reserves within one step of the engine, so two callers can never both fit into the same room.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.activity import asked_for
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.margins import leverage_of
from ocw_mcp.core.risk.prices import dearest, limit_of, rounded_limit, worst_fill
from ocw_mcp.core.risk.scale import exposure_scale
from ocw_mcp.core.risk.verdict import Verdict
from ocw_mcp.domain.approved import ApprovedOrder, claim_risk_seal
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
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

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    @property
    def scale(self) -> Decimal:
        """What the size of every entry is multiplied by under today's regime and macro reading."""
        return exposure_scale(self._policies.scale)

    def worst_price(self, price: Decimal) -> Decimal:
        """The price at which a market entry is sized, checked and reserved: somewhat worse than the last one."""
        return worst_fill(Side.BUY, None, price, self._policies.order.price_allowance)

    def worst_of(self, intent: OrderIntent, account: AccountView) -> Decimal:
        """The same for any entry: one with a limit has its own worst price."""
        limit = rounded_limit(intent, account.instrument)
        return worst_fill(intent.side, limit, account.price, self._policies.order.price_allowance)

    def check_entry(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ApprovedOrder | Refusal:
        """Hold an entry against every limit; the refusal names the first that says no, and what all would let pass."""
        limit = rounded_limit(intent, account.instrument)
        if limit is not None and limit <= ZERO:
            return Refusal(RefusalCode.BAD_LIMIT, limit="a price above 0", actual=str(intent.limit_price))
        if limit is not None:
            intent = msgspec.structs.replace(intent, limit_price=limit)
        worst = dearest(intent, account.price, self._policies.order.price_allowance)
        price = account.price if limit is None else limit
        quantity = floor_to(intent.quantity, account.instrument.step)
        notional = quantity * worst
        verdicts = [rule(intent, account, self._policies, notional) for rule in LIMITS]
        refused = next((verdict for verdict in verdicts if notional > verdict.room or verdict.room <= ZERO), None)
        if refused is not None:
            largest = _largest(verdicts, worst, account.instrument, price)
            return Refusal(refused.code, str(refused.limit), str(refused.actual), largest)
        minimum = _below_minimum(quantity, price, account.instrument)
        if minimum is not None:
            largest = _largest(verdicts, worst, account.instrument, price)
            return msgspec.structs.replace(minimum, largest=largest)
        leverage = leverage_of(intent, account, self._policies, notional)
        return self._approve(intent, ref, quantity, account, now, leverage)

    def feasible(self, symbol: str, account: AccountView) -> Feasible:
        """The largest long and short entry that every limit would let pass now, each with a stop within the policy.

        One against an open position is 0: that is closed first.
        """
        long_max, short_max = (self._room(symbol, side, account, account.price) for side in (Side.BUY, Side.SELL))
        return Feasible(long_max, short_max, _smallest(account.instrument, account.price))

    def _room(self, symbol: str, side: Side, account: AccountView, price: Decimal) -> Decimal:
        """The largest entry on one side, asked with one of no size and a stop that the policy takes."""
        if account.quantity * side.sign < 0:
            return ZERO
        probe = OrderIntent(
            idempotency_key="",
            principal="",
            symbol=symbol,
            side=side,
            type=OrderType.MARKET,
            purpose=Purpose.ENTRY,
            quantity=ZERO,
            protect_at=price * (ONE - side.sign * self._policies.stop.max_distance / 2),
        )
        verdicts = [limit(probe, account, self._policies, ZERO) for limit in LIMITS]
        return _largest(verdicts, self.worst_price(price), account.instrument, price)

    def approve_reduction(
        self, intent: OrderIntent, account: AccountView, ref: OrderRef, now: int
    ) -> ApprovedOrder | Refusal:
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
        most, asked = self._policies.pace.reductions_per_minute, account.pace.reductions_last_minute
        if asked_for(intent) and asked >= most:
            return Refusal(RefusalCode.REDUCTION_RATE, limit=f"{most} a minute", actual=str(asked))
        return self._approve(intent, ref, quantity, account, now)

    def _approve(
        self,
        intent: OrderIntent,
        ref: OrderRef,
        quantity: Decimal,
        account: AccountView,
        now: int,
        leverage: int = 1,
    ) -> ApprovedOrder:
        order = Order(
            ref=ref,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            quantity=quantity,
            reduce_only=intent.purpose.reduces,
            trigger_price=intent.trigger_price,
            limit_price=limit_of(intent),
            post_only=intent.post_only,
            take_at=intent.target_at if intent.purpose is Purpose.STOP else None,
            leverage=leverage,
        )
        return ApprovedOrder(_SEAL, order, account.version, now + APPROVAL_MS)


def _largest(verdicts: Sequence[Verdict], worst: Decimal, instrument: Instrument, price: Decimal) -> Decimal:
    room = min(verdict.room for verdict in verdicts)
    quantity = floor_to(room / worst, instrument.step)
    if quantity * worst > room:
        # The division was rounded up to a whole step.
        quantity -= instrument.step
    return ZERO if _below_minimum(quantity, price, instrument) else quantity


def _smallest(instrument: Instrument, price: Decimal) -> Decimal:
    return max(instrument.min_quantity, ceil_to(instrument.min_notional / price, instrument.step))


def _below_minimum(quantity: Decimal, price: Decimal, instrument: Instrument) -> Refusal | None:
    if quantity < instrument.min_quantity:
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_quantity)} units", f"{plain(quantity)} units")
    if quantity * price < instrument.min_notional:
        notional = round(quantity * price, 2)
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_notional)} quote", f"{plain(notional)} quote")
    return None
