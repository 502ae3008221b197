"""Validates the answers of deciders and the requests of callers before they enter the engine.

Each value must have its type, must be storable, and must lie within bounds that no real order exceeds. A leg or a
condition that cannot be read does not affect the other parts of its decision. Numbers with too many decimal places are
rounded. The engine checks whether a decision makes sense on the account.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

from ocw_mcp.domain import asks
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.decision import LONGEST_CLAUSE, NUMBERS, Action, Decision, Leg, WakeCondition
from ocw_mcp.domain.orders import GUARD, RULES
from ocw_mcp.domain.symbols import spelt

MOST_LEGS = 64
MOST_CONDITIONS = 64
MOST_SIGNALS = 64
"""The largest number of signals of one leg."""
LONGEST_SYMBOL = 40
LONGEST_NAME = 200
"""The largest number of characters of a caller's name, and of a key."""
LONGEST_TEXT = 4_000
"""The largest number of characters of a text in an answer."""
LARGEST = Decimal("1e15")
FINEST = -18
"""The finest decimal place of a price or a size."""
LONGEST_SPAN_S = 10**9
MOST_LEVERAGE = 1_000
"""The largest accepted absolute value of a leverage; the engine checks the policy's limit."""

_Kind = TypeVar("_Kind")


class MalformedError(ValueError):
    """The error of a value that cannot enter the engine. `defect` describes the problem in one clause."""

    def __init__(self, kind: str, defect: object) -> None:
        super().__init__(f"malformed {kind}: {defect}")
        self.defect = str(defect)


def validated(answer: object, symbols: Collection[str] = ()) -> Decision:
    """Return a decider's answer as the journal can store it, with symbols spelt as the engine spells them.

    Raises MalformedError with one clause on the defect, if no part of it can be read.
    """
    legs, wanted = getattr(answer, "legs", None), getattr(answer, "wake_conditions", None)
    if not (isinstance(answer, Decision) and isinstance(legs, Sequence) and isinstance(wanted, Sequence | None)):
        return _storable(answer, Decision, "answer")
    if len(legs) > MOST_LEGS or len(wanted or ()) > MOST_CONDITIONS:
        raise MalformedError("answer", f"{len(legs)} legs and {len(wanted or ())} conditions, at most {MOST_LEGS} each")
    read = tuple(_leg(leg, symbols) for leg in legs)
    unread = list(answer.unread)
    conditions: list[WakeCondition] = []
    for place, given in enumerate(wanted or ()):
        if (each := _condition(given, place, symbols, unread)) is not None:
            moved = not each.place and place != len(conditions)
            conditions.append(msgspec.structs.replace(each, place=place + 1) if moved else each)
    next_check_s = answer.next_check_s
    if next_check_s is not None and not _span(next_check_s):
        unread.append(f"next_check_s must be whole seconds, at most {LONGEST_SPAN_S:,}")
        next_check_s = None
    problems = [*(f"{leg.symbol} {leg.malformed}".strip() for leg in read if leg.malformed), *unread]
    if problems and not conditions and all(leg.malformed for leg in read):
        raise MalformedError("answer", problems[0])
    cause = answer.cause and Cause(answer.cause.kind, _cut(answer.cause.detail))
    fields = {"next_check_s": next_check_s, "note": _cut(answer.note), "cause": cause}
    without_lists = msgspec.structs.replace(answer, legs=(), wake_conditions=None, **fields)
    return msgspec.structs.replace(
        _storable(without_lists, Decision, "answer"),
        legs=read,
        wake_conditions=None if wanted is None else tuple(conditions),
        unread=tuple(_cut(each, LONGEST_CLAUSE) for each in unread[:MOST_CONDITIONS]),
    )


def validated_request(request: asks.CallerRequest, symbols: Collection[str] = ()) -> asks.CallerRequest:
    """Return a request as the journal can store it, with symbols spelt as the engine spells them.

    Raises MalformedError with one clause on the defect of the request, of its key, or of the caller's name.
    """
    if isinstance(request, asks.SubmitRequest):
        try:
            request = msgspec.structs.replace(request, decision=validated(request.decision, symbols))
        except MalformedError as error:
            raise MalformedError("request", error.defect) from None
    request = _storable(request, type(request), "request")
    for part, name in (("key", request.key), ("name", request.principal)):
        if not 0 < len(name) <= LONGEST_NAME:
            raise MalformedError("request", f"its {part} has {len(name)} characters, not 1 to {LONGEST_NAME}")
    if request.principal in (GUARD, RULES):
        raise MalformedError("request", f"{request.principal} is the name of a part of the engine, not of a caller")
    too_long = False
    wrong = ""
    match request:
        case asks.LegRequest(leg=leg, quantity=quantity, quoted=quoted):
            leg = _leg(leg, symbols)
            request = msgspec.structs.replace(request, leg=leg, quantity=_rounded(quantity))
            wrong = leg.malformed
            if not wrong and not (_in_range(quantity) and _in_range(quoted)):
                wrong = f"a number of the leg on {leg.symbol} is out of range"
        case asks.SubmitRequest(wake_id=wake_id):
            wrong = "no wake has such a number" if abs(wake_id) > LONGEST_SPAN_S else ""
        case asks.HaltRequest(why=text) | asks.NoteRequest(text=text):
            wrong = "a text is too long" if len(text) > LONGEST_TEXT else ""
        case asks.ProtectionRequest(symbol=symbol):
            stop, target, trail = _rounded(request.stop), _rounded(request.target), _rounded(request.trail)
            terms = {"symbol": spelt(symbol, symbols), "stop": stop, "target": target, "trail": trail}
            request = msgspec.structs.replace(request, **terms)
            too_long = len(symbol) > LONGEST_SYMBOL
            wrong = "" if all(map(_in_range, (stop, target, trail))) else f"a price on {symbol} is out of range"
        case asks.CloseRequest(symbol=symbol, why=why):
            request = msgspec.structs.replace(request, symbol=spelt(symbol, symbols), why=_cut(why))
            too_long = len(symbol) > LONGEST_SYMBOL
        case asks.ConsentRequest(approval=approval):
            wrong = "a text is too long" if len(approval) > LONGEST_NAME else ""
        case asks.CancelRequest(ref=ref):
            wrong = "no order has such a number" if max(abs(ref.n), abs(ref.revision)) > LONGEST_SPAN_S else ""
    if too_long or wrong:
        raise MalformedError("request", "a symbol is too long" if too_long else wrong)
    return request


def _leg(given: object, symbols: Collection[str]) -> Leg:
    """Return a leg as it can be stored; a leg that cannot be read comes back with the reason in `malformed`."""
    try:
        if isinstance(given, Leg):
            given = msgspec.structs.replace(given, **{name: _rounded(getattr(given, name)) for name in NUMBERS})
        leg = _storable(given, Leg, "leg")
        wrong = leg.malformed or _defect(leg)
    except MalformedError as error:
        wrong = error.defect
    except (ValueError, RecursionError) as error:
        wrong = str(error)
    if not wrong:
        return msgspec.structs.replace(leg, symbol=spelt(leg.symbol, symbols))
    symbol, action = getattr(given, "symbol", ""), getattr(given, "action", None)
    return Leg(
        spelt(_printable(symbol), symbols)[:LONGEST_SYMBOL] if isinstance(symbol, str) else "",
        action if isinstance(action, Action) else Action.HOLD,
        malformed=_cut(_printable(wrong), LONGEST_CLAUSE),
    )


def _condition(given: object, place: int, symbols: Collection[str], unread: list[str]) -> WakeCondition | None:
    """Return a condition as it can be stored. If it cannot be read, add the reason to `unread` and return None."""
    try:
        if isinstance(given, WakeCondition):
            given = msgspec.structs.replace(given, metric=_cut(given.metric), reason=_cut(given.reason))
        read = _storable(given, WakeCondition, "condition")
        if len(read.symbol) > LONGEST_SYMBOL:
            raise MalformedError("condition", "its symbol is too long")
        if read.expires_s is not None and not _span(read.expires_s):
            raise MalformedError("condition", f"expires_s must be whole seconds, at most {LONGEST_SPAN_S:,}")
        if not 0 <= read.place <= MOST_CONDITIONS:
            raise MalformedError("condition", f"its place is {read.place}, not 0 to {MOST_CONDITIONS}")
    except MalformedError as error:
        place = getattr(given, "place", 0) or place + 1
        unread.append(f"condition {place} could not be read: {_printable(error.defect)}")
        return None
    return msgspec.structs.replace(read, symbol=spelt(read.symbol, symbols))


def _storable(given: object, kind: type[_Kind], name: str) -> _Kind:
    try:
        return msgspec.json.decode(msgspec.json.encode(given), type=kind)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise MalformedError(name, error) from error


def _defect(leg: Leg) -> str:
    """Return one clause on a value of a leg that is out of bounds, or an empty string."""
    if len(leg.signals) > MOST_SIGNALS:
        return f"it has {len(leg.signals)} signals, at most {MOST_SIGNALS}"
    weights = leg.signal_weights
    if len(weights) > MOST_SIGNALS or any(len(name) > LONGEST_NAME or not abs(each) <= 1 for name, each in weights):
        return f"its signal_weights are not at most {MOST_SIGNALS} numbers from -1 to 1 by short names"
    if len(leg.symbol) > LONGEST_SYMBOL or any(len(text) > LONGEST_TEXT for text in (leg.reasoning, *leg.signals)):
        return "its symbol or one of its texts is too long"
    beyond = [name for name in NUMBERS if not _in_range(getattr(leg, name))]
    if leg.leverage is not None and abs(leg.leverage) > MOST_LEVERAGE:
        beyond.append("leverage")
    if beyond:
        return f"its {beyond[0]} is out of range"
    if leg.limit_expires_s is not None and not _span(leg.limit_expires_s):
        return f"its limit_expires_s must be whole seconds, at most {LONGEST_SPAN_S:,}"
    return ""


def _in_range(number: Decimal | None) -> bool:
    """Return whether a number is within bounds, or is a quiet NaN or infinite, which the engine refuses itself."""
    if number is None or not number.is_finite():
        return number is None or not number.is_snan()
    return not _too_fine(number) and abs(number) <= LARGEST


def _too_fine(number: Decimal) -> bool:
    """Return whether a finite number has more decimal places than `FINEST` allows."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent < FINEST


def _rounded(number: Decimal | None) -> Decimal | None:
    """Return a number rounded to the finest decimal place; a number that would become 0 stays as it is."""
    if not (isinstance(number, Decimal) and number.is_finite() and _too_fine(number) and abs(number) <= LARGEST):
        return number
    try:
        return number.quantize(Decimal(1).scaleb(FINEST)).normalize() or number
    except InvalidOperation:
        return number


def _span(seconds: object) -> bool:
    return isinstance(seconds, int) and not isinstance(seconds, bool) and abs(seconds) <= LONGEST_SPAN_S


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the first `longest` characters of a text; return a value of another type unchanged."""
    return text[:longest] if isinstance(text, str) else text


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
