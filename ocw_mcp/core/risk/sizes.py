"""Limits that depend on the size of an entry: leverage, exposure, the loss at the stop, margin, depth, approval.

Margin is isolated. An entry that requests no leverage gets the policy's usual one, or the highest that the brackets
allow at its size, if that is lower. On spot every leverage is 1 and nothing is liquidated.
"""

from collections.abc import Callable
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.prices import Proposal
from ocw_mcp.core.risk.verdict import (
    UNLIMITED,
    AmountText,
    EntryLimit,
    LazyText,
    LimitUse,
    ShareText,
    Verdict,
    all_or_nothing,
    count,
    of_usage,
)
from ocw_mcp.domain.macro import Quadrant
from ocw_mcp.domain.margin import Brackets, allowed_maintenance
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ONE, ZERO, floor_to, plain
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.policies import Policies, ScalePolicy
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import iso
from ocw_mcp.domain.unknown import Unknown


def exposure_scale(policy: ScalePolicy, regime: Level | Unknown, macro: Quadrant | Unknown) -> Decimal:
    """Return the factor on size limits in a market regime and a macro regime: at most 1."""
    return min(ONE, regime_factor(policy, regime) * macro_factor(policy, macro))


def regime_factor(policy: ScalePolicy, regime: Level | Unknown) -> Decimal:
    """Return the factor of the market regime."""
    factor: Decimal = getattr(policy, f"regime_{'unknown' if isinstance(regime, Unknown) else regime.value}")
    return factor


def macro_factor(policy: ScalePolicy, macro: Quadrant | Unknown) -> Decimal:
    """Return the factor of the macro regime, which may be above 1."""
    factor: Decimal = getattr(policy, f"macro_{'unknown' if isinstance(macro, Unknown) else macro.value}")
    return factor


def _scaled(key: str, limit: Decimal, used: Decimal, account: AccountView, policies: Policies) -> LimitUse:
    """Return the use of a limit that is a share of equity and multiplied by `exposure_scale`."""
    scale = exposure_scale(policies.scale, account.regime, account.macro)
    return LimitUse(key, limit * scale, used, account.equity, scale)


def leverage(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the leverage to the maximum of policy and bracket. An addition has the leverage of its position."""
    code, asked, held, brackets = RefusalCode.LEVERAGE, entry.intent.leverage, account.held, _brackets(account)
    if brackets is None:
        return all_or_nothing(code, "1 on spot", str(asked), passes=asked in (None, 1))
    if held is not None and asked not in (None, held.leverage):
        return Verdict(code, f"{held.leverage}, as the position has", str(asked), ZERO)
    wanted, usual, most = held.leverage if held is not None else asked, policies.leverage.unasked, policies.leverage.max
    if wanted is not None and not 1 <= wanted <= most:
        return Verdict(code, f"1 to {most}", str(wanted), ZERO)
    room = brackets.cap(wanted or 1) - account.symbol_notional
    largest = account.symbol_notional + entry.notional
    allowed = LazyText(lambda: f"{brackets.max_leverage(largest)} for a position so large")
    return Verdict(code, allowed, str(wanted or usual), max(ZERO, room))


def _positions(account: AccountView, policies: Policies) -> LimitUse:
    """Count the symbols with a position or a live entry, this symbol included."""
    standing = account.other_symbols + (account.symbol_quantity > ZERO)
    return count("positions.max_open", policies.positions.max_open, standing)


def open_positions(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the number of symbols with a position or a live entry."""
    limit, others = policies.positions.max_open, account.other_symbols
    return all_or_nothing(RefusalCode.OPEN_POSITIONS, str(limit), str(others + 1), passes=others < limit)


def order_notional(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the notional of one order."""
    limit = policies.order.max_notional
    return Verdict(RefusalCode.ORDER_NOTIONAL, AmountText(limit), AmountText(entry.notional), limit)


def _position(account: AccountView, policies: Policies) -> LimitUse:
    return _scaled("position.max_share", policies.position.max_share, account.symbol_notional, account, policies)


def position_share(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit one position, with its live entries, to a share of equity."""
    return of_usage(RefusalCode.POSITION_SHARE, _position(account, policies), entry.notional)


def _gross(account: AccountView, policies: Policies) -> LimitUse:
    return _scaled("exposure.max_gross", policies.exposure.max_gross, account.gross, account, policies)


def gross_exposure(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit all positions and live entries together to a multiple of equity."""
    return of_usage(RefusalCode.GROSS_EXPOSURE, _gross(account, policies), entry.notional)


def _together(used: Decimal, account: AccountView, policies: Policies) -> LimitUse:
    """Measure `used` (quote), the exposure of the correlated symbols in one direction, against its limit."""
    return _scaled("correlated.max_share", policies.correlated.max_share, used, account, policies)


def _correlated(account: AccountView, policies: Policies) -> LimitUse:
    """Measure the long or the short exposure of the correlated symbols, whichever is larger."""
    return _together(max(account.correlated_long or ZERO, account.correlated_short or ZERO), account, policies)


def correlated_exposure(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the positions and live entries in the correlated symbols, in one direction, to a share of equity."""
    code = RefusalCode.CORRELATED_EXPOSURE
    used = account.correlated_long if entry.intent.side is Side.BUY else account.correlated_short
    if used is None:
        return Verdict(code, _together(ZERO, account, policies).shown, "not one of them", UNLIMITED)
    return of_usage(code, _together(used, account, policies), entry.notional)


def risk_per_trade(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the loss of the whole position at the new stop, gap allowance included, to a share of equity.

    Loss = position × (distance from the worst fill to the stop + gap allowance). The worst fill is the limit price of
    the entry, or its expected fill price worsened by the price allowance, whichever loses more. An existing position
    counts, too, since the stop of an addition applies to the whole position.
    """
    code, key, limit = RefusalCode.RISK_PER_TRADE, "risk.max_share", policies.risk.max_share
    distance = loss_at_stop(entry, policies)
    if distance is None:
        return all_or_nothing(code, _scaled(key, limit, ZERO, account, policies).shown, "no stop", passes=False)
    used = _scaled(key, limit, account.symbol_notional * distance, account, policies)
    if distance == 0:
        return all_or_nothing(code, used.shown, "0%", passes=True)
    return of_usage(code, used, entry.notional, distance)


def loss_at_stop(entry: Proposal, policies: Policies) -> Decimal | None:
    """Return the loss of an entry at its stop, gap allowance included, as a share of its notional.

    It is None without a stop, and for an entry at no price, such as one whose limit price is less than a tick.
    """
    stop, way = entry.intent.protect_at, entry.intent.side.sign
    if stop is None or not stop.is_finite():
        return None
    worst = way * max(way * entry.begins * (ONE + way * policies.order.price_allowance), way * entry.adverse)
    if worst <= ZERO:
        return None
    return max(ZERO, (worst - stop) * way / worst) + policies.risk.gap_allowance


def stop_distance_at(room: Decimal, entry: Proposal, account: AccountView, policies: Policies) -> Decimal:
    """Return the distance of the stop (share of the price) at which the limit on risk lets `room` (quote) pass."""
    notional, way = account.symbol_notional + room, entry.intent.side.sign
    scale = exposure_scale(policies.scale, account.regime, account.macro)
    loss = policies.risk.max_share * scale * account.equity / notional
    stop = entry.adverse * (ONE - way * (loss - policies.risk.gap_allowance))
    return (entry.begins - stop) * way / entry.begins


def liquidation(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Require a stop before the liquidation price, at a distance from it that is a share of the last price.

    The whole position is assumed to be opened at its average price or at the entry's adverse price, whichever leaves
    less margin at the stop. The funding paid so far per unit of the position is subtracted for every unit, new or old.
    """
    code, brackets, stop = RefusalCode.LIQUIDATION, _brackets(account), entry.intent.protect_at
    if brackets is None:
        return all_or_nothing(code, "none", "none on spot", passes=True)
    if stop is None or not stop.is_finite():
        return all_or_nothing(code, "a stop before it", "no stop", passes=False)
    way, held, begins, worst = entry.intent.side.sign, account.held, entry.adverse, entry.dearest
    if held is not None:
        begins = max(begins, held.price) if way > 0 else min(begins, held.price)
    lost = held.lost if held is not None else ZERO
    tick = account.instrument.tick
    last = max(tick, stop - way * policies.stop.liquidation_buffer * account.price)
    lost_share = lost / last

    def fits(leverage: int) -> Decimal:
        largest = brackets.largest(allowed_maintenance(begins, last, leverage, way) - lost_share)
        return (largest / last - account.symbol_quantity) * worst

    def price() -> str:
        quantity = account.symbol_quantity + entry.notional / worst
        margin = quantity * (begins / leverage_of(entry, account, policies) - lost)
        found = brackets.liquidation_price(way * quantity, way * quantity * begins, margin) if quantity > 0 else None
        return "none" if found is None else f"at {plain(floor_to(found, tick))}"

    beyond = LazyText(lambda: f"beyond {plain(floor_to(last, tick))}")
    return Verdict(code, beyond, LazyText(price), max(ZERO, _room(entry, account, policies, fits)))


def _free_margin(account: AccountView, policies: Policies) -> LimitUse:
    """Measure the free margin, which has to stay at or above a share of equity."""
    return LimitUse("margin.min_free", policies.margin.min_free, account.free_margin, account.equity)


def free_margin(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Require that a share of equity stays free of margin after the order."""
    used = _free_margin(account, policies)
    equity, spare = used.whole, used.used - used.limit * used.whole
    room = _room(entry, account, policies, lambda leverage: spare * leverage)

    def left() -> str:
        after = used.used - entry.notional / leverage_of(entry, account, policies)
        return str(ShareText(after / equity)) if equity > 0 else "no equity"

    return Verdict(RefusalCode.FREE_MARGIN, ShareText(used.limit), LazyText(left), max(ZERO, room))


def depth(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit an entry to a share of the quantity offered near the best price. A post-only entry passes."""
    code, share, intent = RefusalCode.DEPTH, policies.book.max_depth_share, entry.intent
    offered = account.ask_depth if intent.side is Side.BUY else account.bid_depth
    if offered is None or intent.post_only:
        return Verdict(code, ShareText(share), "not known" if offered is None else "none", UNLIMITED)
    worth = offered * entry.dearest
    actual = ShareText(entry.notional / worth) if worth > 0 else "nothing is offered"
    return Verdict(code, ShareText(share), actual, share * worth)


def venue_maximum(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit an order to the venue's largest limit order, and its position to the largest market order.

    A stop with a quantity, which is one market order, can then close the whole position. Market entries are sent as
    limit orders.
    """
    instrument, code = account.instrument, RefusalCode.ABOVE_MAXIMUM
    whole = instrument.market_max_quantity
    left = None if whole is None else max(ZERO, whole - account.symbol_quantity)
    bounds = [each for each in (instrument.max_quantity, left) if each is not None]
    most = instrument.max_notional
    if not bounds and most is None:
        return Verdict(code, "none known", "any", UNLIMITED)
    quantity = min(bounds, default=UNLIMITED)
    if most is not None and most < quantity * entry.worst:
        return Verdict(code, AmountText(most), AmountText(entry.notional), most)
    return Verdict(code, f"{plain(quantity)} units", f"{plain(entry.quantity)} units", quantity * entry.worst)


def _turnover(account: AccountView, policies: Policies) -> LimitUse:
    return LimitUse("pace.max_turnover", policies.pace.max_turnover, account.pace.turnover_today, account.day_opening)


def turnover(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Limit the purchases and sales of a day to a multiple of the equity with which the day began."""
    return of_usage(RefusalCode.TURNOVER, _turnover(account, policies), entry.notional)


def _mandate(account: AccountView, policies: Policies) -> LimitUse | None:
    """Measure all positions and live entries (quote) against the amount of the mandate."""
    return None if policies.mandate is None else LimitUse("mandate.amount", policies.mandate.amount, account.gross)


def mandate(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Require a mandate for the time, the symbol and the amount of an entry. Only live mode needs one."""
    code, given, used = RefusalCode.MANDATE, policies.mandate, _mandate(account, policies)
    if given is None or used is None:
        return all_or_nothing(
            code, f"a mandate in mode {account.mode}", "none", passes=account.mode in (Mode.PAPER, Mode.DEMO)
        )
    if account.now >= given.expires_ms:
        return Verdict(code, f"until {iso(given.expires_ms)}", iso(account.now), ZERO)
    if not any(fnmatchcase(entry.intent.symbol, pattern) for pattern in given.symbols):
        return Verdict(code, ",".join(given.symbols), entry.intent.symbol, ZERO)
    return Verdict(code, AmountText(used.limit), AmountText(used.used + entry.notional), used.left)


def approval(entry: Proposal, account: AccountView, policies: Policies) -> Verdict:
    """Require a person's approval of a large entry, or of every entry in the modes that the policy names."""
    code, asked, given = RefusalCode.APPROVAL_REQUIRED, policies.approval, entry.intent.approval
    if asked is None or given:
        return Verdict(code, "none needed", given, UNLIMITED)
    if account.mode in asked.modes:
        return Verdict(code, f"an approval in mode {account.mode}", "none", ZERO)
    return Verdict(code, AmountText(asked.above_notional), AmountText(entry.notional), asked.above_notional)


def leverage_of(entry: Proposal, account: AccountView, policies: Policies) -> int:
    """Return the leverage at which an entry is sent: at least 1."""
    brackets = _brackets(account)
    if brackets is None:
        return 1
    most = brackets.max_leverage(account.symbol_notional + entry.notional)
    return _settled(entry, account) or max(1, min(policies.leverage.unasked, most))


def _brackets(account: AccountView) -> Brackets | None:
    return None if account.product is Product.SPOT else account.instrument.margin_brackets


def _settled(entry: Proposal, account: AccountView) -> int | None:
    """Return the leverage of the position that an entry enlarges, or else the leverage that the entry requests."""
    return account.held.leverage if account.held is not None else entry.intent.leverage


def _room(entry: Proposal, account: AccountView, policies: Policies, fits: Callable[[int], Decimal]) -> Decimal:
    """Return the largest notional (quote) that passes; `fits` returns it for one leverage, less in higher brackets."""
    brackets = _brackets(account)
    if brackets is None:
        return fits(1)
    room = ZERO
    for leverage, cap in brackets.steps(max(1, _settled(entry, account) or policies.leverage.unasked)):
        most, ends = fits(leverage), cap - account.symbol_notional
        if most < ends:
            return max(room, most)
        room = max(room, ends)
    return room


LIMITS: Final[tuple[EntryLimit, ...]] = (
    EntryLimit(("leverage.max", "leverage.usual"), RefusalCode.LEVERAGE, judge=leverage, one_side=True),
    EntryLimit(("positions.max_open",), RefusalCode.OPEN_POSITIONS, judge=open_positions, usage=(_positions,)),
    EntryLimit(("order.max_notional",), RefusalCode.ORDER_NOTIONAL, judge=order_notional, at_fill="order"),
    EntryLimit(
        ("position.max_share",),
        RefusalCode.POSITION_SHARE,
        judge=position_share,
        usage=(_position,),
        at_fill="position",
    ),
    EntryLimit(
        ("exposure.max_gross",), RefusalCode.GROSS_EXPOSURE, judge=gross_exposure, usage=(_gross,), at_fill="gross"
    ),
    EntryLimit(
        ("correlated.max_share", "correlated.symbols"),
        RefusalCode.CORRELATED_EXPOSURE,
        judge=correlated_exposure,
        usage=(_correlated,),
        one_side=True,
        at_fill="correlated",
    ),
    EntryLimit(
        ("risk.max_share", "risk.gap_allowance"),
        RefusalCode.RISK_PER_TRADE,
        judge=risk_per_trade,
        one_side=True,
        by_stop=True,
        at_fill="stop",
    ),
    EntryLimit(("stop.liquidation_buffer",), RefusalCode.LIQUIDATION, judge=liquidation, one_side=True, by_stop=True),
    EntryLimit(("margin.min_free",), RefusalCode.FREE_MARGIN, judge=free_margin, usage=(_free_margin,), one_side=True),
    EntryLimit(("book.max_depth_share",), RefusalCode.DEPTH, judge=depth, one_side=True),
    EntryLimit(("pace.max_turnover",), RefusalCode.TURNOVER, judge=turnover, usage=(_turnover,)),
    EntryLimit(
        ("mandate.amount", "mandate.symbols", "mandate.expires"), RefusalCode.MANDATE, judge=mandate, usage=(_mandate,)
    ),
    EntryLimit((), RefusalCode.ABOVE_MAXIMUM, judge=venue_maximum, one_side=True),
    # Last: a person is not asked to approve an entry that cannot pass.
    EntryLimit(
        ("approval.above_notional", "approval.modes", "approval.answer_s"),
        RefusalCode.APPROVAL_REQUIRED,
        judge=approval,
    ),
)
"""The limits of this module, in the order in which the first refusal is shown."""
