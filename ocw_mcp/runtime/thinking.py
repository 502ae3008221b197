"""Decisions in progress: the request, the decider's output so far, and when the output takes effect.

A conversing decider reads the engine through tools, submits legs, receives the result of each leg, and may correct
refused legs. On a simulated clock its output takes effect when its modelled time is over. Until it has output, the
clock stands still, so that the decider reads the engine at the time of its request.
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
"""A time (ms) that no clock reaches."""
ENGINE_CAUSES = (CauseKind.DEADLINE, CauseKind.PAUSED)
"""Causes that the engine sets itself. A resumed run sets them again without the decider."""

DecisionOutput = DecisionReady | DecisionFailed | DecisionSubmitted
"""An event that a decider causes in the engine."""


class Submission(NamedTuple):
    """A request with legs, and the future that receives the engine's answer to it."""

    request: SubmitRequest
    waiting: "asyncio.Future[Answer | None]"


class PendingDecision:
    """One decision in progress: the request, when its output takes effect (ms), and the task that makes it.

    A decision that takes no time has no task: the shell makes it when it takes effect.
    """

    def __init__(self, request: DecisionRequest, due: int, task: "asyncio.Task[Decision] | None") -> None:
        self.request = request
        self.due = due
        self.task = task
        self.reported_usd: Decimal = ZERO
        """The part of its cost that the engine has received."""
        self._submissions: deque[Submission] = deque()
        self._output = asyncio.Event()
        if task is not None:
            task.add_done_callback(lambda _: self._output.set())

    @property
    def has_output(self) -> bool:
        """Return whether a submission or the answer waits for the engine."""
        return self._output.is_set()

    async def wait_for_output(self) -> None:
        """Wait until a submission or the answer is there."""
        await self._output.wait()

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """Submit legs, and return the engine's answer once they took effect; None if the wake was no longer open."""
        submission = Submission(request, asyncio.get_running_loop().create_future())
        self._submissions.append(submission)
        self._output.set()
        return await submission.waiting

    async def next_submission(self) -> Submission | None:
        """Wait for the next submission and return it; None if the decider has finished: its task has the answer."""
        if self.task is None:
            return None
        await self._output.wait()
        if not self._submissions:
            return None
        submission = self._submissions.popleft()
        if not self._submissions and not self.task.done():
            self._output.clear()
        return submission

    async def cancel(self) -> None:
        """Cancel the task, if there is one, and wait for its end."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class RecalledDecision(PendingDecision):
    """A decision that the journal has: its output comes again at the journaled times, without a call of the decider."""

    def __init__(
        self, request: DecisionRequest, script: list[tuple[int, DecisionOutput]], discarded_usd: Decimal
    ) -> None:
        super().__init__(request, script[0][0] if script else NEVER, None)
        self._script = deque(script)
        self.discarded_usd = discarded_usd
        """Its further cost if it is discarded, beyond the cost that the engine has received."""

    def next(self) -> tuple[DecisionOutput, bool]:
        """Return the next output, and whether it was the last one."""
        _, output = self._script.popleft()
        self.due = self._script[0][0] if self._script else NEVER
        return output, not self._script


def recall(
    known: Iterable[StoredEvent], request: DecisionRequest, decider: str
) -> list[tuple[int, DecisionOutput]] | None:
    """Return the journaled output of a decision, each with its time (ms); None if the journal has none."""
    wake_id = request.wake_id
    script: list[tuple[int, DecisionOutput]] = []
    found = False
    for at, event in ((each.at, each.event) for each in known):
        match event:
            case DecisionMade(wake_id=of) if of == wake_id:
                output = _made(event, decider)
                # A further DecisionMade is the engine's own: the decision of the rules after a failed one.
                if output is not None and not script:
                    script.append((at, output))
            case DecisionCorrected(wake_id=of) if of == wake_id:
                corrected = _submitted(wake_id, decider, event.decision, tainted=event.tainted)
                script.append((at, DecisionSubmitted(corrected, event.thinking_ms, event.cost_usd)))
            case DecisionEnded(wake_id=of, cause=cause, cost_usd=cost) if of == wake_id:
                if cause is not None and cause.kind in ENGINE_CAUSES:
                    # Until the engine sets this cause again, the decision stays open and has no output.
                    return [*script, (NEVER, assumed_end(wake_id, decider, 0, settled=True))]
                # If no leg was executed, the decision of the rules follows and needs the thinking time.
                thinking_ms = at - request.snapshot.at
                ended = (
                    DecisionFailed(wake_id, decider, thinking_ms, cause, cost)
                    if cause is not None
                    else DecisionReady(wake_id, decider, thinking_ms, Decision(), cost)
                )
                return [*script, (at, ended)]
            case _:
                continue
        found = True
    return script if found else None


def discarded_usd(known: Iterable[StoredEvent], wake_id: int) -> Decimal:
    """Return the journaled cost (USD) of the discarded decisions on a wake."""
    events = (each.event for each in known)
    lost = (event for event in events if isinstance(event, DecisionDiscarded) and event.wake_id == wake_id)
    return sum((event.cost_usd for event in lost), ZERO)


def assumed_end(wake_id: int, decider: str, thinking_ms: int, *, settled: bool) -> DecisionOutput:
    """Return the end of a decision whose end is missing in the journal. Its submitted legs stand in either case.

    A `settled` decision had nothing left to correct, and ends as ready. Any other one failed: the process ended
    before the decider corrected its refused legs.
    """
    if settled:
        return DecisionReady(wake_id, decider, thinking_ms, Decision())
    return DecisionFailed(
        wake_id, decider, thinking_ms, Cause(CauseKind.ERROR, "the process ended before it was through")
    )


def _made(event: DecisionMade, decider: str) -> DecisionOutput | None:
    wake_id, thinking_ms, cost = event.wake_id, event.thinking_ms, event.cost_usd
    cause = event.decision.cause
    if cause is not None and cause.kind in ENGINE_CAUSES:
        return None
    if (failure := event.in_its_place) is not None:
        return DecisionFailed(wake_id, decider, thinking_ms, failure, cost)
    if cause is not None:
        return DecisionReady(wake_id, decider, thinking_ms, event.decision, cost)
    return DecisionSubmitted(_submitted(wake_id, decider, event.decision, tainted=event.tainted), thinking_ms, cost)


def _submitted(wake_id: int, decider: str, decision: Decision, *, tainted: bool) -> SubmitRequest:
    return SubmitRequest(submit_key(wake_id, decision), decider, wake_id, decision, tainted)
