"""The requests of attached clients to the running engine, and the keys under which their answers are kept."""

import hashlib
from decimal import Decimal
from typing import Final, Literal

import msgspec

from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Side

PREVIEW_GOOD_FOR_S: Final = 60
"""The seconds of real time for which a preview can be placed as an order, with a simulated market, too."""
TAINTED: Final = "ocw/tainted"
"""The `_meta` field of a tool call whose caller has read untrusted text."""
TYPED: Final = "ocw/typed"
"""The `_meta` field of a tool call whose caller wants the typed result beside the text."""


class _Request(msgspec.Struct, frozen=True, tag_field="asks"):
    key: str
    """A repeated request with the same key of the same caller gets the same answer."""
    principal: str
    """The caller's name."""


class LegRequest(_Request, frozen=True, tag="leg"):
    """Execute one leg: enter, add, close a position or a share of it, or cancel an entry."""

    leg: Leg
    quantity: Decimal | None = None
    """The quantity (base asset) of the order, in place of the leg's share of equity."""
    side: Side | None = None
    """The side of the order that the caller was shown. An ADD is refused if the position has changed sides."""
    quoted: Decimal | None = None
    """The mark price that the caller was shown. The order is refused if the market has since moved too far."""
    preview: str = ""
    """The id of the preview that this request places, if any."""


class CloseRequest(_Request, frozen=True, tag="close"):
    """Close a symbol's whole position, long or short, or cancel a live entry that would open one."""

    symbol: str
    why: str = ""


class CancelRequest(_Request, frozen=True, tag="cancel"):
    """Cancel a live entry. An order that protects or closes a position is never cancelled on request."""

    ref: OrderRef


class ProtectionRequest(_Request, frozen=True, tag="protection"):
    """Tighten a position's stop, set its target (quote), or let the stop follow the price. None changes nothing."""

    symbol: str
    stop: Decimal | None = None
    target: Decimal | None = None
    trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price."""


class HaltRequest(_Request, frozen=True, tag="halt"):
    """Halt the engine. No client can resume a halted engine."""

    why: str = ""


class NoteRequest(_Request, frozen=True, tag="note"):
    """Write a note, which has no other effect, into the journal."""

    text: str


class ConsentRequest(_Request, frozen=True, tag="consent"):
    """Answer the approval request of an order with the decision of the client's user; in paper mode only."""

    approval: str
    yes: bool


class SubmitRequest(_Request, frozen=True, tag="submit"):
    """Answer a wake with a decision. Refused legs of the decision may be corrected and submitted once more."""

    wake_id: int
    decision: Decision
    tainted: bool = False
    """Whether the caller had read untrusted text, which other authors wrote, before it decided."""


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
    """The key of a caller's request. As text, it is the idempotency key of the resulting order."""

    caller: str
    key: str

    def __str__(self) -> str:
        return f"asked by {self.caller!r}: {self.key}"

    @property
    def token(self) -> str:
        """The part of the caller's name that all clients of one access token share."""
        return token_of(self.caller)


class DecisionKey(msgspec.Struct, frozen=True, array_like=True):
    """The key of a decision on a wake."""

    wake_id: int
    turn: Literal["", "again", "rules"] = ""
    """Empty: the first answer; `again`: the correction of refused legs; `rules`: the rules decided after a failure."""

    def __str__(self) -> str:
        return f"wake:{self.wake_id}:{self.turn}" if self.turn else f"wake:{self.wake_id}"

    def leg(self, index: int) -> "LegKey":
        """Return the key of a leg of this decision."""
        return LegKey(self, index)


class LegKey(msgspec.Struct, frozen=True, tag="leg", array_like=True):
    """The key of one leg of a decision. As text, it is the idempotency key of the leg's order."""

    decision: DecisionKey
    index: int

    def __str__(self) -> str:
        return f"{self.decision}:{self.index}"

    @property
    def token(self) -> str:
        """Empty, because a leg of a decision has no caller."""
        return ""


AnswerKey = RequestKey | LegKey


def request_key(request: CallerRequest) -> RequestKey:
    """Return the key under which the answer to a request is kept; it differs between callers."""
    return RequestKey(request.principal, request.key)


def token_of(principal: str) -> str:
    """Return the part of a caller's name that all clients of one access token share."""
    return principal.partition("/")[0]


class AwaitsApproval(msgspec.Struct, frozen=True, tag="waits", tag_field="answer"):
    """An order waits for a person's approval. Without an answer the order is refused at `expires_at` (ms)."""

    approval_id: str
    expires_at: int


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """A leg as it was carried out. Quantity in the base asset, prices in quote currency."""

    quantity: Decimal | None = None
    share: Decimal | None = None
    """The notional of an entry at its worst fill as a share of equity; of a closing, the closed share of the position.
    """
    price: Decimal | None = None
    """The worst price at which an entry may fill, or the mark price of a closing."""
    risk: Decimal | None = None
    """The share of equity that an entry loses at its stop, gap allowance included."""
    stop: Decimal | None = None
    target: Decimal | None = None
    trail: Decimal | None = None
    leverage: int | None = None
    replaced: tuple[tuple[str, Decimal | None], ...] = ()
    """By name, the stop, target and limit of an entry as submitted, if the tick changed them; of a PROTECT, the values
    that were in force before, None for one that was not set."""
    changed: tuple[str, ...] = ()
    """Each other difference from the leg as submitted, one clause each."""


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="answer"):
    """A request was executed, and resulted in no order or in several."""

    decision: DecisionKey | None = None
    """The key of the submitted decision, whose legs are answered one by one."""
    refused: tuple[str, ...] = ()
    """The rejected or changed parts of the decision other than legs, such as a wake condition, one sentence each."""
    settled: tuple[str, ...] = ()
    """What the parts of the decision other than legs led to: its note, conditions and next check, one clause each."""


def submit_key(wake_id: int, decision: Decision) -> str:
    """Return the key of an answer to a wake. Answers that differ only in their texts have the same key."""
    conditions = decision.wake_conditions
    watched = None if conditions is None else [msgspec.structs.replace(each, reason="") for each in conditions]
    meaning = [wordless(leg) for leg in decision.legs], watched, decision.next_check_s
    return f"wake:{wake_id}:{_digest(meaning)[:16]}"


def substance(request: CallerRequest) -> str:
    """Return a digest of the action that a request asks for. Requests with the same key must have the same digest."""
    match request:
        case LegRequest(preview=preview) if preview:
            meaning: object = ("place", preview)
        case LegRequest(leg=leg, quantity=quantity):
            meaning = ("leg", wordless(leg), quantity)
        case CloseRequest(symbol=symbol):
            meaning = ("close", symbol)
        case HaltRequest():
            meaning = "halt"
        case SubmitRequest(wake_id=wake_id, decision=decision):
            meaning = ("submit", submit_key(wake_id, decision))
        case _:
            meaning = request
    return _digest(meaning)[:32]


def wordless(leg: Leg) -> Leg:
    """Return a leg without its reasons and its confidence."""
    return msgspec.structs.replace(leg, reasoning="", signals=(), signal_weights=(), confidence=None)


def _digest(meaning: object) -> str:
    return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()
