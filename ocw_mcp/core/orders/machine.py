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
    """Durable in the journal; the venue has not answered."""
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """The order was sent, and its outcome is not known: the budget stays reserved."""

    @property
    def live(self) -> bool:
        """Whether the order may still trade, as far as is known."""
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

TRANSITIONS: dict[OrderStatus, dict[ReportKind, OrderStatus]] = {
    _S.INTENDED: {
        _R.ACCEPT: _S.ACCEPTED,
        _R.REJECT: _S.REJECTED,
        _R.LOSE: _S.UNKNOWN,
        _R.CANCEL: _S.CANCELED,
        # A fill on the stream can come before the answer to the request.
        _R.FILL_PART: _S.PARTIALLY_FILLED,
        _R.FILL_ALL: _S.FILLED,
    },
    _S.ACCEPTED: {
        _R.ACCEPT: _S.ACCEPTED,
        _R.CANCEL: _S.CANCELED,
        _R.FILL_PART: _S.PARTIALLY_FILLED,
        _R.FILL_ALL: _S.FILLED,
        # A stop that was accepted can still be refused when it triggers.
        _R.REJECT: _S.REJECTED,
    },
    _S.PARTIALLY_FILLED: {
        _R.ACCEPT: _S.PARTIALLY_FILLED,
        _R.CANCEL: _S.CANCELED,
        _R.FILL_PART: _S.PARTIALLY_FILLED,
        _R.FILL_ALL: _S.FILLED,
    },
    _S.FILLED: {
        # Late reports on a finished order.
        _R.ACCEPT: _S.FILLED,
        _R.CANCEL: _S.FILLED,
        # The venue traded more than was ordered: money moved, so it counts.
        _R.FILL_PART: _S.FILLED,
        _R.FILL_ALL: _S.FILLED,
    },
    _S.CANCELED: {
        _R.ACCEPT: _S.CANCELED,
        _R.CANCEL: _S.CANCELED,
        # A fill from before the cancel can be reported after it, and counts.
        _R.FILL_PART: _S.CANCELED,
        _R.FILL_ALL: _S.FILLED,
    },
    _S.REJECTED: {
        _R.REJECT: _S.REJECTED,
        # The rejection was wrong. Money moved, so it counts.
        _R.FILL_PART: _S.REJECTED,
        _R.FILL_ALL: _S.FILLED,
    },
    _S.UNKNOWN: {
        _R.LOSE: _S.UNKNOWN,
        # An order that appears late at the venue is adopted.
        _R.ACCEPT: _S.ACCEPTED,
        _R.REJECT: _S.REJECTED,
        _R.CANCEL: _S.CANCELED,
        _R.FILL_PART: _S.PARTIALLY_FILLED,
        _R.FILL_ALL: _S.FILLED,
    },
}


def kind_of_report(report: OrderReport, *, completes: bool) -> ReportKind:
    """Return the kind of a report; `completes` is whether a fill is the last one of its order."""
    match report:
        case Accepted():
            return ReportKind.ACCEPT
        case Rejected():
            return ReportKind.REJECT
        case OutcomeUnknown():
            return ReportKind.LOSE
        case Canceled():
            return ReportKind.CANCEL
        case Filled():
            return ReportKind.FILL_ALL if completes else ReportKind.FILL_PART


def after(status: OrderStatus, kind: ReportKind) -> OrderStatus | None:
    """Return the status after a report; None if no venue should ever send that report in this status."""
    return TRANSITIONS[status].get(kind)


def invalid_report(report: VenueReport) -> str:
    """Return a clause on an impossible amount of a report; empty if all amounts are possible.

    Impossible are amounts that are not finite, trades without a quantity or price, and rebates above the largest one.
    """
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
        case FundingPaid(amount=amount):
            if not amount.is_finite():
                return f"funding of {amount}"
        case Transferred(amount=amount):
            if not amount.is_finite():
                return f"a transfer of {amount}"
    return ""
