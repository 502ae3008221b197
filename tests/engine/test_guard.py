"""Every position has a live stop or a running deadline."""

from itertools import pairwise

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.orders import Canceled, Purpose, Rejected
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.protection import LONGEST_PAUSE_MS, protection_timer, retry_timer
from ocw_mcp.engine.stop_orders import UNKNOWN_STOP_MS
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.invariants import never_naked
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.venues import LOST, RefusesStops

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def entering(venue: PaperVenue, minutes: int = 6) -> Run:
    return Run(ListFeed(path([100.0] * minutes)), Scripted({1: buy("97")}), policy=WAKES, venue=venue)


async def test_a_stop_the_market_has_passed_closes_the_position() -> None:
    done = await entering(RefusesStops(RejectReason.WOULD_TRIGGER_IMMEDIATELY)).go()
    legs = [fill.ref.leg for fill in done.events(events.OrderFilled)]
    assert legs == [Purpose.ENTRY, Purpose.EXIT]
    assert len(done.events(events.OrderRejected)) == 1


class RefusesToClose(RefusesStops):
    """Accepts entries, and rejects every exit and every stop, as if the price had passed the stop."""

    sent = 0

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        self.sent += 1
        assert self.sent < 250, "there is no end to it"
        if cleared.order.ref.leg is Purpose.EXIT:
            return self.say(Rejected(cleared.redeem(now).ref, RejectReason.TOO_MANY_STOPS, "no"))
        return await super().submit(cleared, now)


async def test_retries_pause_if_the_venue_rejects_both_stop_and_exit() -> None:
    venue = RefusesToClose(RejectReason.WOULD_TRIGGER_IMMEDIATELY)
    done = await entering(venue).go()
    tries = sorted({at for at, _ in done.timed(events.OrderRejected) if at > START + 3 * MINUTE})
    assert all(later - at <= LONGEST_PAUSE_MS for at, later in pairwise(tries))
    minutes = [at // MINUTE for at in tries]
    assert max(map(minutes.count, minutes)) <= MINUTE / LONGEST_PAUSE_MS + 3, "and of the position's own timer"
    assert {protection_timer("BTCUSDT"), retry_timer("BTCUSDT")} & set(done.engine.timers), "it comes back to it"


async def test_a_stop_that_is_rejected_once_is_placed_again() -> None:
    done = await entering(RefusesStops(RejectReason.TOO_MANY_STOPS, first=1)).go()
    assert [event.stop.revision for event in done.events(events.PositionProtected)] == [1]
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY]


async def test_a_position_with_rejected_stops_closes_at_its_deadline() -> None:
    done = await entering(RefusesStops(RejectReason.TOO_MANY_STOPS)).go()
    (unprotected,) = done.timed(events.PositionUnprotected)
    assert unprotected[1].deadline == unprotected[0] + WAKES.stop.deadline_s * SECOND
    exits = [(at, event) for at, event in done.timed(events.OrderIntended) if event.ref.leg is Purpose.EXIT]
    assert exits[0][0] == unprotected[1].deadline
    assert summary(done.engine)["positions"] == []


async def test_a_stop_of_unknown_outcome_is_replaced_by_one_with_a_quantity() -> None:
    done = await never_naked(entering(RefusesStops(LOST, first=1))).go()
    (first, _), (second, intended) = [
        (at, event) for at, event in done.timed(events.OrderIntended) if event.ref.leg is Purpose.STOP
    ]
    assert second == first + UNKNOWN_STOP_MS
    assert not intended.intent.close_position, "the exchange refuses a second stop of the whole position"
    assert [event.stop for event in done.events(events.PositionProtected)] == [intended.ref]
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY]


async def test_two_stops_of_unknown_outcome_are_not_followed_by_a_third() -> None:
    done = await never_naked(entering(RefusesStops(LOST))).go()
    stops = [event for event in done.events(events.OrderIntended) if event.ref.leg is Purpose.STOP]
    assert len(stops) == 2
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]


async def test_a_stop_cancelled_at_the_venue_is_placed_again() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES)
    await run.go()
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    run.clock.advance(START + 10 * MINUTE)
    await run.venue.cancel(stop.ref, run.clock.now())
    for report in run.venue.collect():
        await run.simulation.shell.take(report)
    (again,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert again.ref.revision == stop.ref.revision + 1
    assert again.order.trigger_price == stop.order.trigger_price
    assert summary(run.engine)["positions"][0]["protected"] is True


async def test_a_venue_report_on_an_unknown_order_is_only_an_incident() -> None:
    run = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("97")}), policy=WAKES)
    await run.go()
    (stop,) = run.engine.orders.live("BTCUSDT", Purpose.STOP)
    before = summary(run.engine)
    foreign = Canceled(type(stop.ref)(77, Purpose.STOP), "who?")
    await run.simulation.shell.take(foreign)
    assert "77-s-0" in run.events(events.Incident)[-1].text
    assert summary(run.engine)["positions"] == before["positions"]


async def test_every_position_is_always_protected_or_has_a_deadline() -> None:
    prices = [100.0, 100.0, 101.0, 99.0, 96.0, 100.0, 100.0, 100.0]
    run = Run(
        ListFeed([candle(i, p) for i, p in enumerate(prices)]), Scripted({1: buy("97"), 6: buy("97")}), policy=WAKES
    )
    step = run.engine.step

    def watched(event, now):  # type: ignore[no-untyped-def]
        effects = step(event, now)
        for symbol in run.engine.account.ledger.positions:
            protection = run.engine.guard.protections[symbol]
            assert protection.protected or protection.deadline is not None
        return effects

    run.engine.step = watched  # type: ignore[method-assign]
    await run.go()
    assert len(run.events(events.OrderFilled)) == 3
