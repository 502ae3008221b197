"""Why a venue does not have an order. The codes of an exchange stay in its adapter, which translates them."""

from typing import Final

from ocw_mcp.domain.explained import Explained


class RejectReason(Explained):
    """Why the venue will never have an order; the meaning is a clause about the order."""

    NOT_JOURNALED = "NOT_JOURNALED", "OCW did not send it, because its intent could not be written to disk"
    NOT_SENT = "NOT_SENT", "OCW did not send it: it waited until it was too old, or until a limit refused it"
    NEVER_ARRIVED = "NEVER_ARRIVED", "its outcome was unknown, and queries proved that the venue never had it"
    WOULD_TRIGGER_IMMEDIATELY = "WOULD_TRIGGER_IMMEDIATELY", "the price has already passed its trigger"
    WOULD_TAKE = "WOULD_TAKE", "it is post-only, and would have traded at once"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN", "the account has too little free margin"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE", "the account has too little of the asset that it pays or sells"
    REDUCE_ONLY = "REDUCE_ONLY", "there was no position to reduce, so the position differs from the book"
    NO_POSITION = "NO_POSITION", "it closes a whole position, and there is none"
    BLOCKED_BY_ORDERS = (
        "BLOCKED_BY_ORDERS",
        "resting orders already reduce the whole position; they have to be cancelled first",
    )
    STOP_EXISTS = "STOP_EXISTS", "a stop that closes the whole position already rests on this side"
    MIN_NOTIONAL = "MIN_NOTIONAL", "its value is below the venue's minimum"
    FILTER = "FILTER", "its price or quantity does not fit the venue's tick, step, range or price band"
    POSITION_LIMIT = "POSITION_LIMIT", "the position would be larger than the venue allows at this leverage"
    TOO_MANY_ORDERS = "TOO_MANY_ORDERS", "as many orders are open as the venue allows"
    TOO_MANY_STOPS = "TOO_MANY_STOPS", "as many conditional orders are open as the venue allows"
    RATE_LIMITED = "RATE_LIMITED", "too many requests were sent to the venue"
    OVERLOADED = "OVERLOADED", "the venue is overloaded, and has proved that it did not take the order"
    ONLY_REDUCTIONS = "ONLY_REDUCTIONS", "the venue takes only orders that reduce a position"
    NOT_AUTHORISED = "NOT_AUTHORISED", "the key is invalid, lacks a permission, or may not be used from this address"
    WRONG_SETTINGS = "WRONG_SETTINGS", "leverage, margin type or position mode of the account do not fit the order"
    CLOCK = "CLOCK", "the time of the request was outside the venue's window"
    NOT_TRADING = "NOT_TRADING", "the venue does not trade the symbol now"
    MALFORMED = "MALFORMED", "the venue does not know this kind of order, or this combination of its fields"
    OTHER = "OTHER", "another reason; the journal has the venue's text"


NOT_SENT_FOR: Final = (RejectReason.NOT_JOURNALED, RejectReason.NOT_SENT)
"""The reasons for which OCW itself did not send an order."""
