"""The transitions of an order, for every pair of status and report."""

from decimal import Decimal
from typing import get_args

import pytest

from ocw_mcp.core.orders.table import TRANSITIONS, OrderStatus, after
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    OrderRef,
    OrderReport,
    OutcomeUnknown,
    Purpose,
    Rejected,
    Triggered,
)
from ocw_mcp.domain.reject_reasons import RejectReason

REF = OrderRef(1, Purpose.ENTRY)
FILL = Filled(REF, "f1", Decimal(1), Decimal(10), Decimal(0), 5)
REPORTS: dict[str, OrderReport] = {
    "accept": Accepted(REF, "v1"),
    "reject": Rejected(REF, RejectReason.INSUFFICIENT_MARGIN, "no"),
    "lose": OutcomeUnknown(REF, "timeout"),
    "cancel": Canceled(REF, "on request"),
    "trigger": Triggered(REF, "v2"),
    "keep": CancelRefused(REF, "unknown order"),
    "fill_part": FILL,
    "fill_all": FILL,
}
ENDED = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)

# One row for each status, one column for each kind of report; "." is a report that no venue should ever send.
TABLE = """
                 accept           trigger          reject   lose    fill_part        fill_all cancel   keep
intended         accepted         accepted         rejected unknown partially_filled filled   canceled intended
accepted         accepted         accepted         rejected .       partially_filled filled   canceled accepted
partially_filled partially_filled partially_filled .        .       partially_filled filled   canceled partially_filled
filled           filled           filled           .        .       filled           filled   filled   filled
canceled         canceled         canceled         .        .       canceled         filled   canceled canceled
rejected         .                .                rejected .       rejected         filled   .        rejected
unknown          accepted         accepted         rejected unknown partially_filled filled   canceled unknown
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(row[0], word, to) for row in rows for word, to in zip(head, row[1:], strict=True)]


def status_after(status: OrderStatus, kind: str) -> OrderStatus | None:
    return after(status, REPORTS[kind], completes=kind == "fill_all")


@pytest.mark.parametrize(("status", "kind", "to"), cells())
def test_each_report_gives_the_listed_status_or_is_refused(status: str, kind: str, to: str) -> None:
    assert status_after(OrderStatus(status), kind) == (None if to == "." else OrderStatus(to))


def test_transitions_cover_every_status_and_report_kind() -> None:
    assert {(status, kind) for status, kind, _ in cells()} == {(one, kind) for one in OrderStatus for kind in REPORTS}
    assert set(TRANSITIONS) == set(OrderStatus)
    assert {type(report) for report in REPORTS.values()} == set(get_args(OrderReport))


def test_no_report_makes_an_ended_order_live_again() -> None:
    for status in ENDED:
        assert not status.live
        assert not any(to.live for kind in REPORTS if (to := status_after(status, kind)) is not None)


def test_only_a_full_fill_changes_the_status_of_an_ended_order() -> None:
    changes = {
        (status, kind) for status in ENDED for kind in REPORTS if status_after(status, kind) not in (None, status)
    }
    assert changes == {(OrderStatus.CANCELED, "fill_all"), (OrderStatus.REJECTED, "fill_all")}


def test_every_live_order_can_end_by_a_fill_or_a_cancellation() -> None:
    for status in set(OrderStatus) - set(ENDED):
        assert status.live
        assert status_after(status, "fill_all") is OrderStatus.FILLED
        assert status_after(status, "cancel") is OrderStatus.CANCELED


def test_only_an_unanswered_order_can_become_unknown() -> None:
    unknown = {status for status in OrderStatus if status_after(status, "lose")}
    assert unknown == {OrderStatus.INTENDED, OrderStatus.UNKNOWN}
