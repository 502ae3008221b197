"""The story of a chased entry has all of its orders, also if none of them has filled before the next one."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.story import find_story
from ocw_mcp.domain import events
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from tests.adapters.store.books import open_book, tell

D = Decimal
FIRST, SECOND, OTHER = (OrderRef(n, Purpose.ENTRY) for n in (1, 2, 3))


def sent(ref: OrderRef) -> events.OrderIntended:
    intent = OrderIntent("", "anna", "BTCUSDT", Side.BUY, OrderType.LIMIT, Purpose.ENTRY, D(1), limit_price=D(99))
    return events.OrderIntended(ref, intent, "policy")


def moved(ref: OrderRef) -> tuple[DomainEvent, ...]:
    return events.OrderCancelRequested(ref, "the entry gets a new price"), events.OrderCanceled(ref, "on request")


def test_story_of_a_chased_entry_has_all_of_its_orders(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        chain = (sent(FIRST), *moved(FIRST), events.EntryContinued(SECOND, FIRST, FIRST), sent(SECOND), *moved(SECOND))
        tell(store, (*chain, events.EntryLapsed(SECOND, D(1), "it did not fill"), sent(OTHER)))
    story = ask_book(tmp_path, lambda db, book: find_story(db, book, "1-e-0"))
    told = [step.event for step in story.steps]
    assert [each.ref for each in told if isinstance(each, events.OrderIntended)] == [FIRST, SECOND]
    assert [each.ref for each in told if isinstance(each, events.OrderCanceled)] == [FIRST, SECOND]
