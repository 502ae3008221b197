"""What happened since the last answered wake, and what stands, as short lines in traders' words.

Texts of other authors than the reader are quoted as data.
"""

from collections.abc import Iterator
from decimal import Decimal

from ocw_mcp.domain.happenings import GuardPlan, Happening, HappeningKind, RestingOrder, StandingCondition
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OutsideCause
from ocw_mcp.domain.reject_reasons import NOT_SENT_FOR, RejectReason
from ocw_mcp.domain.snapshot import PositionView, Snapshot
from ocw_mcp.domain.time import iso
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import LONGEST_REMARK, name, not_taken_lines, quotation, untrusted
from ocw_mcp.render.text import average, cents, funding_text, span

_CLOSED_BY = {
    "stop": "stop filled",
    "target": "target filled",
    OutsideCause.FOUND: "corrected to what was found at the exchange",
}
_LAPSED = {"expired": "lapsed", "venue": "was cancelled by the venue", "price": "did not fill within its price"}


def since_lines(snapshot: Snapshot, reader: str) -> list[str]:
    """Return the lines of the happenings under one header, and the parts of the last decision that were not taken.

    Without any, the header says so; at the first wake there is no line.
    """
    lines = [f"- {_day(each.at, snapshot.at)} {happening_text(each)}" for each in snapshot.since]
    if snapshot.since_dropped:
        lines.append(f"- {snapshot.since_dropped} more, dropped for length")
    lines += [f"- {line}" for line in not_taken_lines(snapshot, reader)]
    if not lines and not snapshot.since_wake:
        return []
    began = f"since wake {snapshot.since_wake}" if snapshot.since_wake else "so far"
    return [f"{began}:", *lines] if lines else [f"{began}: nothing"]


def refused_then(snapshot: Snapshot) -> str:
    """Return the legs that were refused with the decision that wrote the note, for the end of the note's line."""
    legs = [f"{each.cause} {name(each.symbol)} {each.code}" for each in snapshot.note_refused]
    return f" (refused then: {', '.join(legs)})" if legs else ""


def standing_lines(snapshot: Snapshot, reader: str) -> list[str]:
    """Return the lines of the resting orders, the guard's plans, the wake conditions and the timer."""
    at = snapshot.at
    lines = [line for each in snapshot.resting for line in _resting_lines(each, snapshot, reader)]
    lines += [line for held in snapshot.positions.values() for line in _position_lines(held, reader, at)]
    for each in snapshot.conditions:
        lines += _condition_lines(each, reader, at)
    if snapshot.next_check_at is not None:
        ahead = max(0, snapshot.next_check_at - at)
        lines.append(f"next check at {_day(snapshot.next_check_at, at)}, in {span(ahead)}")
    return lines


def happening_text(happening: Happening) -> str:
    """Return a happening in one line: `ETHUSDT stop filled at 139.02, -0.81 % (trade -12.40)`."""
    text = _text(happening)
    return f"{text}, {happening.times} times" if happening.times > 1 and happening.kind in _COUNTED else text


_COUNTED = (
    *(HappeningKind.REFUSED, HappeningKind.REJECTED, HappeningKind.NOT_CANCELLED),
    *(HappeningKind.INCIDENT, HappeningKind.LIMIT),
)


def _text(what: Happening) -> str:
    symbol, by = name(what.symbol), f" by {name(what.by)}" if what.by else ""
    match what.kind:
        case HappeningKind.FILLED:
            cause = f" ({what.cause})" if what.cause else ""
            return f"{_side(what)} {_size(what)} {symbol} filled at {_at(what.price)}{by}{cause}"
        case HappeningKind.REDUCED:
            return f"{symbol} {_closing(what)}: {_side(what)} {_size(what)} at {_at(what.price)}{_result(what)}"
        case HappeningKind.CLOSED:
            return f"{symbol} {_closing(what)} at {_at(what.price)}{_result(what)}"
        case HappeningKind.STOP_MOVED | HappeningKind.TARGET_MOVED:
            moved = "stop" if what.kind is HappeningKind.STOP_MOVED else "target"
            path = f"moved {_at(what.previous)} -> {_at(what.price)}" if what.previous else f"set at {_at(what.price)}"
            return f"{symbol} {moved} {path}{by}"
        case HappeningKind.LAPSED | HappeningKind.CANCELLED | HappeningKind.NOT_CANCELLED | HappeningKind.REJECTED:
            return _ended(what)
        case HappeningKind.REFUSED:
            return f"refused: {what.cause} {symbol} {what.code}{by}"
        case HappeningKind.CONDITIONS_ENDED:
            return f"wake conditions ended with the position: {untrusted(what.detail)}"
        case HappeningKind.STATE:
            return f"trading state is {what.cause}: {untrusted(what.detail)}"
        case HappeningKind.LIMIT:
            return f"{what.cause} limit reached: {what.detail}"
        case HappeningKind.COMMAND:
            return f"command {what.cause}{f' {symbol}' if what.symbol else ''}{by}"
        case HappeningKind.FUNDING:
            return f"{symbol} {funding_text(what.amount or Decimal(0))}"
        case HappeningKind.TRANSFER:
            return f"transfer of {cents(what.amount or Decimal(0), signed=True)}"
        case HappeningKind.MARKET_ENDED:
            return f"the market of {symbol} has ended"
        case HappeningKind.INCIDENT:
            return f"incident: {untrusted(what.detail)}"


def _closing(what: Happening) -> str:
    """Return what closed a position or a part of it, after the symbol."""
    if what.cause in _CLOSED_BY:
        return _CLOSED_BY[what.cause]
    verb, by = "reduced" if what.kind is HappeningKind.REDUCED else "closed", name(what.by)
    if not what.by:
        return f"{verb} by {what.cause or 'the venue'}"
    return (
        f"{verb} by {by}" if what.cause in ("leg", "client", "operator", what.by) else f"{verb} by {by} ({what.cause})"
    )


def _result(what: Happening) -> str:
    """Return the gain of a reduction or a close from its prices, in percent, and its result in quote currency."""
    share = ""
    if what.price and what.previous and what.quantity:
        gain = float(what.price / what.previous - 1) * (-1 if what.quantity > 0 else 1)
        share = f", {100 * gain:+.2f} %"
    # The gain is that of the last order, and the result that of the whole trade, whose earlier parts may have gained.
    whole = "trade " if what.kind is HappeningKind.CLOSED else ""
    amount = "" if what.amount is None else f" ({whole}{cents(what.amount, signed=True)})"
    return f"{share}{amount}"


def _ended(what: Happening) -> str:
    if what.cause == "stop":
        return f"{name(what.symbol)} stop {_at(what.price)} {_rejected(what.code)}"
    price = f"limit {_side(what)} {_size(what)} {name(what.symbol)} at {_at(what.price)}"
    after = "" if what.began_at is None else f" after {span(what.at - what.began_at)}"
    filled = "unfilled" if what.filled is None else f"{plain(abs(what.filled))} filled before"
    if what.kind is HappeningKind.REJECTED:
        return f"{price} {_rejected(what.code)}"
    if what.kind is HappeningKind.NOT_CANCELLED:
        return f"{price} not cancelled: the venue refused, and it may still trade"
    if what.kind is HappeningKind.CANCELLED:
        return f"{price} cancelled{after}, {filled}: {untrusted(what.detail)}"
    return f"{price} {_LAPSED.get(what.cause, 'lapsed')}{after} {filled}"


def _rejected(code: str) -> str:
    reason = RejectReason.__members__.get(code)
    if reason is None:
        return f"rejected by the venue with {name(code)}"
    return f"{'not sent:' if reason in NOT_SENT_FOR else 'rejected by the venue with'} {reason} ({reason.meaning})"


def _resting_lines(order: RestingOrder, snapshot: Snapshot, reader: str) -> Iterator[str]:
    yield f"resting: {resting_text(order, snapshot.at)}"
    held = snapshot.positions.get(order.symbol)
    shown = held.thesis.text if held is not None and held.thesis is not None else ""
    if order.thesis and order.by == reader and order.thesis != shown:
        yield f"thesis of the entry in {name(order.symbol)}: {untrusted(order.thesis, LONGEST_REMARK)}"


def resting_text(order: RestingOrder, at: int) -> str:
    """Return a resting order with its age and expiry: `limit BUY 0.5 ETHUSDT at 138.2, stop 131, 12m old`."""
    kind = "market" if order.limit is None else "limit"
    price = "" if order.limit is None else f" at {_at(order.limit)}"
    protected = {"stop": order.stop, "target": order.target}
    parts = [f"{kind} {order.side.upper()} {plain(order.quantity)} {name(order.symbol)}{price}"]
    parts += [f"{word} {_at(value)}" for word, value in protected.items() if value is not None]
    if order.sent_at is not None:
        parts.append(f"{span(at - order.sent_at)} old")
    if order.filled:
        parts.append(f"{plain(order.filled)} filled")
    if order.expires_at is not None:
        parts.append(f"expires in {span(max(0, order.expires_at - at))}")
    if order.cancelling:
        parts.append("being cancelled")
    reference = f"waits for approval {order.approval}" if order.order is None else f"order {order.order}"
    return ", ".join([*parts, f"by {name(order.by)}", reference])


def _position_lines(held: PositionView, reader: str, at: int) -> Iterator[str]:
    if held.guard is not None:
        yield f"guard {name(held.symbol)}: {guard_text(held.guard, at, long=held.quantity > 0)}"
    if (thesis := held.thesis) is not None:
        label = f"thesis of {name(held.symbol)}"
        own = f"{label}: {untrusted(thesis.text, LONGEST_REMARK)}"
        yield own if thesis.by == reader else quotation(label, thesis.by, thesis.at, thesis.text, LONGEST_REMARK)


def guard_text(plan: GuardPlan, at: int, *, long: bool) -> str:
    """Return what the guard will do with a position."""
    lower, upper = ("below", "above") if long else ("above", "below")
    trail = (
        f"trailing from {_at(plan.trail_from)}" if plan.trail_at is None else f"{lower} {_at(plan.trail_at)} (trailing)"
    )
    parts = [
        f"closes {lower} {_at(plan.max_loss_at)} (max loss)",
        f"{upper} {_at(plan.take_profit_at)} (take profit)",
        trail,
        f"in {span(max(0, plan.max_hold_until - at))} (max hold)",
    ]
    if plan.deadline is not None:
        parts.insert(0, f"no stop yet, closes in {span(max(0, plan.deadline - at))} without one")
    if plan.stop_trail is not None:
        parts.append(f"stop follows the best price at {plain(round(100 * plan.stop_trail, 2))} %")
    if plan.reduce_to is not None:
        parts.append(f"is reduced to {plain(plan.reduce_to)}")
    return f"{', '.join(parts)}; score band {plan.band}"


def _condition_lines(standing: StandingCondition, reader: str, at: int) -> Iterator[str]:
    condition, by = standing.condition, standing.by
    now = "?" if isinstance(standing.reading, Unknown) else f"{standing.reading:.6g}"
    what = f"{name(condition.symbol)} {untrusted(condition.metric, 40)} {condition.comparison} {condition.threshold:g}"
    ends = ", ends with the position" if standing.with_position else ""
    own = f" ({untrusted(condition.reason, LONGEST_REMARK)})" if condition.reason and by == reader else ""
    age, left = span(at - standing.set_at), span(max(0, standing.expires_at - at))
    yield f"wakes on {what}, now {now}, set {age} ago, expires in {left}{ends}{own}"
    if condition.reason and by != reader:
        yield quotation(f"on {what}", by, standing.set_at, condition.reason, LONGEST_REMARK)


def _side(what: Happening) -> str:
    return "BUY" if (what.quantity or 0) > 0 else "SELL"


def _size(what: Happening) -> str:
    return plain(abs(what.quantity or Decimal(0)))


def _at(price: Decimal | float | None) -> str:
    if price is None:
        return "?"
    return plain(average(price if isinstance(price, Decimal) else Decimal(repr(price))))


def _day(ms: int, now: int) -> str:
    """Return a time in UTC: without its date if that is the date of `now`."""
    text, today = iso(ms), iso(now)[:10]
    return text[11:16] if text[:10] == today else text[:16]
