"""Changed settings are journaled at a restart and apply at once; commands are not executed again."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.legs import buy, sell
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})

HALT, RESUME = Command("c1", "halt", "a person"), Command("c2", "resume", "a person")


class Stubborn(Commands):
    """A command box whose files cannot be deleted."""

    def done(self, command: Command) -> None:
        pass


async def part(store: MemoryStore, minutes: int, box: Commands | None = None, **changes: str) -> Run:
    feed = ListFeed(path([100.0] * 9))
    return await Run(feed, store=store, policy=WAKES, commands=box, **changes).go(for_ms=minutes * MINUTE)  # type: ignore[arg-type]


async def test_a_command_whose_file_is_not_deleted_is_executed_once() -> None:
    first = await part(MemoryStore(), 2, Stubborn([HALT, RESUME]))
    second = await part(first.store.reopened(), 4, Stubborn([HALT, RESUME]))
    third = await part(second.store.reopened(), 6, Stubborn([HALT, RESUME]))
    assert [each.command_id for each in third.events(events.CommandTaken)] == ["c1", "c2"]
    assert third.engine.account.trading_state is TradingState.ACTIVE
    assert len(third.events(events.StateChanged)) == 2


@again_among_slow
async def test_a_command_whose_file_survives_a_crash_is_executed_once() -> None:
    undisturbed = (await part(MemoryStore(), 6, Stubborn([HALT, RESUME]))).store
    for moment in some(undisturbed.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await part(dying, 6, Stubborn([HALT, RESUME]))
        resumed = await part(dying.reopened(), 6, Stubborn([HALT, RESUME]))
        assert resumed.store.fingerprint == undisturbed.fingerprint


async def test_a_new_command_is_executed_while_an_old_file_remains() -> None:
    first = await part(MemoryStore(), 2, Stubborn([HALT, RESUME]))
    again = Command("c3", "halt", "a person")
    second = await part(first.store.reopened(), 4, Stubborn([HALT, RESUME, again]))
    assert second.engine.account.trading_state is TradingState.HALTED


async def test_changed_prompts_with_unchanged_policies_are_journaled_once() -> None:
    first = await part(MemoryStore(), 2)
    second = await part(first.store.reopened(), 4, prompts_hash="other prompts")
    third = await part(second.store.reopened(), 6, prompts_hash="other prompts")
    assert [(each.policy_hash, each.prompts_hash) for each in third.events(events.PoliciesLoaded)] == [
        ("policy", "prompts"),
        ("policy", "other prompts"),
    ]


def losing() -> list[Candle]:
    """A market that falls by a tenth and stays there."""
    return [candle(0, 100.0), candle(1, 100.0), *(candle(index, 90.0) for index in range(2, 12))]


WIDE = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"max_distance": "0.2"})
TIGHT = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0}, stop={"max_distance": "0.2"}, daily_loss={"max_share": "0.01"}
)


async def lose(script: Scripted, policy: Policies, store: MemoryStore | None = None, minutes: int = 5) -> Run:
    name = "tight" if policy is TIGHT else "wide"
    run = Run(ListFeed(losing()), script, policy=policy, store=store, policy_hash=name)
    return await run.go(for_ms=minutes * MINUTE)


@pytest.mark.parametrize("held", [True, False])
async def test_a_tightened_daily_loss_applies_to_the_present_day(held: bool) -> None:
    script = {1: buy("85", size="0.24")} | ({} if held else {4: sell()})
    first = await lose(Scripted(script), WIDE)
    loss = Decimal(summary(first.engine)["daily_loss"])
    assert Decimal("0.02") < loss < Decimal("0.03")
    assert bool(first.engine.account.ledger.positions) is held
    assert first.events(events.DailyLossReached) == []

    second = await lose(Scripted({6: buy("85", symbol="BTCUSDT")}), TIGHT, first.store.reopened(), minutes=12)
    (reached,) = second.events(events.DailyLossReached)
    assert reached.floor == Decimal(9_900)
    (refused,) = second.events(events.OrderRefused)
    assert refused.refusal.code is (RefusalCode.ALREADY_IN_POSITION if held else RefusalCode.DAILY_LOSS)
    entries = [fill for fill in second.events(events.OrderFilled) if fill.ref.leg is Purpose.ENTRY]
    assert len(entries) == 1


async def test_a_looser_daily_loss_allows_no_entry_on_the_same_day() -> None:
    first = await lose(Scripted({1: buy("85", size="0.24")}), TIGHT)
    assert len(first.events(events.DailyLossReached)) == 1
    second = await lose(Scripted({}), WIDE, first.store.reopened(), minutes=9)
    assert summary(second.engine)["daily_loss_reached"] is True
    assert len(second.events(events.DailyLossReached)) == 1


@pytest.mark.parametrize("state", [b"", b"\x80", b"not a state", "of another format"])
async def test_a_state_of_another_version_is_refused_and_kept(state: bytes | str) -> None:
    store = (await part(MemoryStore(), 2)).store.reopened()
    saved = store.checkpoint()
    assert saved is not None
    if isinstance(state, str):
        memory = msgspec.msgpack.decode(saved.engine)
        state = msgspec.msgpack.encode(memory | {"format": memory["format"] + 1})
    store.put_checkpoint(msgspec.structs.replace(saved, engine=state))
    before = store.fingerprint
    with pytest.raises(BookError, match="not made by this version"):
        await part(store, 4)
    assert store.fingerprint == before


async def test_a_book_resumes_after_a_change_of_the_policy_outlier_moves() -> None:
    first = await part(MemoryStore(), 2)
    other = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0, "outlier_moves": {"5m": 0.01}})
    feed = ListFeed(path([100.0] * 9))
    second = Run(feed, store=first.store.reopened(), policy=other, policy_hash="other")
    await second.go()
    assert [each.policy_hash for each in second.events(events.PoliciesLoaded)] == ["policy", "other"]
    assert second.engine.counters.candles == 9 * len(feed.identity.symbols)
