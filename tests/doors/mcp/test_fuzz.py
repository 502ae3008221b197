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
from ocw_mcp.doors.mcp.server import build, tools
from tests.support.facades import Looked

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
        if kind == "integer":
            choices.append(st.integers(schema.get("minimum", -(10**6)), schema.get("maximum", 10**6)))
        else:
            choices.append({"string": TEXTS, "number": NUMBERS, "null": st.none()}[kind])
    return st.one_of(choices)


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


TOOLS = {tool.name: tool.parameters for tool in tools(lambda: None)}  # type: ignore[arg-type,return-value]


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
def test_every_tool_answers_whatever_it_is_asked(
    looked: Looked, server: MCPServer[Any], tool: str, data: st.DataObject
) -> None:
    calls = data.draw(st.lists(arguments(TOOLS[tool]), min_size=1, max_size=8))
    before = looked.run.engine.state()

    async def call_all(era: str) -> None:
        async with Client(server, mode=era) as client:
            await client.list_tools()
            for given_ in calls:
                answered = await client.call_tool(tool, given_)
                said = answered.content[0]
                assert said.type == "text"
                assert answered.is_error == (said.text.partition(":")[0] in CODES), (given_, said.text)

    for era in ("auto", "legacy"):
        asyncio.run(call_all(era))
    assert looked.run.engine.state() == before
