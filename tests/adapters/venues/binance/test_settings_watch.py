"""Settings that its owner changes while a book runs halt the book, as they would have kept it from starting."""

import asyncio
from collections.abc import Callable

import pytest

from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.adapters.venues.binance.settings_watch import EVERY_S, SettingsWatch
from ocw_mcp.domain.errors import VenueRefused
from ocw_mcp.domain.orders import VenueNotice, VenueNoticeKind
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_venue import BTC, VenueRig, on_venue

HEDGED = VenueRefused("the account is in hedge mode, expected one-way mode; run `ocw connect --set-up`")
CROSSED = VenueRefused("the margin type of BTCUSDT is cross, expected isolated; run `ocw connect --set-up`")
FAILED = QueryFailed("no answer")


def notices(answers: list[Exception | None]) -> list[VenueNotice]:
    """Return what a watch says of these answers to its looks, one after the other."""
    said: list[VenueNotice] = []
    left = list(answers)

    async def check() -> None:
        answer = left.pop(0)
        if answer is not None:
            raise answer

    async def watch() -> None:
        task = asyncio.ensure_future(SettingsWatch(check, said.append).run())
        await asyncio.wait({task}, timeout=EVERY_S * (len(answers) + 0.5))
        assert not task.done()
        task.cancel()

    run_in_virtual_time(watch())
    assert left == []
    return said


def test_right_settings_and_failed_looks_say_nothing() -> None:
    assert notices([None, FAILED, None]) == []


def test_wrong_settings_halt_the_book_once_for_each_cause() -> None:
    said = notices([None, HEDGED, FAILED, HEDGED, CROSSED, None, CROSSED])
    assert [each.kind for each in said] == [VenueNoticeKind.HALT] * 3
    assert ["hedge" in each.detail for each in said] == [True, False, False]
    assert all("ocw connect --set-up" in each.detail for each in said), "the command that mends it is named"


@pytest.mark.parametrize(
    "change",
    [
        lambda rig: setattr(rig.api.settings, "hedged", True),
        lambda rig: setattr(rig.account.state, "multi_assets", True),
        lambda rig: setattr(rig.account.state.position(BTC), "isolated", False),
    ],
    ids=["hedge", "assets", "margin"],
)
def test_change_without_an_event_halts_a_running_book(change: Callable[[VenueRig], None]) -> None:
    async def use(rig: VenueRig) -> list[str]:
        await rig.later(EVERY_S + 1)
        assert rig.notices() == []
        change(rig)
        await rig.later(EVERY_S + 1)
        return rig.notices()

    assert on_venue(use) == ["halt"]
