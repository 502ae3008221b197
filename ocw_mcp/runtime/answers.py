"""What a decider answers and a caller asks for is data: it is checked before anything of it enters the engine.

It has to be of its type throughout, storable as it is, and of sizes that somebody could mean. Whether it makes sense on
the account is for the desk to say, leg by leg.
"""

from decimal import Decimal
from typing import TypeVar

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
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import GUARD, RULES

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


def sound(answer: object) -> Decision:
    """The answer as the journal can hold it.

    Raises ValueError, or msgspec's ValidationError, with one clause on what is wrong.
    """
    decision = _storable(answer, Decision, "answer")
    if wrong := _overdone(decision):
        raise ValueError(f"malformed answer: {wrong}")
    return decision


def _overdone(decision: Decision) -> str:
    """One clause on what nobody can mean about a decision, or nothing."""
    conditions = decision.wake_conditions or ()
    if len(decision.legs) > MOST_LEGS or len(conditions) > MOST_CONDITIONS:
        return f"{len(decision.legs)} legs and {len(conditions)} conditions are too many"
    for leg in decision.legs:
        if wrong := _absurd(leg):
            return wrong
    spans = [decision.next_check_s, *(each.expires_s for each in conditions)]
    if any(span is not None and abs(span) > LONGEST_SPAN_S for span in spans):
        return "a span of time is absurd"
    texts = [decision.note, decision.cause, *(text for each in conditions for text in (each.metric, each.reason))]
    names = [each.symbol for each in conditions]
    if any(len(text) > LONGEST_TEXT for text in texts) or any(len(name) > LONGEST_SYMBOL for name in names):
        return "a text is too long"
    return ""


def sound_request(request: CallerRequest) -> CallerRequest:
    """The request as the journal can hold it.

    Raises ValueError with one clause on what is wrong: with what it asks for, its key, or the name of who asks.
    """
    request = _storable(request, type(request), "request")
    for what, name in (("key", request.key), ("name", request.principal)):
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"malformed request: its {what} has {len(name)} characters, not 1 to {LONGEST_NAME}")
    if request.principal in (GUARD, RULES):
        raise ValueError(f"malformed request: {request.principal} is a part of the engine, and nobody else's name")
    wrong = ""
    match request:
        case LegRequest(leg=leg, quantity=quantity, quoted=quoted):
            wrong = _absurd(leg)
            if not wrong and not (_meant(quantity) and _meant(quoted)):
                wrong = f"a number of the leg on {leg.symbol} is absurd"
        case SubmitRequest(decision=decision, wake_id=wake_id):
            wrong = _overdone(decision) or ("no wake has such a number" if abs(wake_id) > LONGEST_SPAN_S else "")
        case HaltRequest(why=text) | NoteRequest(text=text):
            wrong = "a text is too long" if len(text) > LONGEST_TEXT else ""
        case ProtectionRequest(symbol=symbol, stop=stop, target=target):
            if len(symbol) > LONGEST_SYMBOL:
                wrong = "a text is too long"
            elif not (_meant(stop) and _meant(target)):
                wrong = f"a price on {symbol} is absurd"
        case CloseRequest(symbol=symbol, why=why):
            wrong = "a text is too long" if len(symbol) > LONGEST_SYMBOL or len(why) > LONGEST_TEXT else ""
        case ConsentRequest(approval=approval):
            wrong = "a text is too long" if len(approval) > LONGEST_NAME else ""
        case CancelRequest(ref=ref):
            if max(abs(ref.n), abs(ref.revision)) > LONGEST_SPAN_S:
                wrong = "no order has such a number"
    if wrong:
        raise ValueError(f"malformed request: {wrong}")
    return request


def _storable(given: object, kind: type[_Kind], what: str) -> _Kind:
    try:
        return msgspec.json.decode(msgspec.json.encode(given), type=kind)
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as error:
        raise ValueError(f"malformed {what}: {error}") from error


def _absurd(leg: Leg) -> str:
    """One clause on what nobody can mean about a leg, or nothing."""
    if len(leg.signals) > MOST_SIGNALS:
        return f"{len(leg.signals)} signals of one leg are too many"
    if any(len(text) > LONGEST_TEXT for text in (leg.reasoning, *leg.signals)) or len(leg.symbol) > LONGEST_SYMBOL:
        return "a text is too long"
    if not all(map(_meant, (leg.size, leg.stop, leg.target, leg.limit))):
        return f"a number of the leg on {leg.symbol} is absurd"
    if leg.leverage is not None and abs(leg.leverage) > MOST_LEVERAGE:
        return f"the leverage of the leg on {leg.symbol} is absurd"
    if leg.limit_expires_s is not None and abs(leg.limit_expires_s) > LONGEST_SPAN_S:
        return "a span of time is absurd"
    return ""


def _meant(number: Decimal | None) -> bool:
    """Whether a number can be reckoned with; NaN and infinity can, since the desk refuses them with their code."""
    if number is None:
        return True
    if not number.is_finite():
        return not number.is_snan()
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= FINEST and abs(number) <= LARGEST
