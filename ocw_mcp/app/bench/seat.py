"""Asks a model about the situations of `situations/`, and grades its answers.

Each situation is a run of the whole engine with Claude's decider. A script answers the wakes before the one under test.
The model sees the request that it would get in `ocw run --agent claude`, and its decision is carried out on paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec
from mcp import Client

from ocw_mcp import __version__
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.agent.client import ModelFacts
from ocw_mcp.agent.conversation import MAY_BE_BILLED
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess
from ocw_mcp.agent.messages import Messages, Reply, Request, Trouble, without_cache_control
from ocw_mcp.agent.pricing import TokenUsage, cost, priced, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.bench.situations import BEGIN, Outcome, Situation, SituationFeed, Step, clock, grade, request_of
from ocw_mcp.app.claude import MODEL, ungrouped
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts
from ocw_mcp.app.serve import facade_of
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.events import DecisionCorrected, DecisionMade
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import ATTACHED, CLAUDE, Purpose, Rejected, RejectReason
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock, SimulatedVenue
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.steps import Asked, Command
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.render.event_text import leg_text
from ocw_mcp.runtime.thinking import NEVER

NOT_RUN: Final = "not run"
OPERATOR: Final = "anna"
_STOPS: Final = frozenset(
    {CauseKind.BUDGET, CauseKind.BAD_KEY, CauseKind.NO_CREDIT, CauseKind.NO_MODEL, CauseKind.UNREACHABLE}
)
"""Causes after which no further situation is run."""
_GATE: Final = {"close_wakes": ("4h",), "timer_max_s": 7_200, "cooldown_s": 120}
"""The situations are built around wakes at the closes of 4h candles."""
_BUDGET: Final = {"usd_per_day": 1_000, "usd_per_month": 1_000}
HOLD: Final = Reply("end_turn", ({"type": "text", "text": "Nothing to do."},), TokenUsage())


class Played(msgspec.Struct, frozen=True):
    """A played situation: the request at the wake under test, and the answer's outcome."""

    body: dict[str, Any]
    snapshot: Snapshot
    legs: tuple[Leg, ...]
    """The legs that the engine carried out."""
    refused: tuple[tuple[Leg, Refusal], ...]
    outcome: Outcome
    why: str
    cause: Cause | None
    """Why there is no answer, if the model failed to give one."""
    calls: int

    @property
    def system(self) -> str:
        """The system prompt."""
        return "".join(block["text"] for block in self.body["system"])

    @property
    def context(self) -> str:
        """The context of the wake."""
        return "".join(block["text"] for block in self.body["messages"][0]["content"])


class Script:
    """Answers the wakes before the one under test as the situation says, and has `subject` answer that one."""

    def __init__(self, situation: Situation, subject: Messages) -> None:
        self._steps = sorted((each for each in situation.then if each.decide), key=lambda each: clock(each.at))
        self._from, self._subject = clock(situation.wake), subject
        self._step: tuple[int, Step | None] = (0, None)
        self.tested = 0
        """The number of the wake under test; 0 before it."""
        self.body: dict[str, Any] = {}
        self.snapshot: Snapshot | None = None
        self.book: WiredRun | None = None

    async def create(self, request: Request) -> Reply | Trouble:
        """Answer a request."""
        assert self.book is not None
        asked = self.book.engine.decisions.open_request
        if not self.tested and asked is not None and asked.snapshot.at >= self._from:
            self.tested, self.snapshot = request.wake, asked.snapshot
            self.body = msgspec.json.decode(msgspec.json.encode(request.body))
        if request.wake == self.tested:
            return await self._subject.create(request)
        if asked is not None and request.turn == 0:
            due = bool(self._steps) and clock(self._steps[0].at) <= asked.snapshot.at
            self._step = request.wake, self._steps.pop(0) if due else None
        wake, step = self._step
        answers = () if step is None or wake != request.wake else (step.decide, step.correct)
        given = answers[request.turn] if request.turn < len(answers) else {}
        return submits(request, given) if given else HOLD

    @property
    def unused(self) -> list[str]:
        """The times of the decisions that no wake asked for."""
        return [each.at for each in self._steps]


class Sample:
    """A subject that gives one answer written by hand."""

    def __init__(self, legs: Sequence[dict[str, Any]] = ()) -> None:
        self._legs = legs

    async def create(self, request: Request) -> Reply | Trouble:
        """Submit the legs, and correct nothing; without legs, hold."""
        if self._legs and request.turn == 0:
            return submits(request, {"legs": list(self._legs)})
        return HOLD


def submits(request: Request, arguments: dict[str, Any]) -> Reply:
    """Return a turn that submits a decision."""
    call = {"type": "tool_use", "id": "t", "name": SUBMIT, "input": {"legs": [], **arguments, "wake": request.wake}}
    return Reply("tool_use", (call,), TokenUsage())


class FaultyVenue:
    """The paper venue, which refuses stops while `refuses` is set."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue
        self.refuses = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Refuse a stop as an exchange with an internal error does, or pass the order on."""
        if self.refuses and cleared.order.ref.leg is Purpose.STOP:
            self.say(Rejected(cleared.order.ref, RejectReason.OTHER, "internal error; unable to process the request"))
        else:
            await self._venue.submit(cleared, now)


async def play(situation: Situation, subject: Messages, model: str = MODEL) -> Played:
    """Play a situation up to its wake, have the subject answer, and return the outcome.

    Raises SettingsError if the situation never comes to its wake.
    """
    script, policies = Script(situation, subject), _policies(situation)
    prompts = load_prompts(None)
    texts = Prompts(prompts.texts, policies.policies)

    async def act(step: Step) -> None:
        assert script.book is not None
        shell, cursor = script.book.run.shell, script.book.run.cursor
        if step.venue:
            venue.refuses = step.venue == "refuses stops"
        elif step.command:
            await shell.take_from_outside(Command(step.at, step.command, OPERATOR, cursor, step.subject))
        else:
            await shell.take_from_outside(Asked(request_of(step), cursor))
        shell.commit()

    def decider(clock: Clock) -> ClaudeDecider:
        return ClaudeDecider(script, texts, policies.policies, clock, model)

    feed = SituationFeed(situation, act, lambda: bool(script.tested))
    first = (ATTACHED, None) if situation.attached_until else (CLAUDE, decider)
    with open_book(feed, policies, *first) as (book, directory):
        script.book = book
        if situation.attached_until:
            feed.until = clock(situation.attached_until)
            await book.run.run(__version__)
            feed.until = NEVER
            book = WiredRun(feed, CLAUDE, policies, prompts, book.store, book.run.commands, make_decider=decider)
            script.book = book
        assert isinstance(book.venue, PaperVenue)
        venue = FaultyVenue(book.venue)
        book.run.shell.simulated = venue
        facade = facade_of(book, directory)
        server = build(lambda: facade, __version__)
        server.name_in_process = CLAUDE
        async with ungrouped(), Client(server) as client:
            assert isinstance(book.decider, ClaudeDecider)
            book.decider.attach(EngineAccess(client, facade.thinking_spent_usd))
            await book.run.run(__version__)
        if script.snapshot is None or script.unused:
            missed = f"the decisions of {', '.join(script.unused)} were" if script.unused else "the wake under test was"
            raise SettingsError(f"{situation.name}: {missed} never asked for; choose other times, or a longer path")
        return _played(situation, script, book)


def _played(situation: Situation, script: Script, book: WiredRun) -> Played:
    made = [each for _, each in book.store.all_events() if isinstance(each, DecisionMade | DecisionCorrected)]
    tested = [each for each in made if each.wake_id == script.tested]
    own = [each for each in tested if each.decider == CLAUDE]
    answers = book.engine.executor.answers
    legs: list[Leg] = []
    refused: dict[str, tuple[Leg, Refusal]] = {}
    for turn, each in zip(("", "again"), own, strict=False):
        for index, leg in enumerate(each.decision.legs):
            refused.pop(leg.symbol, None)
            answer = answers.get(DecisionKey(script.tested, turn).leg(index))  # type: ignore[arg-type]
            if isinstance(answer, Refusal):
                refused[leg.symbol] = (leg, answer)
            else:
                legs.append(leg)
    decider = book.decider
    assert isinstance(decider, ClaudeDecider)
    cause = tested[0].decision.cause if tested else None
    unanswered = cause is not None and (not own or cause.kind is CauseKind.UNSENT)
    outcome: Outcome = "no answer" if unanswered else grade(situation, legs, [leg for leg, _ in refused.values()])
    shown = [*map(leg_text, legs), *(f"{leg_text(leg)}: {answer}" for leg, answer in refused.values())]
    why = str(cause) if unanswered else "; ".join(shown) or "HOLD"
    assert script.snapshot is not None
    refusals, calls = tuple(refused.values()), decider.outcomes[-1].calls
    cause = cause if unanswered else None
    return Played(script.body, script.snapshot, tuple(legs), refusals, outcome, why, cause, calls)


class Row(msgspec.Struct, frozen=True):
    """One situation of a table, with the outcome of a model's answer."""

    name: str
    title: str
    outcome: str = NOT_RUN
    answer: str = ""
    usd: float = 0.0
    calls: int = 0


class Table(msgspec.Struct, frozen=True):
    """The outcomes of a model. Those of the sandbox, which is no model, are all `sandbox`."""

    model: str
    rows: tuple[Row, ...]
    remark: str = ""
    """Why some rows have no outcome; empty if all have one."""


class ModelApi(Messages, Protocol):
    """The Messages API, or a gateway, that also describes its models."""

    async def retrieve_model(self, name: str) -> ModelFacts | Trouble:
        """Return the description of a model."""


class Budgeted:
    """An API that is called only while the worst case of the next call fits into a budget (USD)."""

    def __init__(self, api: Messages, model: str, usd: Decimal) -> None:
        self._api, self._model, self._usd = api, model, usd
        self.spent = ZERO

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the reply, or a `Trouble` if the call might cost too much."""
        size = len(msgspec.json.encode(without_cache_control(request.body)))
        worst = worst_cost(size, request.body["max_tokens"], self._model, BEGIN)
        if self.spent + worst > self._usd:
            left = plain(round(self._usd - self.spent, 4))
            detail = f"it costs {plain(round(worst, 4))} USD at most, and {left} USD of --usd is left"
            return Trouble(CauseKind.BUDGET, detail)
        reply = await self._api.create(request)
        if isinstance(reply, Reply):
            self.spent += cost(reply.usage, self._model, BEGIN)
        elif reply.may_be_billed or reply.kind in MAY_BE_BILLED:
            self.spent += worst
        return reply


async def ask(
    situations: Sequence[Situation],
    api: ModelApi | Trouble,
    model: str,
    usd: Decimal,
    progress: Callable[[str], None] = lambda name: None,
) -> Table:
    """Ask a model about situations for at most `usd` in all. Raises SettingsError for a model without a known price."""
    rows = {each.name: Row(each.name, each.title) for each in situations}
    if isinstance(api, Trouble):
        return Table(model, tuple(rows.values()), str(api))
    if not priced(model, BEGIN):
        raise SettingsError(
            f"the price of {model} is not known, so no budget can be kept; expected a model that genai-prices has, "
            f"such as {MODEL}; choose it with --model"
        )
    facts = await api.retrieve_model(model)
    sandbox, budgeted = not isinstance(facts, Trouble) and facts.sandbox, Budgeted(api, model, usd)
    remark = "the sandbox answered, which is no model" if sandbox else ""
    for each in situations:
        progress(each.name)
        before = budgeted.spent
        played = await play(each, budgeted, model)
        if played.cause is not None and played.cause.kind in _STOPS:
            remark = f"stopped: {played.cause}"
            break
        outcome, spent = "sandbox" if sandbox else played.outcome, float(budgeted.spent - before)
        rows[each.name] = Row(each.name, each.title, outcome, played.why, spent, played.calls)
    return Table(model, tuple(rows.values()), remark)


def _policies(situation: Situation) -> LoadedPolicies:
    """Return the default policies with the changes of a situation, more wakes, and a budget that no answer reaches."""
    default = load_policies(None)
    data = default.policies.model_dump()
    for table, changes in {"gate": _GATE, **situation.policies, "budget": _BUDGET}.items():
        data[table] = {**(data[table] or {}), **changes}
    return replace(default, policies=Policies.model_validate(data))
