"""An engine that was killed does again what it had done; whoever looks meanwhile is told that it is the past."""

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from ocw_mcp.runtime.shell import Shell
from tests.support.facades import Looked
from tests.support.runs import Unhurried
from tests.support.served import served

HOURS = 3


class Peeks(Unhurried):
    """Lets somebody look wherever a run lets others have a turn."""

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
    """A book whose engine died before it made any checkpoint."""
    with monkeypatch.context() as patched:
        patched.setattr(Shell, "checkpoint", lambda self, market_at: None)
        before = await Looked(tmp_path).go(HOURS)
    before.store.close()
    return tmp_path


async def test_until_an_engine_has_caught_up_every_look_says_that_it_is_the_past(killed: Path) -> None:
    clock = Peeks()
    looked = Looked(killed, clock=clock)
    told: dict[tuple[bool, bool], str] = {}
    async with Client(looked.server) as client:

        async def look() -> None:
            moment = looked.facade.moment()
            kind = (moment.catching_up, moment.as_of is not None)
            if kind not in told:
                answered = await client.call_tool("ocw_get_status", {})
                assert answered.structured_content is not None
                assert answered.structured_content["meta"]["stale"] is moment.catching_up
                told[kind] = text(answered).partition("\n")[0]

        await look()
        clock.look = look
        await looked.go(HOURS + 1)
    assert list(told) == [(True, False), (True, True), (False, True)]
    unseen, past, present = told.values()
    assert unseen == "[paper ACTIVE, STALE: catching up after a restart, nothing is replayed yet; call again]"
    assert past.startswith("[paper ACTIVE, STALE: catching up after a restart, this shows the past as of 2026-")
    assert present.startswith("[paper ACTIVE as of 2026-")
    looked.store.close()


async def test_over_http_the_same_is_told(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    looked = Looked(killed)
    async with served(looked.facade, tmp_path_factory.mktemp("tokens")) as door:
        assert (await door.client.get("/status")).json()["meta"]["catching_up"]
        text = (await door.client.get("/metrics")).text
        assert "ocw_catching_up 1.0" in text
        assert "ocw_data_stale 1.0" in text
        await looked.go(HOURS + 1)
        assert not (await door.client.get("/status")).json()["meta"]["catching_up"]
        assert "ocw_catching_up 0.0" in (await door.client.get("/metrics")).text
    looked.store.close()
