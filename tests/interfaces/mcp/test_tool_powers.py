"""No tool raises a limit or the trading state, removes a stop, changes the mode, or reaches a credential."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.control.address import Address, write_address
from ocw_mcp.adapters.control.tokens import add_token
from ocw_mcp.domain.asks import HaltRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.state import TradingState
from ocw_mcp.interfaces.mcp.server import tools
from tests.support.calls import arguments
from tests.support.deciders import Scripted
from tests.support.facades import FacadeRun

CANARIES = ("canary-in-the-environment", "canary-in-the-env-file", "canary-as-the-passphrase", "canary-as-the-address")
EVERY = {tool.name: tool for tool in tools(lambda: None)}  # type: ignore[arg-type,return-value]
SAY = st.sampled_from(
    ["resume", "ACTIVE", "live", "operate", "/etc/passwd", "../.env", ".env", "tokens.json", "passphrase", "HALT"]
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FacadeRun, Path]]:
    """A halted engine with a protected position, and a credential in every place that can hold one."""
    directory = tmp_path_factory.mktemp("guarded") / "desk"
    sim = FacadeRun(directory, Scripted({}))
    asyncio.run(halted_with_a_position(sim))
    (directory / ".env").write_text(f"BINANCE_API_KEY={CANARIES[1]}\n")
    passphrase.keep(directory, CANARIES[2], passphrase.Cost(n=16))
    add_token(directory, "operate", None, 0)
    write_address(directory, Address("http://127.0.0.1:1", CANARIES[3], 1))
    yield sim, directory
    sim.store.close()


async def halted_with_a_position(sim: FacadeRun) -> None:
    await sim.go(1)
    last = sim.facade.symbol("ETHUSDT").last
    assert isinstance(last, float)
    leg = Leg("ETHUSDT", Action.BUY, size=Decimal("0.1"), stop=Decimal(f"{last * 0.97:.2f}"))
    preview = sim.facade.trading.preview("somebody", leg).preview
    assert preview is not None
    await sim.facade.trading.place("somebody", "k", preview.preview_id, "for the test")
    await sim.go(2)
    await sim.facade.trading.ask(HaltRequest("h", "somebody", "for the test"))
    assert sim.facade.positions()[0].stop is not None


def kept(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every file that no tool may change."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith("journal.db")
    }


@st.composite
def any_call(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(EVERY)))
    given_ = draw(arguments(EVERY[name].parameters))
    for each, schema in EVERY[name].parameters["properties"].items():
        if "string" in schema.get("type", ()) and "enum" not in schema and draw(st.integers(0, 3)) == 0:
            given_[each] = draw(SAY)
    return name, given_


@pytest.mark.requirement("K05")
@given(calls=st.lists(any_call(), min_size=1, max_size=25))
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_random_calls_loosen_no_stop_and_change_no_limit_or_key(
    guarded: tuple[FacadeRun, Path], monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    sim, directory = guarded
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARIES[0])
    before, limits, files = stop_of(sim), sim.facade.policies, kept(directory)
    hashes = (sim.run.config.policy_hash, sim.facade.status().policy_hash)

    async def call_all() -> list[str]:
        said = []
        async with Client(sim.server) as client:
            for name, given_ in calls:
                said.append(str(await client.call_tool(name, given_)))
        return said

    said = asyncio.run(call_all())
    assert sim.run.engine.account.trading_state is TradingState.HALTED
    assert sim.facade.moment().mode == "paper"
    assert sim.facade.policies == limits
    assert (sim.run.config.policy_hash, sim.facade.status().policy_hash) == hashes
    assert before is None or stop_of(sim) is None or stop_of(sim) >= before
    assert kept(directory) == files
    assert [canary for canary in CANARIES if any(canary in each for each in said)] == []


def stop_of(sim: FacadeRun) -> Any:
    """Return the stop of the position; None after the position is closed."""
    held = sim.facade.positions()
    assert not held or held[0].stop is not None or sim.run.engine.manager.exit_under_way(held[0].symbol)
    return held[0].stop if held else None


def test_no_tool_has_an_argument_for_caller_permission_or_mode() -> None:
    said = {name for tool in EVERY.values() for name in tool.parameters["properties"]}
    forbidden = ("mode", "state", "policy", "policies", "principal", "scope", "token", "approval", "approve", "by")
    assert said.isdisjoint(forbidden)
    assert all(tool.parameters.get("additionalProperties") is not True for tool in EVERY.values())
