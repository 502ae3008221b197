"""The time until a run takes a command, and the time at which the run ends."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.legs import buy, short
from tests.support.markets import ListFeed, path
from tests.support.runs import Commands, Run, Unhurried, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})

HALT = Command("c1", "halt", "a person")


class Wall(Unhurried):
    """A clock on which each frame takes so many milliseconds of wall time."""

    def __init__(self, per_frame_ms: float) -> None:
        super().__init__()
        self._per_frame = per_frame_ms
        self.wall = 0.0

    def wall_ms(self) -> float:
        return self.wall

    def advance(self, to: int) -> None:
        self.wall += self._per_frame if to > self.now() else 0.0
        super().advance(to)


class Late(Commands):
    """A box whose command appears at a real time; it records how long the command waited."""

    def __init__(self, clock: Wall, comes_at: float, command: Command = HALT) -> None:
        super().__init__()
        self._command = command
        self._clock = clock
        self._comes_at = comes_at
        self.waited: float | None = None

    def waiting(self) -> Sequence[Command]:
        if self._clock.wall < self._comes_at or self.waited is not None:
            return ()
        self.waited = self._clock.wall - self._comes_at
        self.put(self._command)
        return super().waiting()


async def test_a_halt_is_taken_within_a_second_at_any_pace() -> None:
    for per_frame_ms in (1.0, 16.0, 83.0, 200.0, 499.0):
        clock = Wall(per_frame_ms)
        box = Late(clock, comes_at=20 * per_frame_ms + 0.5)
        run = await Run(ListFeed(path([100.0] * 500)), commands=box, clock=clock).go()
        assert box.waited is not None
        assert box.waited < 1_000, f"{per_frame_ms} ms a frame"
        assert run.engine.account.trading_state is TradingState.HALTED


async def test_the_duration_of_a_resumed_run_counts_from_its_clean_stop() -> None:
    feed = ListFeed(path([100.0] * 30))
    first = Run(feed)
    await first.simulation.run("test", 5 * MINUTE)
    stood = first.simulation.cursor
    second = Run(feed, store=first.store.reopened())
    await second.simulation.run("test", 5 * MINUTE)
    assert second.simulation.cursor == stood + 5 * MINUTE
    third = Run(feed, store=second.store.reopened())
    await third.simulation.run("test")
    assert third.store.fingerprint == (await Run(feed).go()).store.fingerprint


async def test_a_killed_run_resumes_to_the_end_of_the_same_duration() -> None:
    feed = ListFeed(path([100.0] * 30))
    first = Run(feed)
    await first.simulation.run("test", 5 * MINUTE)
    store = first.store.reopened()
    killed = Run(feed, store=store)
    await killed.simulation.run("test", 4 * MINUTE)
    # As if it had been killed before its end: the journal has its events, the checkpoint is the one before.
    store.put_checkpoint(first.store.checkpoint())  # type: ignore[arg-type]
    resumed = Run(feed, store=store.reopened())
    await resumed.simulation.run("test", 5 * MINUTE)
    assert resumed.simulation.cursor == first.simulation.cursor + 5 * MINUTE
    assert len(resumed.events(events.CommandTaken)) == 0


@pytest.mark.parametrize("leg", [buy("95.5"), short("104.5")], ids=["long", "short"])
async def test_a_flatten_between_candles_fills_at_the_present_price(leg: Decision) -> None:
    async def flattened(store: MemoryStore | None = None) -> Run:
        clock = Wall(250.0)
        box = Late(clock, comes_at=12 * 250.0 - 1, command=Command("c1", "flatten", "a person"))
        return await Run(
            ListFeed(path([100.0 + index / 100 for index in range(20)])),
            Scripted({5: leg}),
            policy=WAKES,
            commands=box,
            clock=clock,
            store=store,
        ).go()

    run = await flattened()
    ((taken, _),) = run.timed(events.CommandTaken)
    at, fill = run.timed(events.OrderFilled)[-1]
    assert at == taken, "the next opening is a minute later"
    assert fill.position == 0
    assert run.engine.account.ledger.positions == {}
    assert abs(fill.price - Decimal("100.12")) < Decimal("0.15")
    dying = MemoryStore()
    dying.die_at = run.store.touches - 4
    with pytest.raises(Crash):
        await flattened(dying)
    assert (await flattened(dying.reopened())).store.fingerprint == run.store.fingerprint
