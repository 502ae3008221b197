"""Random arguments: every tool answers, and the state of the engine stays valid."""

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.server.mcpserver import MCPServer

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.requests import RequestCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.interfaces.mcp.server import tools
from tests.support.calls import JUNK, arguments, fitting
from tests.support.deciders import Reckless
from tests.support.examples import examples
from tests.support.facades import FacadeRun
from tests.support.oracle import Oracle
from tests.support.trading import AS_PROGRAM

CODES = {code.value for code in RequestCode} | {code.value for code in RefusalCode}

TOOLS = {tool.name: tool.parameters for tool in tools(lambda: None, read_only=True)}  # type: ignore[arg-type,return-value]
WRITING = {tool.name: tool.parameters for tool in tools(lambda: None) if not tool.reads}  # type: ignore[arg-type,return-value]


@pytest.fixture(scope="module")
def server(sim: FacadeRun) -> MCPServer[Any]:
    return sim.server


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(6))
    yield found
    found.store.close()


@pytest.mark.parametrize("tool", TOOLS)
@given(data=st.data())
@examples(2, slow=6, suppress_health_check=[HealthCheck.too_slow])
def test_reading_tools_answer_random_arguments_and_change_nothing(
    sim: FacadeRun, server: MCPServer[Any], tool: str, data: st.DataObject
) -> None:
    calls = data.draw(st.lists(arguments(TOOLS[tool]), min_size=1, max_size=8))
    before = sim.run.engine.state()
    for era in ("auto", "legacy"):
        asyncio.run(call_all(server, era, [(tool, each) for each in calls], []))
    assert sim.run.engine.state() == before


PRICES = st.one_of(st.sampled_from(["@0.97", "@0.985", "@0.999", "@1.001", "@1.02"]), st.integers(1, 200_000).map(str))
"""Prices; `@0.97` is a multiple of the symbol's last price."""
MEANT: dict[str, st.SearchStrategy[Any]] = {
    "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
    "size": st.sampled_from(["0.01", "0.1", "0.25", "0.9"]),
    "quantity": st.sampled_from(["0.001", "0.01", "1", "1000"]),
    "stop": PRICES,
    "target": PRICES,
    "limit": PRICES,
    "key": st.one_of(st.integers(1, 10**9).map(str), st.sampled_from(["k1", "k2"])),
    "order": st.sampled_from(["1-e-0", "1-s-0", "1-s-1", "2-e-0", "2-t-0"]),
}


USUAL = st.one_of(
    st.fixed_dictionaries({"action": st.just("BUY"), "stop": st.sampled_from(["@0.97", "@0.985"])}),
    st.fixed_dictionaries({"action": st.just("SHORT"), "stop": st.sampled_from(["@1.02", "@1.035"])}),
    st.fixed_dictionaries({"action": st.sampled_from(["ADD", "SELL", "COVER"])}),
)
"""Sensible orders: an action with a stop on its losing side."""
OFTEN = [
    "orders_preview",
    "orders_place",
    "orders_preview",
    "orders_place",
    "positions_set_protection",
    *sorted(WRITING),
]


@st.composite
def meant(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A plausible call; now and then one of its arguments is junk."""
    tool = draw(st.sampled_from(OFTEN))
    schema = WRITING[tool]
    given_: dict[str, Any] = {}
    for name, each in schema["properties"].items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            given_[name] = draw(MEANT[name] if name in MEANT else fitting(each))
    if tool == "orders_preview" and draw(st.sampled_from([True, True, True, False])):
        given_ = {"symbol": draw(MEANT["symbol"]), "size": draw(MEANT["size"])} | draw(USUAL)
    elif draw(st.integers(0, 7)) == 7:
        given_[draw(st.sampled_from(sorted(given_)))] = draw(JUNK)
    return tool, given_


@pytest.mark.slow
@pytest.mark.requirement("K05")
def test_random_acting_calls_break_no_limit_and_loosen_no_stop(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sim = FacadeRun(tmp_path_factory.mktemp("desk"), Reckless(2))
    oracle = Oracle()
    oracle.engine = sim.run.engine
    # The oracle asserts in the listener: an event that breaks a limit fails this test.
    shell = sim.run.simulation.shell
    shell.recorder.listener = oracle.hear
    asyncio.run(sim.go(2))
    server = sim.server
    person = itertools.count()
    minutes = itertools.count(121, 2)
    previews: list[str] = []

    @given(calls=st.lists(meant(), min_size=10, max_size=30), era=st.sampled_from(["auto", "legacy"]))
    # The engine keeps its state from call to call, so a failure cannot be shrunk by repeating it.
    @settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate], database=None)
    def call_anything(calls: list[tuple[str, dict[str, Any]]], era: str) -> None:
        # Quotas of a minute, which refused calls use up, are fresh for the calls of each example.
        asyncio.run(sim.run.go(next(minutes) * MINUTE))
        asyncio.run(shell.take(Command(f"c{next(person)}", Verb.RESUME, "a person")))
        asyncio.run(call_all(server, era, (placing(sim, each, previews) for each in calls), previews))
        halts = sum(tool == "risk_halt" for tool, _ in calls)
        assert halts or sim.run.engine.account.trading_state is TradingState.ACTIVE

    call_anything()
    assert sim.run.config.policies == sim.facade.policies
    intended = [event for _, event in sim.store.all_events() if isinstance(event, events.OrderIntended)]
    ours = Counter(event.intent.purpose for event in intended if event.intent.principal == "mcp:insider")
    # A run in which every call is refused at once would prove nothing.
    assert ours[Purpose.ENTRY] > 0, ours
    assert oracle.seen["CallerAsked"] > 40, oracle.seen
    assert oracle.seen["StateChanged"] > 2, oracle.seen
    sim.store.close()


def placing(sim: FacadeRun, call: tuple[str, dict[str, Any]], previews: list[str]) -> tuple[str, dict[str, Any]]:
    """Return a call with prices in quote currency; a placing call takes the newest preview."""
    tool, given_ = call
    symbol = given_.get("symbol")
    last = sim.facade.symbol(symbol).last if symbol in sim.facade.symbols else 1.0
    assert isinstance(last, float)
    for name, value in given_.items():
        if isinstance(value, str) and re.fullmatch(r"@[01]\.[0-9]+", value):
            given_ = given_ | {name: f"{float(value[1:]) * last:.1f}"}
    if tool == "orders_place" and previews:
        # Other calls soon use up the drawn keys, so that only some placing calls take one of these.
        fresh = {"key": previews[-1]} if str(given_.get("key")).isdigit() else {}
        given_ = given_ | {"preview_id": previews[-1]} | fresh
    return tool, given_


async def call_all(
    server: MCPServer[Any], era: str, calls: Iterable[tuple[str, dict[str, Any]]], previews: list[str]
) -> None:
    """Call the tools one after the other, and collect the previews that are still unplaced."""
    async with Client(server, mode=era) as client:
        await client.list_tools()
        for tool, given_ in calls:
            answered = await client.call_tool(tool, given_, meta=AS_PROGRAM)
            said = answered.content[0]
            assert said.type == "text"
            assert answered.is_error == (said.text.partition(":")[0] in CODES), (given_, said.text)
            row = answered.structured_content or {}
            if tool == "orders_preview" and row.get("preview_id"):
                previews.append(row["preview_id"])
            elif tool == "orders_place" and previews:
                previews.pop()
