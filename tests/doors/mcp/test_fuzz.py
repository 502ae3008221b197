"""Anything at all as arguments: every tool answers, and the engine is as it was."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.server.mcpserver import MCPServer

from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.requests import RequestCode
from ocw_mcp.domain.state import DeskState
from ocw_mcp.doors.mcp.server import build, tools
from tests.support.deciders import Reckless
from tests.support.facades import Looked
from tests.support.oracle import Oracle

CODES = {code.value for code in RequestCode} | {code.value for code in RefusalCode}

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from(["", "NaN", "-Infinity", "1e999999", "0x10", "\x00", "٣", "../../etc/passwd", "'; DROP TABLE x"]),
    st.text(max_size=200),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
TEXTS = st.one_of(
    st.sampled_from(["BTCUSDT", "ethusdt", "1h", "15m", "2026-01-01", "wake:1", "order:1", "1-e-0", "orders:5", "0.1"]),
    st.text(max_size=40),
)
NUMBERS = st.one_of(st.integers(-5, 500), st.floats(allow_nan=False, allow_infinity=False), TEXTS)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a property's schema takes."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    choices: list[st.SearchStrategy[Any]] = []
    for kind in kinds:
        if kind == "array":
            choices.append(st.lists(st.deferred(lambda: element(schema["items"])), max_size=4))
        elif kind == "integer":
            choices.append(st.integers(schema.get("minimum", -(10**6)), schema.get("maximum", 10**6)))
        else:
            choices.append({"string": TEXTS, "number": NUMBERS, "null": st.none()}[kind])
    return st.one_of(choices)


def element(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values for one place of a list."""
    return arguments(schema) if schema["type"] == "object" else fitting(schema)


@st.composite
def arguments(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a tool: most of them fit its schema, some are junk, some are missing, some nobody asked for."""
    given_: dict[str, Any] = {}
    for name, each in schema["properties"].items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            given_[name] = draw(JUNK if draw(st.integers(0, 5)) == 0 else fitting(each))
    if draw(st.integers(0, 9)) == 0:
        given_[draw(st.text(max_size=10))] = draw(JUNK)
    return given_


TOOLS = {tool.name: tool.parameters for tool in tools(lambda: None, read_only=True)}  # type: ignore[arg-type,return-value]
WRITING = {tool.name: tool.parameters for tool in tools(lambda: None) if not tool.reads}  # type: ignore[arg-type,return-value]


@pytest.fixture(scope="module")
def server(looked: Looked) -> MCPServer[Any]:
    return build(lambda: looked.facade, "1")


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    found = Looked(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(6))
    yield found
    found.store.close()


@pytest.mark.parametrize("tool", TOOLS)
@given(data=st.data())
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_every_tool_that_reads_answers_whatever_it_is_asked(
    looked: Looked, server: MCPServer[Any], tool: str, data: st.DataObject
) -> None:
    calls = data.draw(st.lists(arguments(TOOLS[tool]), min_size=1, max_size=8))
    before = looked.run.engine.state()
    for era in ("auto", "legacy"):
        asyncio.run(call_all(server, era, [(tool, each) for each in calls]))
    assert looked.run.engine.state() == before


PRICES = st.integers(1, 200_000).map(str)
MEANT: dict[str, st.SearchStrategy[Any]] = {
    "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]),
    "size": st.sampled_from(["0.01", "0.1", "0.25", "0.9"]),
    "quantity": st.sampled_from(["0.001", "0.01", "1", "1000"]),
    "stop": PRICES,
    "target": PRICES,
    "limit": PRICES,
    "key": st.sampled_from(["k1", "k2", "k3", "k4"]),
    "order": st.sampled_from(["1-e-0", "1-s-0", "1-s-1", "2-e-0", "2-t-0"]),
}


@st.composite
def meant(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A call that somebody could mean, or that is malformed."""
    tool = draw(st.sampled_from(sorted(WRITING)))
    given_ = draw(arguments(WRITING[tool]))
    for name in WRITING[tool]["properties"]:
        if name in MEANT and draw(st.integers(0, 4)):
            given_[name] = draw(MEANT[name])
    return tool, given_


@pytest.mark.requirement("K05")
@given(calls=st.lists(meant(), min_size=1, max_size=25))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_whatever_the_tools_that_act_are_asked_no_limit_breaks_and_no_stop_loosens(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    desk = Looked(tmp_path_factory.mktemp("desk"), Reckless(2))
    oracle = Oracle()
    oracle.engine = desk.run.engine
    # The oracle asserts within the listener: whatever breaks a limit fails this test.
    desk.run.simulation._shell.recorder._listener = oracle.hear
    asyncio.run(desk.go(4))
    server = build(lambda: desk.facade, "1")
    lowest = DeskState.ACTIVE
    for index, call in enumerate(calls):
        asyncio.run(call_all(server, "auto" if index % 2 else "legacy", [placing(desk, call)]))
        state = desk.run.engine.account.desk_state
        assert list(DeskState).index(state) >= list(DeskState).index(lowest)
        lowest = state
    assert desk.run.config.policies == desk.facade.policies
    desk.store.close()


def placing(desk: Looked, call: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The call, with a preview that there is where it places one."""
    tool, given_ = call
    kept = [name for each in desk.facade.trading._previews._kept.values() for name in each]
    return (tool, given_ | {"preview_id": kept[-1]}) if tool == "orders_place" and kept else call


async def call_all(server: MCPServer[Any], era: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    async with Client(server, mode=era) as client:
        await client.list_tools()
        for tool, given_ in calls:
            answered = await client.call_tool(tool, given_)
            said = answered.content[0]
            assert said.type == "text"
            assert answered.is_error == (said.text.partition(":")[0] in CODES), (given_, said.text)
