"""Decisions in progress: the request, the decider's output so far, and when the output takes effect.

A conversing decider reads the engine through tools, submits legs, receives the result of each leg, and may correct
refused legs. On a simulated clock the decider's output takes effect when its modelled thinking time is over. The clock
stands still until there is output, so that the decider reads the engine at the time of its request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from decimal import Decimal

from ocw_mcp.domain.asks import SubmitRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import DecisionFailed, DecisionReady, DecisionSubmitted
from ocw_mcp.engine.idempotency import Answer

NEVER = 1 << 62
"""A time (ms) that no clock reaches."""

DecisionOutput = DecisionReady | DecisionFailed | DecisionSubmitted
"""An event that a decider causes in the engine."""


Submission = tuple[SubmitRequest, "asyncio.Future[Answer | None]"]
"""A request with legs, and the future that receives the engine's answer to it."""


class PendingDecision:
    """One decision in progress: the request, when its output takes effect (ms), and the task that makes it.

    A decision that takes no time has no task: the shell requests it when it takes effect.
    """

    def __init__(self, request: DecisionRequest, due: int, task: "asyncio.Task[Decision] | None") -> None:
        self.request = request
        self.due = due
        self.task = task
        self.reported_usd: Decimal = ZERO
        """The part of the decision's cost (USD) that the engine has received."""
        self.output = asyncio.Event()
        """It is set while a submission or the answer waits for the engine."""
        self._submissions: deque[Submission] = deque()
        self.on_output: Callable[[PendingDecision], None] = lambda pending: None
        """It is called each time when a submission or the answer begins to wait."""
        if task is not None:
            task.add_done_callback(lambda _: self._came())

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """Submit legs, and return the engine's answer once they took effect; None if the wake was no longer open."""
        waiting: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._submissions.append((request, waiting))
        self._came()
        return await waiting

    async def next_submission(self) -> Submission | None:
        """Wait for the next submission and return it; None if the decider has finished: its task has the answer."""
        if self.task is None:
            return None
        await self.output.wait()
        if not self._submissions:
            return None
        submission = self._submissions.popleft()
        if not self._submissions and not self.task.done():
            self.output.clear()
        return submission

    def _came(self) -> None:
        self.output.set()
        self.on_output(self)

    def cancel(self) -> None:
        """Cancel the task, if there is one, and answer its waiting submissions with None: the wake has ended."""
        self.on_output = lambda pending: None
        while self._submissions:
            _, waiting = self._submissions.popleft()
            if not waiting.done():
                waiting.set_result(None)
        if self.task is not None:
            # The decider may fail while it is cancelled, which nothing depends on.
            self.task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self.task.cancel()

    @property
    def running(self) -> bool:
        """Whether there is a task that has not ended."""
        return self.task is not None and not self.task.done()

    async def ended(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the task, if there is one, for `timeout_s` of the event loop's time at most."""
        if self.task is not None:
            await asyncio.wait({self.task}, timeout=timeout_s)

    def on_end(self, react: Callable[[], None]) -> None:
        """Call `react` when the task has ended, or at once if there is none."""
        if self.task is not None and self.running:
            self.task.add_done_callback(lambda _: react())
        else:
            react()


class RecalledDecision(PendingDecision):
    """A decision that the journal has: its output comes again at the journaled times, without a call of the decider."""

    def __init__(
        self, request: DecisionRequest, script: list[tuple[int, DecisionOutput]], discarded_usd: Decimal
    ) -> None:
        super().__init__(request, script[0][0] if script else NEVER, None)
        self._script = deque(script)
        self.discarded_usd = discarded_usd
        """The cost (USD) of a discarded decision that the engine has not received."""

    def next(self) -> tuple[DecisionOutput, bool]:
        """Return the next output, and whether it was the last one."""
        _, output = self._script.popleft()
        self.due = self._script[0][0] if self._script else NEVER
        return output, not self._script
