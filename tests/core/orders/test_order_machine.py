"""The transitions of an order, for every pair of status and report."""

from decimal import Decimal

import pytest

from ocw_mcp.core.orders.table import TRANSITIONS, OrderStatus, ReportKind, after, kind_of_report
from ocw_mcp.domain.orders import Accepted, Canceled, Filled, OrderRef, OrderReport, OutcomeUnknown, Purpose, Rejected

REF = OrderRef(1, Purpose.ENTRY)
ENDED = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)

# One row for each status, one column for each kind of report; "." is a report that no venue should ever send.
TABLE = """
                  accept            reject    lose     fill_part         fill_all  cancel
intended          accepted          rejected  unknown  partially_filled  filled    canceled
accepted          accepted          rejected  .        partially_filled  filled    canceled
partially_filled  partially_filled  .         .        partially_filled  filled    canceled
filled            filled            .         .        filled            filled    filled
canceled          canceled          .         .        canceled          filled    canceled
rejected          .                 rejected  .        rejected          filled    .
unknown           accepted          rejected  unknown  partially_filled  filled    canceled
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [(row[0], word, to) for row in rows for word, to in zip(head, row[1:], strict=True)]


@pytest.mark.parametrize(("status", "word", "to"), cells())
def test_each_report_has_a_transition_or_is_refused(status: str, word: str, to: str) -> None:
    assert after(OrderStatus(status), ReportKind(word)) == (None if to == "." else OrderStatus(to))


def test_the_table_has_every_status_and_report_kind() -> None:
    assert {(status, word) for status, word, _ in cells()} == {
        (one, word) for one in OrderStatus for word in ReportKind
    }
    assert set(TRANSITIONS) == set(OrderStatus)


def test_no_report_makes_an_ended_order_live_again() -> None:
    for status in ENDED:
        assert not status.live
        assert {to.live for to in TRANSITIONS[status].values()} == {False}


def test_only_a_fill_may_change_how_an_order_ended() -> None:
    changes = {(status, word) for status in ENDED for word, to in TRANSITIONS[status].items() if to is not status}
    assert changes == {(OrderStatus.CANCELED, ReportKind.FILL_ALL), (OrderStatus.REJECTED, ReportKind.FILL_ALL)}


def test_every_order_that_is_not_over_can_end_by_fill_or_cancel() -> None:
    for status in set(OrderStatus) - set(ENDED):
        assert status.live
        assert after(status, ReportKind.FILL_ALL) is OrderStatus.FILLED
        assert after(status, ReportKind.CANCEL) is OrderStatus.CANCELED


def test_only_an_unanswered_order_can_become_unknown() -> None:
    assert {status for status in OrderStatus if after(status, ReportKind.LOSE)} == {
        OrderStatus.INTENDED,
        OrderStatus.UNKNOWN,
    }


@pytest.mark.parametrize(
    ("report", "completes", "word"),
    [
        (Accepted(REF, "v1"), False, ReportKind.ACCEPT),
        (Rejected(REF, "-2019", "no"), False, ReportKind.REJECT),
        (OutcomeUnknown(REF, "timeout"), False, ReportKind.LOSE),
        (Canceled(REF, "on request"), False, ReportKind.CANCEL),
        (Filled(REF, "f1", Decimal(1), Decimal(10), Decimal(0), 5), False, ReportKind.FILL_PART),
        (Filled(REF, "f1", Decimal(1), Decimal(10), Decimal(0), 5), True, ReportKind.FILL_ALL),
    ],
)
def test_each_report_has_one_kind(report: OrderReport, completes: bool, word: ReportKind) -> None:
    assert kind_of_report(report, completes=completes) is word
