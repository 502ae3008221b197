"""Orders that need approval: asked in the client on paper, with `ocw approve` otherwise; both protocol versions."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestFormParams, ElicitRequestParams, ElicitResult

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.events import CallerAsked
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.interfaces.mcp import bridge, callers
from ocw_mcp.interfaces.mcp.bridge import Bridge
from tests.support.deciders import Scripted
from tests.support.facades import FacadeRun
from tests.support.runs import policies
from tests.support.served import served
from tests.support.trading import AS_PROGRAM

ERAS = ("auto", "legacy")
WATCHED = policies(gate={"close_wakes": ["4h"]}, approval={"above_notional": 500, "modes": [], "answer_s": 900})


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path / "desk", Scripted({}), policy=WATCHED)
    asyncio.run(found.go(1))
    yield found
    found.store.close()


class Person:
    """A person at a client."""

    def __init__(self, action: str = "accept", *, approve: bool = True) -> None:
        self.answer = ElicitResult(action=action, content={"approve": approve} if action == "accept" else None)
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        return self.answer


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


async def place(client: Client, sim: FacadeRun, key: str = "k1", size: str = "0.1") -> CallToolResult:
    last = sim.facade.symbol("BTCUSDT").last
    assert isinstance(last, float)
    wanted = {"symbol": "BTCUSDT", "action": "BUY", "size": size, "stop": f"{last * 0.97:.0f}"}
    previewed = await client.call_tool("orders_preview", wanted, meta=AS_PROGRAM)
    seen = previewed.structured_content
    assert seen is not None
    if seen["needs_approval"]:
        assert "would pass once a person approves it\n" in text(previewed)
        assert f"\nlargest without approval: {seen['largest']} (size 0.0" in text(previewed)
    assert seen["needs_approval"] is (size == "0.1")
    order = {"preview_id": seen["preview_id"], "key": key, "rationale": "a breakout"}
    return await client.call_tool("orders_place", order, meta=AS_PROGRAM)


@pytest.mark.parametrize("era", ERAS)
async def test_yes_in_the_approval_form_places_the_paper_order(sim: FacadeRun, era: str) -> None:
    person = Person()
    async with Client(sim.server, mode=era, elicitation_callback=person) as client:
        answer = await place(client, sim)
    assert not answer.is_error, text(answer)
    (order,) = sim.facade.orders()
    assert order.intent.approval == "in the client of mcp:insider"
    (asked,) = person.asked
    assert asked.startswith(f"Approve this paper order? BUY (buy) {order.intent.quantity} of BTCUSDT at about ")


@pytest.mark.parametrize("era", ERAS)
async def test_no_in_the_approval_form_rejects_the_order(sim: FacadeRun, era: str) -> None:
    person = Person(approve=False)
    async with Client(sim.server, mode=era, elicitation_callback=person) as client:
        answer = await place(client, sim)
    assert text(answer).startswith("NOT_APPROVED: ")
    assert answer.is_error
    assert len(person.asked) == 1
    assert sim.facade.orders() == []
    assert sim.run.engine.approvals.state().pending == {}


async def approve(sim: FacadeRun, name: str = "a1") -> None:
    command = Command(f"c-{name}", Verb.APPROVE, "ann", sim.run.simulation.cursor, name)
    await sim.run.simulation.shell.take(command)


@pytest.mark.parametrize(("era", "action"), [("auto", "decline"), ("legacy", "decline"), ("legacy", "cancel")])
async def test_declined_or_cancelled_approval_form_leaves_order_pending(sim: FacadeRun, era: str, action: str) -> None:
    person = Person(action)
    async with Client(sim.server, mode=era, elicitation_callback=person) as client:
        waits = await place(client, sim)
        assert waits.structured_content is not None
        assert (waits.structured_content["outcome"], waits.structured_content["approval"]) == (
            "approval_required",
            "a1",
        )
        assert sim.facade.orders() == []
        await approve(sim)
        (order,) = sim.facade.orders()
        assert order.intent.approval == "a1 by ann"
        assert len(person.asked) == 1
    assert sim.run.engine.approvals.state().pending == {}


class Silent(Person):
    """A client that shows the question to no one."""

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        await asyncio.Event().wait()
        raise AssertionError("never")


async def test_unanswered_approval_form_returns_the_pending_approval_in_time(
    sim: FacadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "ASK_S", 0.05)
    async with Client(sim.server, mode="legacy", elicitation_callback=Silent()) as client:
        waits = await place(client, sim)
    assert waits.structured_content is not None
    assert waits.structured_content["outcome"] == "approval_required"
    await approve(sim)
    assert len(sim.facade.orders()) == 1


async def test_client_that_never_answers_leaves_the_order_pending(sim: FacadeRun) -> None:
    """In the newer version the call ends with the question; a client that never calls again gives no answer."""
    async with Client(sim.server, elicitation_callback=Silent()) as client:
        calling = asyncio.ensure_future(place(client, sim))
        while not sim.run.engine.approvals.state().pending:
            await asyncio.sleep(0)  # noqa: TID251 - lets the call reach the question
        await approve(sim)
        assert len(sim.facade.orders()) == 1
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


@pytest.mark.parametrize("era", ERAS)
async def test_yes_in_the_form_after_ocw_approve_places_no_second_order(sim: FacadeRun, era: str) -> None:
    class Late(Person):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            await approve(sim)
            return await super().__call__(context, params)

    async with Client(sim.server, mode=era, elicitation_callback=Late()) as client:
        answer = await place(client, sim)
    assert answer.structured_content is not None
    (order,) = sim.facade.orders()
    assert answer.structured_content["order"] == str(order.ref)
    assert order.intent.approval == "a1 by ann"


@pytest.mark.parametrize("era", ERAS)
async def test_client_that_cannot_show_forms_leaves_the_order_pending(sim: FacadeRun, era: str) -> None:
    async with Client(sim.server, mode=era) as client:
        waits = await place(client, sim)
        assert not waits.is_error
        assert "approval_required: a1 waits until " in text(waits)
        assert waits.structured_content is not None
        assert (waits.structured_content["outcome"], waits.structured_content["approval"]) == (
            "approval_required",
            "a1",
        )
        assert sim.facade.orders() == []
        command = Command("c1", Verb.APPROVE, "ann", sim.run.simulation.cursor, "a1")
        await sim.run.simulation.shell.take(command)
        (order,) = sim.facade.orders()
        assert order.intent.approval == "a1 by ann"
        (asked,) = [event for _, event in sim.store.all_events() if isinstance(event, CallerAsked)]
        assert isinstance(asked.request, LegRequest)
        kept = asked.request.preview
        again = await client.call_tool(
            "orders_place", {"preview_id": kept, "key": "k1", "rationale": "well?"}, meta=AS_PROGRAM
        )
        assert again.structured_content is not None
        assert again.structured_content["order"] == str(order.ref)


@pytest.mark.parametrize("era", ERAS)
async def test_order_that_needs_no_approval_shows_no_form(sim: FacadeRun, era: str) -> None:
    person = Person()
    async with Client(sim.server, mode=era, elicitation_callback=person) as client:
        answer = await place(client, sim, size="0.02")
    assert not answer.is_error, text(answer)
    assert person.asked == []


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("content", [{}, None, {"approve": None}, {"approve": 1}, {"approve": "yes"}], ids=str)
async def test_form_answer_that_is_neither_yes_nor_no_is_an_error(sim: FacadeRun, era: str, content: Any) -> None:
    person = Person()
    person.answer = ElicitResult(action="accept", content=content)
    async with Client(sim.server, mode=era, elicitation_callback=person) as client:
        answer = await place(client, sim)
    assert answer.is_error
    assert text(answer).startswith(("BAD_ARGUMENTS: ", "NOT_APPROVED: ")), text(answer)
    assert sim.facade.orders() == []


async def test_order_that_needs_approval_since_its_preview_is_left_pending(
    sim: FacadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The market moves between the check of the order and its placing, and now a person has to approve it."""
    monkeypatch.setattr(sim.facade.trading, "needs_approval", lambda *_: False)
    person = Person()
    async with Client(sim.server, elicitation_callback=person) as client:
        answer = await place(client, sim)
    assert answer.structured_content is not None
    assert answer.structured_content["outcome"] == "approval_required"
    assert person.asked == []
    assert sim.facade.orders() == []


async def test_order_outside_paper_mode_is_left_pending_without_a_form(
    sim: FacadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = sim.facade.moment()
    monkeypatch.setattr(sim.facade, "moment", lambda: type(moment)(Mode.DEMO, *_rest(moment)))
    person = Person()
    async with Client(sim.server, elicitation_callback=person) as client:
        waits = await place(client, sim)
    assert waits.structured_content is not None
    assert waits.structured_content["outcome"] == "approval_required"
    assert person.asked == []


def _rest(moment: Any) -> tuple[Any, ...]:
    return tuple(getattr(moment, name) for name in moment.__struct_fields__[1:])


async def test_unanswered_form_of_the_stdio_server_leaves_order_pending(
    sim: FacadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "ASK_S", 0.05)
    async with served(sim.facade, tmp_path) as endpoint:

        async def attach(silent: Address | None = None) -> Address:
            return Address(endpoint.url, endpoint.trader, 1)

        async with Client(Bridge(attach, "1").server, mode="legacy", elicitation_callback=Silent()) as client:
            waits = await place(client, sim)
    assert waits.structured_content is not None
    assert waits.structured_content["outcome"] == "approval_required"
    assert list(sim.run.engine.approvals.state().pending) == ["a1"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("approve", [True, False])
async def test_approval_form_reaches_a_client_of_the_stdio_server(
    sim: FacadeRun, tmp_path: Path, era: str, approve: bool
) -> None:
    person = Person(approve=approve)
    async with served(sim.facade, tmp_path) as endpoint:

        async def attach(silent: Address | None = None) -> Address:
            return Address(endpoint.url, endpoint.trader, 1)

        async with Client(Bridge(attach, "1").server, mode=era, elicitation_callback=person) as client:
            answer = await place(client, sim)
    assert len(person.asked) == 1
    assert answer.is_error is not approve, text(answer)
    assert len(sim.facade.orders()) == approve
