"""Runs whose snapshots show what happened since the last wake."""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.happenings import Happening, HappeningKind
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from tests.support.deciders import Scripted
from tests.support.markets import ListFeed, path
from tests.support.runs import Run, policies

D = Decimal
K = HappeningKind


def minutely(**gate: Any) -> Policies:
    """A wake at every candle."""
    return policies(gate={"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0} | gate)


class Sometimes(Scripted):
    """A scripted decider that cannot answer some wakes."""

    def __init__(self, script: dict[int, Decision], failing: Collection[int], thinking_ms: int = 0) -> None:
        super().__init__(script, thinking_ms)
        self._failing = failing

    async def decide(self, request: DecisionRequest) -> Decision:
        decision = await super().decide(request)
        if request.wake_id in self._failing:
            raise ConnectionError("the line is dead")
        return decision


async def seen(
    script: dict[int, Decision],
    closes: list[float],
    *,
    failing: Collection[int] = (),
    policy: Policies | None = None,
    **options: Any,
) -> list[Snapshot]:
    """The snapshot of each wake."""
    decider = Sometimes(script, failing, options.pop("thinking_ms", 0))
    feed = ListFeed(path(closes), funding=options.pop("funding", ()))
    await Run(feed, decider, policy=policy or minutely(), **options).go()
    return [each.snapshot for each in decider.asked]


def kinds(snapshot: Snapshot) -> list[HappeningKind]:
    return [each.kind for each in snapshot.since]


def one(snapshot: Snapshot, kind: HappeningKind) -> Happening:
    (found,) = [each for each in snapshot.since if each.kind is kind]
    return found
