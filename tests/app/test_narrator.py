"""The feed of a run: a line for each thing that matters to a person who watches it."""

from decimal import Decimal

from ocw_mcp.app.narrator import Narrator
from ocw_mcp.domain import events
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode

D = Decimal
ENTRY = OrderIntent("k1", "anna", "BTCUSDT", Side.BUY, OrderType.MARKET, Purpose.ENTRY, D("0.1"))
HOUR = 3_600_000


def told(*happened: events.DomainEvent) -> list[str]:
    """What is said of some events, without its times."""
    lines: list[str] = []
    narrator = Narrator(lines.append)
    for event in happened:
        narrator(0, event)
    return [line.removeprefix("1970-01-01 00:00  ") for line in lines]


def test_what_waits_for_a_person_is_told_with_its_id_and_how_to_answer() -> None:
    required = Refusal(RefusalCode.APPROVAL_REQUIRED, "500", "900", D("0.05"))
    first, asked, ended = told(
        events.OrderRefused(ENTRY, required, "policy"),
        events.ApprovalAsked("a1", ENTRY, D(9_000), HOUR),
        events.ApprovalEnded("a1", "approved", "ben"),
    )
    assert first.startswith("approval  entry buy BTCUSDT: APPROVAL_REQUIRED: ")
    assert asked == (
        "approval  a1 waits until 1970-01-01 01:00: buy 0.1 BTCUSDT at about 9000; ocw approve a1 or ocw deny a1"
    )
    assert ended == "approval  a1 approved by ben"
