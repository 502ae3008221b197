"""An engine that was killed replays its journal; answers during the replay say that they show the past."""

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.runtime.shell import Shell
from tests.support.facades import FacadeRun
from tests.support.runs import Unhurried
from tests.support.served import served
from tests.support.trading import AS_PROGRAM

HOURS = 3


class Peeks(Unhurried):
    """Makes a call whenever a run yields to other tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.look: Any = None

    async def wait_until(self, at: int) -> None:
        if self.look is not None:
            await self.look()


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


@pytest.fixture
async def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book whose engine was killed before its first checkpoint."""
    with monkeypatch.context() as patched:
        patched.setattr(Shell, "checkpoint", lambda self, market_at: None)
        before = await FacadeRun(tmp_path).go(HOURS)
    before.store.close()
    return tmp_path


async def test_answers_while_the_engine_catches_up_are_marked_as_stale(killed: Path) -> None:
    clock = Peeks()
    sim = FacadeRun(killed, clock=clock)
    heads: dict[tuple[bool, bool], str] = {}
    async with Client(sim.server) as client:

        async def look() -> None:
            moment = sim.facade.moment()
            kind = (moment.catching_up, moment.as_of is not None)
            if kind not in heads:
                answered = await client.call_tool("ocw_get_status", {}, meta=AS_PROGRAM)
                assert answered.structured_content is not None
                assert answered.structured_content["meta"]["stale"] is moment.catching_up
                heads[kind] = text(answered).partition("\n")[0]

        await look()
        clock.look = look
        await sim.go(HOURS + 1)
    assert list(heads) == [(True, False), (True, True), (False, True)]
    unseen, past, present = heads.values()
    assert unseen == "[paper ACTIVE, STALE: catching up after a restart, nothing is replayed yet; call again]"
    assert past.startswith("[paper ACTIVE, STALE: catching up after a restart, this shows the past as of 2026-")
    assert present.startswith("[paper ACTIVE 2026-")
    sim.store.close()


async def test_rest_status_shows_that_the_engine_is_catching_up(
    killed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sim = FacadeRun(killed)
    async with served(sim.facade, tmp_path_factory.mktemp("tokens")) as endpoint:
        assert (await endpoint.client.get("/status")).json()["meta"]["catching_up"]
        text = (await endpoint.client.get("/metrics")).text
        assert "ocw_catching_up 1.0" in text
        assert "ocw_data_stale 1.0" in text
        await sim.go(HOURS + 1)
        assert not (await endpoint.client.get("/status")).json()["meta"]["catching_up"]
        assert "ocw_catching_up 0.0" in (await endpoint.client.get("/metrics")).text
    sim.store.close()
