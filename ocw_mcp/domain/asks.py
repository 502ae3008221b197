"""What somebody attached to the running engine can ask for, outside any wake. All of it goes through the one door."""

import hashlib
import re
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Side

PREVIEW_GOOD_FOR_S: Final = 60
"""A person's minute: it is the wall's, however fast a simulated market runs. The mark price binds beside it."""
TAINTED: Final = "ocw/tainted"
"""In the `_meta` of a call: whoever calls has read what others wrote on the way to it."""


class LegRequest(msgspec.Struct, frozen=True, tag="leg", tag_field="asks"):
    """Carry out one leg: enter, add, or close a whole position."""

    key: str
    """The same key of the same caller gets the same answer, however often it is sent."""
    principal: str
    """Who asks."""
    leg: Leg
    quantity: Decimal | None = None
    """Base asset, in place of the leg's share of equity."""
    side: Side | None = None
    """The side that the caller was shown: what an ADD means hangs on the position."""
    quoted: Decimal | None = None
    """The mark price that the caller was shown: the order does not pass where the market has left it."""
    preview: str = ""
    """The preview that it places, if any."""


class CloseRequest(msgspec.Struct, frozen=True, tag="close", tag_field="asks"):
    """Close a symbol's whole position, whichever way it goes, or take back an entry that waits to open one."""

    key: str
    principal: str
    symbol: str
    why: str = ""


class CancelRequest(msgspec.Struct, frozen=True, tag="cancel", tag_field="asks"):
    """Take a live entry off. What protects or closes a position is never taken off on request."""

    key: str
    principal: str
    ref: OrderRef


class ProtectionRequest(msgspec.Struct, frozen=True, tag="protection", tag_field="asks"):
    """Tighten a position's stop, or set its target (quote). None leaves the one or the other as it is."""

    key: str
    principal: str
    symbol: str
    stop: Decimal | None = None
    target: Decimal | None = None


class HaltRequest(msgspec.Struct, frozen=True, tag="halt", tag_field="asks"):
    """Halt the desk. Nothing that can be asked for here resumes it."""

    key: str
    principal: str
    why: str = ""


class NoteRequest(msgspec.Struct, frozen=True, tag="note", tag_field="asks"):
    """Write something down in the journal. It is data: nobody acts on it."""

    key: str
    principal: str
    text: str


class ConsentRequest(msgspec.Struct, frozen=True, tag="consent", tag_field="asks"):
    """Give the answer of the person in front of a client to an order of that client's that waits; on paper only."""

    key: str
    principal: str
    approval: str
    """The id under which the order waits."""
    yes: bool


class SubmitRequest(msgspec.Struct, frozen=True, tag="submit", tag_field="asks"):
    """Answer a wake, with all legs at once; once more, where some were refused, to correct those."""

    key: str
    principal: str
    wake_id: int
    decision: Decision
    tainted: bool = False
    """Whether what others wrote was read on the way to it."""


class Waits(msgspec.Struct, frozen=True, tag="waits", tag_field="answer"):
    """An order that a person has to approve; nothing is sent meanwhile, and no answer until `expires_at` (ms) is no."""

    approval_id: str
    expires_at: int


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="answer"):
    """It was done, and no order came of it. `name` is under what its parts were answered, if it had some."""

    name: str = ""
    refused: tuple[str, ...] = ()
    """What of a decision was not taken beside its legs, such as a wake condition: one sentence each."""


CallerRequest = (
    LegRequest
    | CloseRequest
    | CancelRequest
    | ProtectionRequest
    | HaltRequest
    | NoteRequest
    | ConsentRequest
    | SubmitRequest
)


ASKED_BY: Final = "asked by "
"""How the key of what a caller asked for begins; that of a wake's leg does not."""
_CALLER: Final = re.compile(rf"""{ASKED_BY}('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): """)


def order_key(request: CallerRequest) -> str:
    """The idempotency key of what a request does: no other caller has it, and no wake."""
    return f"{ASKED_BY}{request.principal!r}: {request.key}"


def asked_by(key: str) -> str:
    """Whose such a key is, as it is written there; nothing for the keys of wakes."""
    found = _CALLER.match(key)
    return found[1] if found else ""


def submit_key(wake_id: int, decision: Decision) -> str:
    """The key of an answer to a wake: the same legs are the same answer, however it is put; others are a correction."""
    return f"wake:{wake_id}:{_digest([_wordless(leg) for leg in decision.legs])[:16]}"


def substance(request: CallerRequest) -> str:
    """A digest of what is asked for, by which a key that is used again for something else is told.

    Words do not count, nor what was shown: whoever asks again because no answer came may put it differently.
    """
    match request:
        case LegRequest(preview=preview) if preview:
            what: object = ("place", preview)
        case LegRequest(leg=leg, quantity=quantity):
            what = ("leg", _wordless(leg), quantity)
        case CloseRequest(symbol=symbol):
            what = ("close", symbol)
        case HaltRequest():
            what = "halt"
        case SubmitRequest(wake_id=wake_id, decision=decision):
            what = ("submit", submit_key(wake_id, decision))
        case _:
            what = request
    return _digest(what)[:32]


def _wordless(leg: Leg) -> Leg:
    """What a leg does, without why and how surely."""
    return msgspec.structs.replace(leg, reasoning="", signals=(), confidence=None)


def _digest(what: object) -> str:
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()
