"""Runs that Claude decides: the decider, the in-process MCP client and server, and an engine over a small market."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, ListToolsResult, RequestParamsMeta

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.app.compose import stamp
from ocw_mcp.app.policy_loader import load_prompts
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock, Feed
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.facade import Facade
from ocw_mcp.runtime.history import History
from ocw_mcp.runtime.trading import Trading
from tests.support.agent import calls, says
from tests.support.claude import MODEL
from tests.support.runs import Commands, Run, policies
from tests.support.stores import MemoryStore

WAKES = policies(
    gate={"close_wakes": ["1m"], "outlier_moves": {}, "cooldown_s": 0},
    budget={"usd_per_day": 1_000, "usd_per_month": 10_000},
)


class ModelByWake:
    """A model with a script of answers for each wake; without one it holds. It records the requests."""

    def __init__(self, script: dict[int, list[Reply | Trouble]] | None = None) -> None:
        self._script = script or {}
        self.requests: list[Request] = []

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the next answer to this wake."""
        self.requests.append(request)
        answers = self._script.get(request.wake, [])
        return answers[request.turn] if request.turn < len(answers) else says()


def leg(action: str, symbol: str = "BTCUSDT", **terms: Any) -> dict[str, Any]:
    """Return a leg as a model writes it."""
    entering = {"size": "0.1", "stop": "97"} if action == "BUY" else {}
    return {"symbol": symbol, "action": action, "thesis": "because", **entering, **terms}


def decides(wake: int, *legs: dict[str, Any], **more: Any) -> Reply:
    """Return a turn that submits a decision on a wake."""
    return calls(("decisions_submit", {"wake": wake, "legs": list(legs), **more}))


class ClaudeRun:
    """A run in one process in which Claude decides."""

    def __init__(
        self,
        feed: Feed,
        messages: Messages | Trouble,
        *,
        store: MemoryStore | None = None,
        policy: Policies = WAKES,
        clock: Clock | None = None,
        model: str = MODEL,
        strict: Policies | None = None,
        commands: Commands | None = None,
        venue: PaperVenue | None = None,
    ) -> None:
        clock = clock or SimulatedClock()
        prompts = Prompts(load_prompts(None).texts, policy)
        self.decider = ClaudeDecider(messages, prompts, policy, clock, model)
        self.run = Run(
            feed, self.decider, store=store, policy=policy, clock=clock, agent=self.decider.name, fallback=True,
            strict=strict, commands=commands, venue=venue,
        )  # fmt: skip
        self.intercept: Callable[..., Awaitable[CallToolResult]] | None = None
        """Called instead of the client, if set."""
        self._listed: ListToolsResult | None = None
        simulation = self.run.simulation
        self.facade = Facade(
            self.run.engine,
            clock,
            self.run.store,
            stamp(SimulatedFeed(1)),
            History(Path("nowhere")),
            "1.2.3",
            Trading(self.run.engine, simulation.shell.ask, clock),
            catching_up=lambda: simulation.catching_up,
        )

    async def go(self, for_ms: int | None = None) -> Run:
        """Run to the end of the market, or for so long."""
        server = build(lambda: self.facade, "1.2.3")
        server.name_in_process = self.decider.name
        async with Client(server) as self.client:
            self.decider.attach(EngineAccess(self, self.facade.thinking_spent_usd))
            return await self.run.go(for_ms)

    async def list_tools(self) -> ListToolsResult:
        """Return the tools of the client. The client copies its list at each call, and a run's tools never change."""
        if self._listed is None:
            self._listed = await self.client.list_tools()
        return self._listed

    async def call_tool(
        self, name: str, arguments: dict[str, Any] | None = None, *, meta: RequestParamsMeta | None = None
    ) -> CallToolResult:
        """Call a tool through the client, unless a test intercepts it."""
        return await (self.intercept or self.client.call_tool)(name, arguments, meta=meta)

    def events(self, kind: type) -> list[Any]:
        """Return the journal's events of one kind."""
        return self.run.events(kind)
