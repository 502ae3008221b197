"""What may become of an order: one table of legal transitions."""

from enum import StrEnum

from ocw_mcp.domain.orders import Accepted, Canceled, Filled, OrderReport, OutcomeUnknown, Rejected


class OrderStatus(StrEnum):
    """Where an order stands, as far as the venue has told."""

    INTENDED = "intended"
    """Durable in the journal; the venue has not answered."""
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """Sent, and nobody knows: the budget stays reserved."""

    @property
    def live(self) -> bool:
        """Whether the order may still trade, as far as anybody knows."""
        return self not in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)


class Word(StrEnum):
    """What a venue's report says, seen from the order."""

    ACCEPT = "accept"
    REJECT = "reject"
    LOSE = "lose"
    FILL_PART = "fill_part"
    FILL_ALL = "fill_all"
    CANCEL = "cancel"


_S = OrderStatus
_W = Word

TRANSITIONS: dict[OrderStatus, dict[Word, OrderStatus]] = {
    _S.INTENDED: {
        _W.ACCEPT: _S.ACCEPTED,
        _W.REJECT: _S.REJECTED,
        _W.LOSE: _S.UNKNOWN,
        _W.CANCEL: _S.CANCELED,
        # A stream can be quicker than the answer to the request.
        _W.FILL_PART: _S.PARTIALLY_FILLED,
        _W.FILL_ALL: _S.FILLED,
    },
    _S.ACCEPTED: {
        _W.ACCEPT: _S.ACCEPTED,
        _W.CANCEL: _S.CANCELED,
        _W.FILL_PART: _S.PARTIALLY_FILLED,
        _W.FILL_ALL: _S.FILLED,
        # A stop that was accepted can still be refused when it triggers.
        _W.REJECT: _S.REJECTED,
    },
    _S.PARTIALLY_FILLED: {
        _W.ACCEPT: _S.PARTIALLY_FILLED,
        _W.CANCEL: _S.CANCELED,
        _W.FILL_PART: _S.PARTIALLY_FILLED,
        _W.FILL_ALL: _S.FILLED,
    },
    _S.FILLED: {
        # Late echoes of what is over.
        _W.ACCEPT: _S.FILLED,
        _W.CANCEL: _S.FILLED,
        # The venue traded more than was ordered: money moved, so it counts.
        _W.FILL_PART: _S.FILLED,
        _W.FILL_ALL: _S.FILLED,
    },
    _S.CANCELED: {
        _W.ACCEPT: _S.CANCELED,
        _W.CANCEL: _S.CANCELED,
        # A fill that happened before the cancel can be told after it, and counts.
        _W.FILL_PART: _S.CANCELED,
        _W.FILL_ALL: _S.FILLED,
    },
    _S.REJECTED: {
        _W.REJECT: _S.REJECTED,
        # The rejection was wrong. Money moved, so it counts.
        _W.FILL_PART: _S.REJECTED,
        _W.FILL_ALL: _S.FILLED,
    },
    _S.UNKNOWN: {
        _W.LOSE: _S.UNKNOWN,
        # A late appearance is adopted.
        _W.ACCEPT: _S.ACCEPTED,
        _W.REJECT: _S.REJECTED,
        _W.CANCEL: _S.CANCELED,
        _W.FILL_PART: _S.PARTIALLY_FILLED,
        _W.FILL_ALL: _S.FILLED,
    },
}


def word_of(report: OrderReport, *, completes: bool) -> Word:
    """The word a report says; `completes` tells a full fill from a partial one."""
    match report:
        case Accepted():
            return Word.ACCEPT
        case Rejected():
            return Word.REJECT
        case OutcomeUnknown():
            return Word.LOSE
        case Canceled():
            return Word.CANCEL
        case Filled():
            return Word.FILL_ALL if completes else Word.FILL_PART


def after(status: OrderStatus, word: Word) -> OrderStatus | None:
    """The status after a word, or None where no venue should ever say it."""
    return TRANSITIONS[status].get(word)
