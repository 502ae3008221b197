"""Random stories: the happenings of each wake are those that an oracle counts in the journal, also after crashes."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded
from typing import Any

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.happenings import Happening, HappeningKind
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import HOUR
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Reckless
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore

K = HappeningKind
HOURS = 20
POLICY = policies(
    gate={"close_wakes": ["15m"], "cooldown_s": 300}, decision={"deadline_s": 60}, exits={"max_hold_h": 1}
)
Facts = Counter[tuple[Any, ...]]
"""What happened: sums by order and symbol, and counts of the rest."""


class Unreliable(Reckless):
    """A reckless decider that sometimes fails, or thinks for longer than it may; it keeps each wake's happenings."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.shown: dict[int, tuple[int, Facts]] = {}

    async def decide(self, request: DecisionRequest) -> Decision:
        assert request.snapshot.since_dropped == 0
        shown = request.snapshot.since_wake, facts(request.snapshot.since)
        assert self.shown.setdefault(request.wake_id, shown) == shown, "a resumed run shows something else"
        if Random(f"fails {request.wake_id}").random() < 0.3:
            raise ConnectionError("the line is dead")
        return await super().decide(request)


def facts(happenings: Iterable[Happening]) -> Facts:
    """Return the happenings of a snapshot in the oracle's terms."""
    found: Facts = Counter()
    for each in happenings:
        match each.kind:
            case K.FILLED | K.REDUCED:
                found["filled", each.order] += each.quantity or 0  # type: ignore[assignment]
            case K.CLOSED:
                found["filled", each.order] += each.quantity or 0  # type: ignore[assignment]
                found["closed", each.symbol, each.amount, each.began_at] += 1
            case K.FUNDING:
                found["funding", each.symbol] += each.amount or 0  # type: ignore[assignment]
            case K.LAPSED | K.CANCELLED | K.REJECTED:
                found["ended", each.order, abs(each.quantity or 0)] += 1
            case K.REFUSED:
                found["refused", each.symbol, each.code, each.by] += each.times
            case K.STOP_MOVED:
                found["stop", each.symbol, each.price] += 1
            case K.STATE:
                found["state", each.cause] += 1
            case K.COMMAND:
                found["command", each.cause] += 1
    return found


def oracle(journal: Iterable[tuple[int, events.DomainEvent]]) -> dict[int, tuple[int, Facts]]:
    """Return the answered wake and the facts that each wake has to show, from the journal alone."""
    expected: dict[int, tuple[int, Facts]] = {}
    shown: list[Facts] = []
    fresh: list[Facts] = []
    answered = 0
    size: dict[OrderRef, Decimal] = {}
    stops: dict[str, Decimal] = {}
    for _, event in journal:
        match event:
            case events.WakeRaised(wake_id):
                shown, fresh = shown + fresh, []
                expected[wake_id] = answered, merged(shown)
            case events.DecisionMade(wake_id, decider) if decider != "rules" and event.decision.cause is None:
                answered, shown = wake_id, []
            case events.OrderIntended(ref, intent) if ref.leg is Purpose.ENTRY:
                size[ref] = intent.quantity
            case events.OrderFilled(ref=ref, quantity=quantity):
                signed = quantity if event.side == "buy" else -quantity
                fresh.append(Counter({("filled", ref): signed}))
                if ref in size:
                    size[ref] -= quantity
            case events.OrderCanceled(ref) | events.OrderRejected(ref) if ref in size:
                fresh.append(Counter({("ended", ref, size[ref]): 1}))
            case events.OrderRefused(intent, refusal) if intent.wake_id is not None:
                fresh.append(Counter({("refused", intent.symbol, refusal.code, intent.principal): 1}))
            case events.PositionProtected(symbol, _, price):
                if stops.setdefault(symbol, price) != price:
                    fresh.append(Counter({("stop", symbol, price): 1}))
                stops[symbol] = price
            case events.PositionClosed(symbol, opened_at, pnl):
                stops.pop(symbol, None)
                fresh.append(Counter({("closed", symbol, pnl, opened_at): 1}))
            case events.FundingBooked(symbol, amount):
                fresh.append(Counter({("funding", symbol): amount}))
            case events.StateChanged(after=after):
                fresh.append(Counter({("state", after): 1}))
            case events.CommandTaken(verb=verb):
                fresh.append(Counter({("command", verb): 1}))
    return expected


def merged(parts: list[Facts]) -> Facts:
    """Return the facts of all events, with only the last price of a stop that moved more than once in a position."""
    total: Facts = Counter()
    for part in parts:
        for key, value in part.items():
            total[key] += value
    return total


def without_stops(shown: dict[int, tuple[int, Facts]]) -> dict[int, tuple[int, Facts]]:
    return {
        wake: (answered, Counter({key: value for key, value in found.items() if key[0] != "stop"}))
        for wake, (answered, found) in shown.items()
    }


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2, 3))])
async def test_shown_happenings_are_those_of_the_journal(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 50)
    draw, store, deaths = Random(f"deaths {seed}"), MemoryStore(), 0
    decider = Unreliable(seed)
    while True:
        box = Commands([Command("c1", Verb.RESUME, "ann"), Command("c2", Verb.TAKE_OVER, "ann", subject="nothing")])
        feed = SimulatedFeed(seed, warmup_days=0)
        run = Run(feed, decider, store=store, policy=POLICY, agent="random", fallback=True, commands=box)
        store.die_at = draw.choice((40, 110, 230)) if deaths < 4 else None
        try:
            await run.go(HOURS * HOUR)
        except Crash:
            deaths += 1
            store = store.reopened()
        else:
            break
    assert deaths == 4, "the story is too short"
    expected = oracle((each.at, each.event) for each in store.domain)
    shown = without_stops(decider.shown)
    assert len(shown) > 30
    assert shown == without_stops({wake: expected[wake] for wake in shown})
    kinds = {key[0] for _, found in shown.values() for key in found}
    assert kinds >= {"filled", "closed", "ended", "refused", "command"}
    for wake, (_, found) in decider.shown.items():
        # Moves of one stop are one happening, with the last price.
        moved = {key for key in found if key[0] == "stop"}
        assert moved <= {key for key in expected[wake][1] if key[0] == "stop"}
        assert {key[1] for key in moved} == {key[1] for key in expected[wake][1] if key[0] == "stop"}
    assert all(isinstance(value, int | Decimal) for _, found in shown.values() for value in found.values())
