"""What a decider answers and a caller asks for is data: it is checked before anything of it enters the engine.

It has to be of its type throughout, storable as it is, and of sizes that somebody could mean. A decision is checked
part by part: a leg or a condition that cannot be read does not take the others with it. Numbers with too many decimal
places are rounded. Whether it makes sense on the account is for the desk to say.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec

from ocw_mcp.domain.asks import (
    CallerRequest,
    CancelRequest,
    CloseRequest,
    ConsentRequest,
    HaltRequest,
    LegRequest,
    NoteRequest,
    ProtectionRequest,
    SubmitRequest,
)
from ocw_mcp.domain.decision import LONGEST_CLAUSE, NUMBERS, Action, Decision, Leg, WakeCondition
from ocw_mcp.domain.orders import GUARD, RULES
from ocw_mcp.domain.symbols import spelt

MOST_LEGS = 64
MOST_CONDITIONS = 64
MOST_SIGNALS = 64
"""Of one leg."""
LONGEST_SYMBOL = 40
LONGEST_NAME = 200
"""Characters of a caller's name, and of a key."""
LONGEST_TEXT = 4_000
"""Characters of any text of an answer."""
LARGEST = Decimal("1e15")
FINEST = -18
"""Decimal places beyond which no price or size lies."""
LONGEST_SPAN_S = 10**9
MOST_LEVERAGE = 1_000
"""What is above, or as far below 0, nobody means; what the policy allows is for the desk to say."""

_Kind = TypeVar("_Kind")


def sound(answer: object, symbols: Collection[str] = ()) -> Decision:
    """Return the answer as the journal can hold it, with symbols spelt as the engine spells them.

    Raises ValueError, or msgspec's ValidationError, with one clause on what is wrong, where no part of it can be read.
    """
    if not isinstance(answer, Decision):
        return _storable(answer, Decision, "answer")
    legs: Any = answer.legs
    wished: Any = answer.wake_conditions
    if not isinstance(legs, Sequence) or not isinstance(wished, Sequence | None):
        return _storable(answer, Decision, "answer")
    if len(legs) > MOST_LEGS or len(wished or ()) > MOST_CONDITIONS:
        raise ValueError(f"malformed answer: {len(legs)} legs and {len(wished or ())} conditions are too many")
    read = [_leg(leg, symbols) for leg in legs]
    unread = list(answer.unread)
    conditions: list[WakeCondition] = []
    for place, given in enumerate(wished or ()):
        if (each := _condition(given, place, symbols, unread)) is not None:
            moved = not each.place and place != len(conditions)
            conditions.append(msgspec.structs.replace(each, place=place + 1) if moved else each)
    next_check_s = answer.next_check_s
    if next_check_s is not None and not _span(next_check_s):
        unread.append("next_check_s is no span of time")
        next_check_s = None
    problems = [*(f"{leg.symbol} {leg.malformed}".strip() for leg in read if leg.malformed), *unread]
    if problems and not conditions and all(leg.malformed for leg in read):
        raise ValueError(f"malformed answer: {problems[0]}")
    rest = msgspec.structs.replace(
        answer,
        legs=(),
        wake_conditions=None,
        next_check_s=next_check_s,
        note=_cut(answer.note),
        cause=_cut(answer.cause),
    )
    return msgspec.structs.replace(
        _storable(rest, Decision, "answer"),
        legs=tuple(read),
        wake_conditions=None if wished is None else tuple(conditions),
        unread=tuple(_cut(each, LONGEST_CLAUSE) for each in unread[:MOST_CONDITIONS]),
    )


def sound_request(request: CallerRequest, symbols: Collection[str] = ()) -> CallerRequest:
    """Return the request as the journal can hold it, with symbols spelt as the engine spells them.

    Raises ValueError with one clause on what is wrong: with what it asks for, its key, or the name of who asks.
    """
    if isinstance(request, SubmitRequest):
        try:
            request = msgspec.structs.replace(request, decision=sound(request.decision, symbols))
        except ValueError as error:
            raise ValueError(f"malformed request: {str(error).removeprefix('malformed answer: ')}") from None
    request = _storable(request, type(request), "request")
    for what, name in (("key", request.key), ("name", request.principal)):
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"malformed request: its {what} has {len(name)} characters, not 1 to {LONGEST_NAME}")
    if request.principal in (GUARD, RULES):
        raise ValueError(f"malformed request: {request.principal} is a part of the engine, and nobody else's name")
    wrong = ""
    match request:
        case LegRequest(leg=leg, quantity=quantity, quoted=quoted):
            leg = _leg(leg, symbols)
            request = msgspec.structs.replace(request, leg=leg, quantity=_rounded(quantity))
            wrong = leg.malformed
            if not wrong and not (_meant(quantity) and _meant(quoted)):
                wrong = f"a number of the leg on {leg.symbol} is absurd"
        case SubmitRequest(wake_id=wake_id):
            wrong = "no wake has such a number" if abs(wake_id) > LONGEST_SPAN_S else ""
        case HaltRequest(why=text) | NoteRequest(text=text):
            wrong = "a text is too long" if len(text) > LONGEST_TEXT else ""
        case ProtectionRequest(symbol=symbol, stop=stop, target=target):
            stop, target = _rounded(stop), _rounded(target)
            request = msgspec.structs.replace(request, symbol=spelt(symbol, symbols), stop=stop, target=target)
            if len(symbol) > LONGEST_SYMBOL:
                wrong = "a symbol is too long"
            elif not (_meant(stop) and _meant(target)):
                wrong = f"a price on {symbol} is absurd"
        case CloseRequest(symbol=symbol, why=why):
            request = msgspec.structs.replace(request, symbol=spelt(symbol, symbols), why=_cut(why))
            wrong = "a symbol is too long" if len(symbol) > LONGEST_SYMBOL else ""
        case ConsentRequest(approval=approval):
            wrong = "a text is too long" if len(approval) > LONGEST_NAME else ""
        case CancelRequest(ref=ref):
            if max(abs(ref.n), abs(ref.revision)) > LONGEST_SPAN_S:
                wrong = "no order has such a number"
    if wrong:
        raise ValueError(f"malformed request: {wrong}")
    return request


def _leg(given: object, symbols: Collection[str]) -> Leg:
    """Return a leg as it can be stored, or what is left of it with the reason why it cannot be read."""
    try:
        leg = _storable(_trimmed(given), Leg, "leg")
        wrong = leg.malformed or _absurd(leg)
    except (ValueError, RecursionError) as error:
        wrong = str(error).removeprefix("malformed leg: ")
    if not wrong:
        return msgspec.structs.replace(leg, symbol=spelt(leg.symbol, symbols))
    symbol, action = getattr(given, "symbol", ""), getattr(given, "action", None)
    return Leg(
        spelt(_printable(symbol), symbols)[:LONGEST_SYMBOL] if isinstance(symbol, str) else "",
        action if isinstance(action, Action) else Action.HOLD,
        malformed=_cut(_printable(wrong), LONGEST_CLAUSE),
    )


def _trimmed(given: object) -> object:
    """Return a leg with its numbers rounded, as far as they are numbers."""
    if not isinstance(given, Leg):
        return given
    return msgspec.structs.replace(given, **{name: _rounded(getattr(given, name)) for name in NUMBERS})


def _condition(given: object, place: int, symbols: Collection[str], unread: list[str]) -> WakeCondition | None:
    """Return a condition as it can be stored; None where it cannot be read, with the reason added to `unread`."""
    try:
        if isinstance(given, WakeCondition):
            given = msgspec.structs.replace(given, metric=_cut(given.metric), reason=_cut(given.reason))
        read = _storable(given, WakeCondition, "condition")
        if len(read.symbol) > LONGEST_SYMBOL:
            raise ValueError("its symbol is too long")
        if read.expires_s is not None and not _span(read.expires_s):
            raise ValueError("expires_s is no span of time")
        if not 0 <= read.place <= MOST_CONDITIONS:
            raise ValueError("its place is none")
    except ValueError as error:
        place = getattr(given, "place", 0) or place + 1
        why = _printable(str(error).removeprefix("malformed condition: "))
        unread.append(f"condition {place} could not be read: {why}")
        return None
    return msgspec.structs.replace(read, symbol=spelt(read.symbol, symbols))


def _storable(given: object, kind: type[_Kind], what: str) -> _Kind:
    try:
        return msgspec.json.decode(msgspec.json.encode(given), type=kind)
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as error:
        raise ValueError(f"malformed {what}: {error}") from error


def _absurd(leg: Leg) -> str:
    """Return one clause on what nobody can mean about a leg, or nothing."""
    if len(leg.signals) > MOST_SIGNALS:
        return f"its {len(leg.signals)} signals are too many"
    if len(leg.symbol) > LONGEST_SYMBOL or any(len(text) > LONGEST_TEXT for text in (leg.reasoning, *leg.signals)):
        return "a text of it is too long"
    for name in NUMBERS:
        if not _meant(getattr(leg, name)):
            return f"its {name} is absurd"
    if leg.leverage is not None and abs(leg.leverage) > MOST_LEVERAGE:
        return "its leverage is absurd"
    if leg.limit_expires_s is not None and not _span(leg.limit_expires_s):
        return "its limit_expires_s is no span of time"
    return ""


def _meant(number: Decimal | None) -> bool:
    """Return whether a number can be reckoned with; NaN and infinity can, since the desk refuses them by name."""
    if number is None:
        return True
    if not number.is_finite():
        return not number.is_snan()
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= FINEST and abs(number) <= LARGEST


def _rounded(number: Decimal | None) -> Decimal | None:
    """Return a number without the decimal places beyond the finest price; one that would be nothing stays as it is."""
    if not isinstance(number, Decimal) or not number.is_finite():
        return number
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= FINEST or abs(number) > LARGEST:
        return number
    try:
        return number.quantize(Decimal(1).scaleb(FINEST)).normalize() or number
    except InvalidOperation:
        return number


def _span(seconds: object) -> bool:
    """Return whether a number of seconds can be reckoned with."""
    return isinstance(seconds, int) and not isinstance(seconds, bool) and abs(seconds) <= LONGEST_SPAN_S


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the beginning of a text; anything that is no text is left for the check of its type."""
    return text[:longest] if isinstance(text, str) else text


def _printable(text: str) -> str:
    """Return a text that can be stored."""
    return text.encode("utf-8", "replace").decode()
