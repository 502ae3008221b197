"""A decision under way: whoever thinks, what it has said so far, and when that takes effect.

Whoever converses looks at the desk with tools, submits legs, is told what came of each, and may correct some. What it
says on a simulated clock takes effect when its modelled time is over; until it has said something, the clock stands
still, so that it looks at the moment that it was asked about.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from ocw_mcp.domain.asks import SubmitRequest, submit_key
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DecisionCorrected, DecisionDiscarded, DecisionEnded, DecisionMade
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.protocols import StoredEvent
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady, DecisionSubmitted
from ocw_mcp.engine.idempotency import Answer

NEVER = 1 << 62
ELSEWHERE = (CauseKind.DEADLINE, CauseKind.PAUSED)
"""Causes that the engine itself gives: a resumed run comes to them again without the decider."""

Said = DecisionReady | DecisionFailed | DecisionSubmitted


class Submission(NamedTuple):
    """Legs that were submitted, and who waits for what comes of them."""

    request: SubmitRequest
    waiting: "asyncio.Future[Answer | None]"


class Thinking:
    """One decision: the request, when what was said takes effect (ms), and the task that makes it.

    An answer that takes no time is made when it takes effect, without a task.
    """

    def __init__(self, request: DecisionRequest, due: int, task: "asyncio.Task[Decision] | None") -> None:
        self.request = request
        self.due = due
        self.task = task
        self.told_usd: Decimal = ZERO
        """What of its cost the engine knows."""
        self._submissions: deque[Submission] = deque()
        self._speaks = asyncio.Event()
        if task is not None:
            task.add_done_callback(lambda _: self._speaks.set())

    @property
    def speaks(self) -> bool:
        """Whether it has said something that nobody has listened to."""
        return self._speaks.is_set()

    async def heard(self) -> None:
        """Wait until it says something."""
        await self._speaks.wait()

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """Say something, and wait for what comes of it; None where nobody listens any more."""
        submission = Submission(request, asyncio.get_running_loop().create_future())
        self._submissions.append(submission)
        self._speaks.set()
        return await submission.waiting

    async def submission(self) -> Submission | None:
        """What it submitted next; None where it is through, and its task has the answer."""
        if self.task is None:
            return None
        await self._speaks.wait()
        if not self._submissions:
            return None
        submission = self._submissions.popleft()
        if not self._submissions and not self.task.done():
            self._speaks.clear()
        return submission

    async def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class Recalled(Thinking):
    """A decision that the journal knows: what was said of it is said again at its time, and nobody is asked."""

    def __init__(self, request: DecisionRequest, script: list[tuple[int, Said]], given_up_usd: Decimal) -> None:
        super().__init__(request, script[0][0] if script else NEVER, None)
        self._script = deque(script)
        self.given_up_usd = given_up_usd
        """What it will have cost beyond what the engine was told, where it is given up."""

    def next(self) -> tuple[Said, bool]:
        """What is said next, and whether that was all."""
        _, said = self._script.popleft()
        self.due = self._script[0][0] if self._script else NEVER
        return said, not self._script


def recall(known: Iterable[StoredEvent], request: DecisionRequest, decider: str) -> list[tuple[int, Said]] | None:
    """What the journal has of a decision, with its times (ms); None where it has nothing."""
    wake_id = request.wake_id
    script: list[tuple[int, Said]] = []
    found = False
    for at, event in ((each.at, each.event) for each in known):
        match event:
            case DecisionMade(wake_id=of) if of == wake_id:
                said = _made(event, decider)
                # After a decision that came to nothing, the rules are the engine's own doing.
                if said is not None and not script:
                    script.append((at, said))
            case DecisionCorrected(wake_id=of) if of == wake_id:
                asked = _submitted(wake_id, decider, event.decision, tainted=event.tainted)
                script.append((at, DecisionSubmitted(asked, event.thinking_ms, event.cost_usd)))
            case DecisionEnded(wake_id=of, cause=cause, cost_usd=cost) if of == wake_id:
                if cause is not None and cause.kind in ELSEWHERE:
                    # Until that comes, it keeps the floor and says nothing.
                    return [*script, (NEVER, unheard_end(wake_id, decider, 0, settled=True))]
                # The rules, which follow where nothing was done of it, tell how long it took.
                thought = at - request.snapshot.at
                ended = (
                    DecisionFailed(wake_id, decider, thought, cause, cost)
                    if cause is not None
                    else DecisionReady(wake_id, decider, thought, Decision(), cost)
                )
                return [*script, (at, ended)]
            case _:
                continue
        found = True
    return script if found else None


def given_up_usd(known: Iterable[StoredEvent], wake_id: int) -> Decimal:
    """What the journal has of the cost of thinking that was given up."""
    events = (each.event for each in known)
    lost = (event for event in events if isinstance(event, DecisionDiscarded) and event.wake_id == wake_id)
    return sum((event.cost_usd for event in lost), ZERO)


def unheard_end(wake_id: int, decider: str, thinking_ms: int, *, settled: bool) -> Said:
    """What stands for the end of a decision that the journal has not. What was submitted stands in either case.

    Where it was `settled` there was nothing left to say. Otherwise the process died before something was corrected.
    """
    if settled:
        return DecisionReady(wake_id, decider, thinking_ms, Decision())
    return DecisionFailed(
        wake_id, decider, thinking_ms, Cause(CauseKind.ERROR, "the process ended before it was through")
    )


def _made(event: DecisionMade, decider: str) -> Said | None:
    wake_id, thought, cost = event.wake_id, event.thinking_ms, event.cost_usd
    cause = event.decision.cause
    if cause is not None and cause.kind in ELSEWHERE:
        return None
    if (failure := event.in_its_place) is not None:
        return DecisionFailed(wake_id, decider, thought, failure, cost)
    if cause is not None:
        return DecisionReady(wake_id, decider, thought, event.decision, cost)
    asked = _submitted(wake_id, decider, event.decision, tainted=event.tainted)
    return DecisionSubmitted(asked, thought, cost)


def _submitted(wake_id: int, decider: str, decision: Decision, *, tainted: bool) -> SubmitRequest:
    return SubmitRequest(submit_key(wake_id, decision), decider, wake_id, decision, tainted)
