"""Any sequence of requests at any exchange: each order is sent once or rejected once, and no reduction is lost."""

from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.domain.orders import OrderRef, Purpose, Rejected, RejectReason
from ocw_mcp.runtime.outbox import LONGEST_REQUEST_S, MOST_REQUESTS
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange_requests import Desk

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Ask(NamedTuple):
    """One request of the engine, the time (s) after the one before, and how long the exchange takes (s)."""

    kind: str
    symbol: str
    after_s: float
    takes_s: float


ASKS = st.builds(
    Ask,
    st.sampled_from(("enter", "stop", "exit", "cancel")),
    st.sampled_from(SYMBOLS),
    st.sampled_from((0.0, 0.0, 0.1, 1.5, 30.0)),
    st.sampled_from((0.05, 0.05, 0.5, 3.0, 1e9)),
)


async def play(asks: list[Ask], opened_after: int, *, stops_lock: bool) -> tuple[Desk, list[OrderRef], set[OrderRef]]:
    """Return the desk, the orders that were sent into the outbox, and those that the engine cancelled."""
    desk, sent, cancelled = Desk(stops_lock=stops_lock, opened=False), list[OrderRef](), set[OrderRef]()
    for n, ask in enumerate(asks):
        if n == opened_after:
            desk.outbox.open()
        await desk.rest(ask.after_s)
        leg = {"enter": Purpose.ENTRY, "stop": Purpose.STOP, "exit": Purpose.EXIT}.get(ask.kind)
        if leg is not None:
            desk.venue.hanging[f"{n}-{leg}-0"] = ask.takes_s
        match ask.kind:
            case "enter":
                sent.append(desk.enter(n))
            case "stop":
                sent.append(desk.stop(n, symbol=ask.symbol))
            case "exit":
                sent.append(desk.exit(n, symbol=ask.symbol))
            case _ if sent:
                desk.venue.hanging[f"X{sent[-1]}"] = ask.takes_s
                desk.outbox.cancel(sent[-1], ask.symbol)
                cancelled.add(sent[-1])
    desk.outbox.open()
    await desk.rest((len(asks) + 1) * LONGEST_REQUEST_S)
    assert not desk.outbox.busy
    await desk.outbox.close()
    return desk, sent, cancelled


@settings(max_examples=40)
@given(asks=st.lists(ASKS, max_size=25), opened_after=st.integers(0, 25), stops_lock=st.booleans())
def test_each_order_is_sent_once_or_rejected_once(asks: list[Ask], opened_after: int, stops_lock: bool) -> None:
    desk, sent, cancelled = run_in_virtual_time(play(asks, opened_after, stops_lock=stops_lock))
    rejected = [each for each in desk.reports if isinstance(each, Rejected)]
    arrived = Counter(what for what in desk.venue.arrived if not what.startswith("X"))
    assert arrived + Counter(str(each.ref) for each in rejected) == Counter(map(str, sent))
    assert all(each == Rejected(each.ref, RejectReason.NOT_SENT, each.text) for each in rejected)
    assert desk.venue.most_under_way <= MOST_REQUESTS
    last_stops = {desk.symbols[ref]: ref for ref in sent if ref.leg is Purpose.STOP}
    for each in rejected:
        # A reduction is left out only if it was cancelled, or if a later stop of its symbol took its place.
        replaced = each.ref.leg is Purpose.STOP and last_stops[desk.symbols[each.ref]] != each.ref
        assert each.ref in cancelled or each.ref.leg is Purpose.ENTRY or replaced


@settings(max_examples=25)
@given(asks=st.lists(ASKS, max_size=25))
def test_a_stop_is_sent_at_once_whatever_the_entries_and_cancels_do(asks: list[Ask]) -> None:
    async def with_a_stop() -> Desk:
        desk = Desk()
        for n, ask in enumerate(each for each in asks if each.kind in ("enter", "cancel")):
            desk.venue.hanging[f"{n}-e-0"] = desk.venue.hanging[f"X{n}-e-0"] = ask.takes_s
            if ask.kind == "enter":
                desk.enter(n)
            else:
                desk.outbox.cancel(OrderRef(n, Purpose.ENTRY), ask.symbol)
            await desk.rest(ask.after_s)
        desk.stop(999)
        await desk.rest(0.001)
        await desk.outbox.close()
        return desk

    desk = run_in_virtual_time(with_a_stop())
    assert desk.venue.arrived[-1] == "999-s-0"
