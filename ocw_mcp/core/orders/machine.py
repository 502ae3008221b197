"""The status of an order, the table of its legal transitions, and the check for reports with impossible amounts."""

from decimal import Decimal
from enum import StrEnum

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    FundingPaid,
    OrderReport,
    OutcomeUnknown,
    OutsideFill,
    Rejected,
    Transferred,
    VenueReport,
)

HIGHEST_REBATE = Decimal("0.001")
"""The largest plausible rebate, as a share of the notional: every exchange pays makers less than this."""


class OrderStatus(StrEnum):
    """The status of an order, as far as the venue has reported it."""

    INTENDED = "intended"
    """The intent is durable, and the venue has not answered."""
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """The order was sent, and its outcome is not known: the budget stays reserved."""

    @property
    def live(self) -> bool:
        """Whether the order may still trade."""
        return self not in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)


class ReportKind(StrEnum):
    """The kind of a venue's report, seen from the order."""

    ACCEPT = "accept"
    REJECT = "reject"
    LOSE = "lose"
    FILL_PART = "fill_part"
    FILL_ALL = "fill_all"
    CANCEL = "cancel"


_S = OrderStatus
_R = ReportKind

_FIRST_FILLS = {_R.FILL_PART: _S.PARTIALLY_FILLED, _R.FILL_ALL: _S.FILLED}

TRANSITIONS: dict[OrderStatus, dict[ReportKind, OrderStatus]] = {
    # A fill on the stream can come before the answer to the request.
    _S.INTENDED: {
        _R.ACCEPT: _S.ACCEPTED,
        _R.REJECT: _S.REJECTED,
        _R.LOSE: _S.UNKNOWN,
        _R.CANCEL: _S.CANCELED,
        **_FIRST_FILLS,
    },
    # A stop that was accepted can still be rejected when it triggers.
    _S.ACCEPTED: {_R.ACCEPT: _S.ACCEPTED, _R.REJECT: _S.REJECTED, _R.CANCEL: _S.CANCELED, **_FIRST_FILLS},
    _S.PARTIALLY_FILLED: {_R.ACCEPT: _S.PARTIALLY_FILLED, _R.CANCEL: _S.CANCELED, **_FIRST_FILLS},
    # Late reports change nothing. A venue that trades more than was ordered moves money, so the fill counts.
    _S.FILLED: dict.fromkeys((_R.ACCEPT, _R.CANCEL, _R.FILL_PART, _R.FILL_ALL), _S.FILLED),
    # A fill from before the cancel can be reported after it, and counts.
    _S.CANCELED: {
        **dict.fromkeys((_R.ACCEPT, _R.CANCEL, _R.FILL_PART), _S.CANCELED),
        _R.FILL_ALL: _S.FILLED,
    },
    # A fill shows that the rejection was wrong: money moved, so it counts.
    _S.REJECTED: {_R.REJECT: _S.REJECTED, _R.FILL_PART: _S.REJECTED, _R.FILL_ALL: _S.FILLED},
    # An order that appears late at the venue is adopted.
    _S.UNKNOWN: {
        _R.ACCEPT: _S.ACCEPTED,
        _R.REJECT: _S.REJECTED,
        _R.LOSE: _S.UNKNOWN,
        _R.CANCEL: _S.CANCELED,
        **_FIRST_FILLS,
    },
}

_KINDS: dict[type[OrderReport], ReportKind] = {
    Accepted: _R.ACCEPT,
    Rejected: _R.REJECT,
    OutcomeUnknown: _R.LOSE,
    Canceled: _R.CANCEL,
}


def kind_of_report(report: OrderReport, *, completes: bool) -> ReportKind:
    """Return the kind of a report; `completes` is whether a fill is the last one of its order."""
    if isinstance(report, Filled):
        return ReportKind.FILL_ALL if completes else ReportKind.FILL_PART
    return _KINDS[type(report)]


def after(status: OrderStatus, kind: ReportKind) -> OrderStatus | None:
    """Return the status after a report; None if the report is impossible in this status."""
    return TRANSITIONS[status].get(kind)


def invalid_report(report: VenueReport) -> str:
    """Return a clause on the first impossible amount of a report; empty if all amounts are possible."""
    match report:
        case Filled(quantity=quantity, price=price, fee=fee) | OutsideFill(quantity=quantity, price=price, fee=fee):
            for name, value in (("a quantity", quantity), ("a price", price)):
                if not (value.is_finite() and value > ZERO):
                    return f"{name} of {value}"
            if not fee.is_finite():
                return f"a fee of {fee}"
            if fee < -HIGHEST_REBATE * quantity * price:
                return f"a rebate of {plain(-fee)} on {plain(quantity)} at {plain(price)}"
            if isinstance(report, Filled) and not (report.base_fee.is_finite() and ZERO <= report.base_fee <= quantity):
                return f"a fee of {report.base_fee} taken out of {plain(quantity)}"
        case FundingPaid(amount=amount) | Transferred(amount=amount):
            if not amount.is_finite():
                return f"{'funding' if isinstance(report, FundingPaid) else 'a transfer'} of {amount}"
    return ""
