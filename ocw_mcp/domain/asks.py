"""The requests of attached clients to the running engine, and the keys under which they are answered."""

import hashlib
from decimal import Decimal
from typing import Final, Literal

import msgspec

from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Side

PREVIEW_GOOD_FOR_S: Final = 60
"""Seconds of real time, however fast a simulated market runs. The mark price of the preview binds as well."""
TAINTED: Final = "ocw/tainted"
"""The `_meta` field that marks a call as tainted: its caller had read untrusted text before."""


class LegRequest(msgspec.Struct, frozen=True, tag="leg", tag_field="asks"):
    """Execute one leg: enter, add, or close a whole position."""

    key: str
    """The same key of the same caller gets the same answer, however often it is sent."""
    principal: str
    """The caller's name."""
    leg: Leg
    quantity: Decimal | None = None
    """The quantity (base asset) that replaces the leg's share of equity."""
    side: Side | None = None
    """The side that the caller was shown: the meaning of an ADD depends on the position."""
    quoted: Decimal | None = None
    """The mark price that the caller was shown: the order is refused if the market has moved too far from it."""
    preview: str = ""
    """The preview that it places, if any."""


class CloseRequest(msgspec.Struct, frozen=True, tag="close", tag_field="asks"):
    """Close a symbol's whole position, long or short, or cancel a live entry that would open one."""

    key: str
    principal: str
    symbol: str
    why: str = ""


class CancelRequest(msgspec.Struct, frozen=True, tag="cancel", tag_field="asks"):
    """Cancel a live entry. An order that protects or closes a position is never cancelled on request."""

    key: str
    principal: str
    ref: OrderRef


class ProtectionRequest(msgspec.Struct, frozen=True, tag="protection", tag_field="asks"):
    """Tighten a position's stop, or set its target (quote). None leaves the stop or the target as it is."""

    key: str
    principal: str
    symbol: str
    stop: Decimal | None = None
    target: Decimal | None = None


class HaltRequest(msgspec.Struct, frozen=True, tag="halt", tag_field="asks"):
    """Halt the engine. No request of a client can resume it."""

    key: str
    principal: str
    why: str = ""


class NoteRequest(msgspec.Struct, frozen=True, tag="note", tag_field="asks"):
    """Write a note into the journal. It is data and has no effect."""

    key: str
    principal: str
    text: str


class ConsentRequest(msgspec.Struct, frozen=True, tag="consent", tag_field="asks"):
    """Pass on the answer of the person in front of a client to a pending order of that client; on paper only."""

    key: str
    principal: str
    approval: str
    """The id of the approval request."""
    yes: bool


class SubmitRequest(msgspec.Struct, frozen=True, tag="submit", tag_field="asks"):
    """Answer a wake, with all legs at once. Legs that were refused may be submitted once more, corrected."""

    key: str
    principal: str
    wake_id: int
    decision: Decision
    tainted: bool = False
    """Whether the caller had read texts of other authors before it decided."""


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


class RequestKey(msgspec.Struct, frozen=True, tag="request", array_like=True):
    """The key of a caller's request. The text of it is the idempotency key of the order that the request leads to."""

    caller: str
    """The caller's name."""
    key: str

    def __str__(self) -> str:
        return f"asked by {self.caller!r}: {self.key}"

    @property
    def token(self) -> str:
        """The caller without the name that its client gives itself."""
        return token_of(self.caller)


class DecisionKey(msgspec.Struct, frozen=True, array_like=True):
    """The key of a decision on a wake."""

    wake_id: int
    turn: Literal["", "again", "rules"] = ""
    """The first answer, the correction of its refused legs, or the rules' decision after an answer that failed."""

    def __str__(self) -> str:
        return f"wake:{self.wake_id}:{self.turn}" if self.turn else f"wake:{self.wake_id}"

    def leg(self, index: int) -> "LegKey":
        """Return the key of one of its legs."""
        return LegKey(self, index)


class LegKey(msgspec.Struct, frozen=True, tag="leg", array_like=True):
    """The key of one leg of a decision. The text of it is the idempotency key of the leg's order."""

    decision: DecisionKey
    index: int

    def __str__(self) -> str:
        return f"{self.decision}:{self.index}"

    @property
    def token(self) -> str:
        """No caller: the legs of all decisions are kept together."""
        return ""


AnswerKey = RequestKey | LegKey


def request_key(request: CallerRequest) -> RequestKey:
    """Return the key under which a request is answered: no request of another caller has it, and no leg of a wake."""
    return RequestKey(request.principal, request.key)


def token_of(principal: str) -> str:
    """Return a caller's name without the part that its client chose: all clients of one token are one caller."""
    return principal.partition("/")[0]


class AwaitsApproval(msgspec.Struct, frozen=True, tag="waits", tag_field="answer"):
    """An order that a person has to approve. It is not sent before, and it is refused at `expires_at` (ms)."""

    approval_id: str
    expires_at: int


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="answer"):
    """A request was executed, and did not lead to exactly one order."""

    decision: DecisionKey | None = None
    """The key of the decision that was submitted, whose legs are answered one by one."""
    refused: tuple[str, ...] = ()
    """The rejected parts of a decision other than legs, such as a wake condition, one sentence each."""


def submit_key(wake_id: int, decision: Decision) -> str:
    """Return the key of an answer to a wake. Answers with the same legs have the same key; a correction has another."""
    return f"wake:{wake_id}:{_digest([_wordless(leg) for leg in decision.legs])[:16]}"


def substance(request: CallerRequest) -> str:
    """Return a digest of the request's meaning, which shows whether a key is used again for something else.

    Texts do not count, nor the price that was shown: a caller who repeats a request may word it differently.
    """
    match request:
        case LegRequest(preview=preview) if preview:
            meaning: object = ("place", preview)
        case LegRequest(leg=leg, quantity=quantity):
            meaning = ("leg", _wordless(leg), quantity)
        case CloseRequest(symbol=symbol):
            meaning = ("close", symbol)
        case HaltRequest():
            meaning = "halt"
        case SubmitRequest(wake_id=wake_id, decision=decision):
            meaning = ("submit", submit_key(wake_id, decision))
        case _:
            meaning = request
    return _digest(meaning)[:32]


def _wordless(leg: Leg) -> Leg:
    """Return a leg without its reasons and its confidence."""
    return msgspec.structs.replace(leg, reasoning="", signals=(), confidence=None)


def _digest(meaning: object) -> str:
    return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()
