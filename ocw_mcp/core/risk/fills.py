"""The excess of an entry's fills over the limits that the entry passed, measured by the functions of those limits.

An entry is cleared at its worst expected price. A fill can still exceed a limit: if its price is worse than expected,
if its quantity is larger than ordered, or if the reserved budget was released before the fill. Only the part of an
excess that the fills caused counts, and not the part that a later market move caused. The limits are those of the
regimes at the fill: a part of an entry that was cleared in a calmer market counts as caused by the fill.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk import admission, sizes
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.prices import propose, smallest, smallest_at
from ocw_mcp.core.risk.verdict import Judge, ShareText, Verdict
from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderType
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.unknown import Unknown

_EXPOSURES: Final = tuple(limit for limit in LIMITS if limit.at_fill not in ("", "stop"))
"""The limits on the size of orders, positions and exposure that fills can exceed; not those on the stop."""
TOLERANCE: Final = Decimal("0.02")
"""The tolerated excess, as a share of the limit, since prices and quantities are rounded."""


class LimitExcess(msgspec.Struct, frozen=True):
    """Notional (quote) filled beyond the cleared: of the order, its position, all positions, correlated positions."""

    order: Decimal
    position: Decimal
    gross: Decimal
    correlated: Decimal


class FilledEntry(msgspec.Struct, frozen=True):
    """A position after a fill of its entry. Prices in quote currency."""

    intent: OrderIntent
    account: AccountView
    """The account after the fill, without the unfilled rest of the entry; the position is valued at `account.price`."""
    filled_at: Decimal
    """The price of the fill, from which the stop's distance and the loss at the stop are measured."""
    stop: Decimal
    cost: Decimal
    cleared_equity: Decimal
    cleared_regime: Level | Unknown
    cleared_macro: Quadrant | Unknown
    """The market regime and the macro regime with which the entry was cleared."""
    beyond: LimitExcess


class Excess(msgspec.Struct, frozen=True):
    """One limit that the fills exceed, with the limit and the actual value as texts."""

    code: RefusalCode
    key: str
    limit: str
    actual: str


class Remedy(msgspec.Struct, frozen=True):
    """The limits that fills exceed, the new stop, and the largest quantity (unsigned) that the position may keep."""

    excesses: tuple[Excess, ...]
    stop: Decimal
    most: Decimal


def exactly(policies: Policies) -> Policies:
    """Return the policies with a price allowance of 0, since the price of a fill is known."""
    return policies.model_copy(update={"order": policies.order.model_copy(update={"price_allowance": ZERO})})


def remedy(entered: FilledEntry, held_to: Sequence[Policies]) -> Remedy:
    """Return the limits that an entry's fills exceed, and the remedy. Policies in `held_to` have no price allowance.

    The remedy for a stop that is too far away, or for too large a loss at the stop, is a tighter stop. If the market is
    beyond the tighter stop, or if an order, a position or an exposure is too large, the remedy is a smaller position.
    """
    account, held = entered.account, abs(entered.account.quantity)
    excesses: dict[RefusalCode, Excess] = {}
    stop, most = entered.stop, held
    for policies in held_to:
        distance, reachable = _distance(entered, stop, policies)
        if distance is not None:
            excesses[distance.code] = distance
            stop, most = (reachable, most) if _is_ahead(reachable, entered) else (stop, ZERO)
    for policies in held_to:
        # The excess is reported for the stop of the entry; the remedy starts from the stop that was tightened above.
        risk, amount = _risk(entered, entered.stop, policies)
        if risk is None:
            continue
        excesses[risk.code] = risk
        still, _ = _risk(entered, stop, policies)
        if still is None:
            continue
        # The inverse of `sizes.risk_per_trade`: each unit loses `amount / held`, the gap beyond the stop included.
        gap, way = policies.risk.gap_allowance * entered.filled_at, entered.intent.side.sign
        tighter = _towards_price(entered.filled_at - way * (amount / held - gap), entered)
        if _is_ahead(tighter, entered):
            stop = tighter
        else:
            most = min(most, amount / (max(ZERO, (entered.filled_at - stop) * way) + gap))
    for policies in held_to:
        for excess, over in _exposures(entered, policies):
            excesses[excess.code] = excess
            most = min(most, held - over / account.price)
    if most < held:
        most = max(ZERO, floor_to(most, account.instrument.step))
        price = smallest_at(_probe(entered, stop), account, held_to[0].risk.gap_allowance)
        most = ZERO if most < smallest(account.instrument, price) else most
    return Remedy(tuple(excesses.values()), stop, most)


def _distance(entered: FilledEntry, stop: Decimal, policies: Policies) -> tuple[Excess | None, Decimal]:
    """Return the excess over the largest stop distance, or None, and the farthest stop that is allowed."""
    verdict = _verdict(admission.stop_required, _probe(entered, stop), _at_fill(entered), policies)
    farthest, actual = policies.stop.max_distance, _value(verdict.actual)
    within = _towards_price(entered.filled_at * (ONE - entered.intent.side.sign * farthest), entered)
    if actual is None or actual <= farthest * (ONE + TOLERANCE):
        return None, within
    return _excess(verdict, str(ShareText(farthest))), within


def _risk(entered: FilledEntry, stop: Decimal, policies: Policies) -> tuple[Excess | None, Decimal]:
    """Return the excess over the largest loss at a stop, or None, and the amount (quote) that may be lost."""
    view = _at_fill(entered)
    verdict = _verdict(sizes.risk_per_trade, _probe(entered, stop), view, policies)
    limit, actual = _value(verdict.limit) or ZERO, _value(verdict.actual)
    if actual is None or actual <= limit * (ONE + TOLERANCE):
        return None, limit * view.equity
    return _excess(verdict, str(verdict.limit)), limit * view.equity


def _exposures(entered: FilledEntry, policies: Policies) -> list[tuple[Excess, Decimal]]:
    """Return the exceeded limits on size, each with the notional (quote) beyond the limit."""
    account, found = entered.account, []
    for limit in _EXPOSURES:
        of_order = limit.judge is sizes.order_notional
        unit = ONE if of_order else account.equity
        verdict = _verdict(limit.judge, entered.intent, account, policies, entered.cost if of_order else ZERO)
        most, actual = _value(verdict.limit), _value(verdict.actual)
        if most is None or actual is None or unit <= ZERO:
            continue
        # A higher price of a fill also lowers equity.
        over, caused = (actual - most) * unit, getattr(entered.beyond, limit.at_fill)
        caused *= ONE if of_order else ONE + most
        if min(over, caused) <= most * unit * TOLERANCE:
            # The limit may be lower than at the order; then only what this entry filled is too large.
            then = _value(_verdict(limit.judge, entered.intent, _as_cleared(entered), policies).limit) or most
            over = min(over, caused + min(max(ZERO, then - most) * unit, entered.cost))
        if over > most * unit * TOLERANCE:
            found.append((_excess(verdict, str(verdict.limit)), over))
    return found


def _as_cleared(entered: FilledEntry) -> AccountView:
    """Return the account in the regimes with which the entry was cleared."""
    return msgspec.structs.replace(entered.account, regime=entered.cleared_regime, macro=entered.cleared_macro)


def _verdict(
    judge: Judge, intent: OrderIntent, account: AccountView, policies: Policies, notional: Decimal = ZERO
) -> Verdict:
    """Return the verdict of a limit on an order that adds `notional` (quote) to the account."""
    entry = propose(intent, account, policies.order.price_allowance)
    return judge(msgspec.structs.replace(entry, notional=notional), account, policies)


def _excess(verdict: Verdict, limit: str) -> Excess:
    key = next(each.keys[0] for each in LIMITS if each.code is verdict.code)
    return Excess(verdict.code, key, limit, str(verdict.actual))


def _at_fill(entered: FilledEntry) -> AccountView:
    """Return the account valued at the fill price, with at least the equity with which the entry was cleared."""
    account, price = entered.account, entered.filled_at
    return msgspec.structs.replace(
        account,
        price=price,
        symbol_notional=abs(account.quantity) * price,
        equity=max(account.equity, entered.cleared_equity),
    )


def _probe(entered: FilledEntry, stop: Decimal) -> OrderIntent:
    """Return the intent of the entry as a market order with `stop`."""
    return msgspec.structs.replace(entered.intent, type=OrderType.MARKET, limit_price=None, protect_at=stop)


def _towards_price(stop: Decimal, entered: FilledEntry) -> Decimal:
    """Return a stop rounded to the tick, towards the market price."""
    return (ceil_to if entered.intent.side.sign > 0 else floor_to)(stop, entered.account.instrument.tick)


def _is_ahead(stop: Decimal, entered: FilledEntry) -> bool:
    """Return whether the last price has not reached a stop yet."""
    return (entered.account.price - stop) * entered.intent.side.sign > ZERO


def _value(shown: object) -> Decimal | None:
    """Return the number of a limit or an actual value that is to be shown; None if it is only a text."""
    value = getattr(shown, "value", None)
    return value if isinstance(value, Decimal) else None
