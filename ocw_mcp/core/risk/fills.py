"""What the fills of an entry take beyond the limits that cleared it, measured by the functions that cleared it.

An entry is cleared at the worst price it was thought to fill at. Where it fills at a worse one, larger, or after its
reservation was released, a limit can be exceeded all the same. An excess counts only as far as the fills caused it: not
where the market alone moved what was cleared. Up to `TOLERANCE` of a limit is rounding.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.core.risk import sizes, standing
from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import smallest, smallest_at
from ocw_mcp.core.risk.verdict import ShareText, Verdict
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to
from ocw_mcp.domain.orders import OrderIntent, OrderType
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode

TOLERANCE: Final = Decimal("0.02")
"""The share of a limit by which a fill may exceed it."""


class LimitExcess(msgspec.Struct, frozen=True):
    """Notional (quote) that fills took beyond what was cleared for them."""

    order: Decimal
    position: Decimal
    gross: Decimal
    correlated: Decimal


class FilledEntry(msgspec.Struct, frozen=True):
    """A position after a fill of its entry. Prices in quote currency."""

    intent: OrderIntent
    """The entry's."""
    account: AccountView
    """After the fill. What the entry itself still has to trade is not in it, and the position is at `account.price`."""
    filled_at: Decimal
    """The price of the fill: what the stop's distance and the risk are measured from."""
    stop: Decimal
    """The position's stop."""
    cost: Decimal
    """Notional (quote) of all fills of the entry."""
    cleared_equity: Decimal
    """Equity when the entry was cleared."""
    beyond: LimitExcess


class Excess(msgspec.Struct, frozen=True):
    """One limit that the fills exceed, with the limit and the actual value for people."""

    code: RefusalCode
    key: str
    """The limit's name in the policy file."""
    limit: str
    actual: str


class Remedy(msgspec.Struct, frozen=True):
    """What brings a position back within its limits: its stop, and the largest quantity (unsigned) that may stay."""

    excesses: tuple[Excess, ...]
    stop: Decimal
    most: Decimal


def exactly(policies: Policies) -> Policies:
    """Return the policies for a fill: its price is known, so no allowance is added to it."""
    return policies.model_copy(update={"order": policies.order.model_copy(update={"price_allowance": ZERO})})


def remedy(entered: FilledEntry, held_to: Sequence[Policies]) -> Remedy:
    """Return what the fills exceed, and what is to be done about it; `held_to` are policies of `exactly`.

    Too far a stop, or too much risk at it, gives a tighter stop. Where that would lie at the market or beyond it, the
    position has to become smaller, or 0. So it does where the order, the position or an exposure is too large.
    """
    account, held = entered.account, abs(entered.account.quantity)
    excesses: dict[RefusalCode, Excess] = {}
    stop, most = entered.stop, held
    for policies in held_to:
        distance, reachable = _distance(entered, stop, policies)
        if distance is not None:
            excesses[distance.code] = distance
            stop, most = (reachable, most) if _before_market(reachable, entered) else (stop, ZERO)
    for policies in held_to:
        # The risk is told of the stop that the entry brought along, and mended from the one it has got by now.
        risk, amount = _risk(entered, entered.stop, policies)
        if risk is None:
            continue
        excesses[risk.code] = risk
        still, _ = _risk(entered, stop, policies)
        if still is None:
            continue
        tighter = _stop_for(amount / held, entered, policies)
        if _before_market(tighter, entered):
            stop = tighter
        else:
            most = min(most, amount / (_loss(entered, stop) + policies.risk.gap_allowance * entered.filled_at))
    for policies in held_to:
        for excess, over in _exposures(entered, policies):
            excesses[excess.code] = excess
            most = min(most, held - over / account.price)
    if most < held:
        most = max(ZERO, floor_to(most, account.instrument.step))
        most = ZERO if most < smallest(account.instrument, _smallest_price(entered, stop, held_to[0])) else most
    return Remedy(tuple(excesses.values()), stop, most)


def _distance(entered: FilledEntry, stop: Decimal, policies: Policies) -> tuple[Excess | None, Decimal]:
    """The excess of the stop's distance, if there is one, and the stop that is as far away as it may be."""
    verdict = standing.stop_required(_probe(entered, stop), _at_fill(entered), policies, ZERO)
    farthest, actual = policies.stop.max_distance, _value(verdict.actual)
    way, tick = entered.intent.side.sign, entered.account.instrument.tick
    within = (ceil_to if way > 0 else floor_to)(entered.filled_at * (ONE - way * farthest), tick)
    if actual is None or actual <= farthest * (ONE + TOLERANCE):
        return None, within
    return Excess(verdict.code, "stop.max_distance", str(ShareText(farthest)), str(verdict.actual)), within


def _risk(entered: FilledEntry, stop: Decimal, policies: Policies) -> tuple[Excess | None, Decimal]:
    """The excess of what is lost at a stop, if there is one, and the amount (quote) that may be lost."""
    view = _at_fill(entered)
    verdict = sizes.risk_per_trade(_probe(entered, stop), view, policies, ZERO)
    limit, actual = _value(verdict.limit) or ZERO, _value(verdict.actual)
    if actual is None or actual <= limit * (ONE + TOLERANCE):
        return None, limit * view.equity
    return Excess(verdict.code, "risk.max_share", str(verdict.limit), str(verdict.actual)), limit * view.equity


def _exposures(entered: FilledEntry, policies: Policies) -> list[tuple[Excess, Decimal]]:
    """The excesses of size, each with the notional (quote) that is too much."""
    account, beyond, found = entered.account, entered.beyond, []
    rows = (
        ("order.max_notional", sizes.order_notional, entered.cost, ONE, beyond.order),
        ("position.max_share", sizes.position_share, ZERO, account.equity, beyond.position),
        ("exposure.max_gross", sizes.gross_exposure, ZERO, account.equity, beyond.gross),
        ("correlated.max_share", sizes.correlated_exposure, ZERO, account.equity, beyond.correlated),
    )
    for key, rule, notional, unit, caused in rows:
        verdict: Verdict = rule(entered.intent, account, policies, notional)
        limit, actual = _value(verdict.limit), _value(verdict.actual)
        if limit is None or actual is None or unit <= ZERO:
            continue
        # What a fill costs more is missing in equity, too.
        over, caused = (actual - limit) * unit, caused * (ONE + limit if unit != ONE else ONE)
        if min(over, caused) > limit * unit * TOLERANCE:
            found.append((Excess(verdict.code, key, str(verdict.limit), str(verdict.actual)), over))
    return found


def _at_fill(entered: FilledEntry) -> AccountView:
    """The account with the position at the price of the fill, and no poorer than it was when the entry was cleared."""
    account, price = entered.account, entered.filled_at
    return msgspec.structs.replace(
        account,
        price=price,
        symbol_notional=abs(account.quantity) * price,
        equity=max(account.equity, entered.cleared_equity),
    )


def _probe(entered: FilledEntry, stop: Decimal) -> OrderIntent:
    """An entry at the market like the one that filled, under this stop."""
    return msgspec.structs.replace(entered.intent, type=OrderType.MARKET, limit_price=None, protect_at=stop)


def _loss(entered: FilledEntry, stop: Decimal) -> Decimal:
    return max(ZERO, (entered.filled_at - stop) * entered.intent.side.sign)


def _stop_for(loss: Decimal, entered: FilledEntry, policies: Policies) -> Decimal:
    """The stop at which so much (quote) is lost of each unit, a gap beyond it included; on the tick, rather too tight.

    The inverse of `sizes.risk_per_trade`.
    """
    way, price, tick = entered.intent.side.sign, entered.filled_at, entered.account.instrument.tick
    at = price - way * (loss - policies.risk.gap_allowance * price)
    return (ceil_to if way > 0 else floor_to)(at, tick)


def _before_market(stop: Decimal, entered: FilledEntry) -> bool:
    """Whether the market has not come to a stop: as far as its fill and its last price tell."""
    way, market = entered.intent.side.sign, entered.account.price
    return (market - stop) * way > ZERO


def _smallest_price(entered: FilledEntry, stop: Decimal, policies: Policies) -> Decimal:
    return smallest_at(_probe(entered, stop), entered.account, policies.risk.gap_allowance)


def _value(told: object) -> Decimal | None:
    """The number behind a limit or an actual value; None where it is only text."""
    value = getattr(told, "value", None)
    return value if isinstance(value, Decimal) else None
