"""Asks the decider for decisions, and passes its outputs to the engine.

One decision is in progress at a time. On a simulated clock its output takes effect when its modelled thinking time is
over, on a live clock when it arrives. A resumed run does not ask again for what its journal or its input log has.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from decimal import Decimal
from typing import TYPE_CHECKING

from ocw_mcp.domain import steps
from ocw_mcp.domain.asks import SubmitRequest
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import CannotDecideError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.protocols import Converses, Priced
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.runtime.clock import POLL_MS, loop_speed
from ocw_mcp.runtime.deciders import StrategyDecider
from ocw_mcp.runtime.inbox import DecisionCame
from ocw_mcp.runtime.recorder import assumed_end
from ocw_mcp.runtime.thinking import NEVER, DecisionOutput, PendingDecision, RecalledDecision, Submission
from ocw_mcp.runtime.validation import validated

if TYPE_CHECKING:
    from ocw_mcp.runtime.shell import Shell

LONGEST_CAUSE = 500
"""The number of characters to which a journaled cause is cut."""
END_WITHIN_S = 5.0
"""The real time (s) in which a cancelled decider has to end at the end of a run."""
GIVEN_UP = Cause(CauseKind.GIVEN_UP)


class Asking:
    """The decision in progress of one run."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self._priced = shell.decider if isinstance(shell.decider, Priced) else None
        self._converses = shell.decider if isinstance(shell.decider, Converses) else None
        self.pending: PendingDecision | None = None
        self._ending: PendingDecision | None = None
        """On a live clock, a cancelled decision whose decider has not ended yet: the next one is asked after it."""
        self.stop_clock_for: tuple[PendingDecision, int] | None = None
        """The decision for which the clock stands still after this step, and the modelled time (ms) of its output."""

    async def stop_clock(self) -> None:
        """Let the clock stand still until the decider has output, if the last step asked a decider that converses."""
        if self.stop_clock_for is not None:
            (pending, takes), self.stop_clock_for = self.stop_clock_for, None
            await self._wait_for_output(pending, takes)

    async def ask(self, request: DecisionRequest) -> None:
        """Ask the decider for a decision; a resumed run takes the one that the journal has."""
        if self.pending is not None:
            # The engine no longer waits for the last decision, and would discard its answer.
            await self._cancel(self.pending)
        if self._shell.repeating:
            self.pending = PendingDecision(request, NEVER, None)
            return
        if not self._shell.clock.simulated and self._shell.clock.now() >= request.deadline:
            # The run was down meanwhile. The timer of the deadline ends the decision.
            self.pending = PendingDecision(request, NEVER, None)
            return
        still_open = self._shell.engine.decisions.open_submission is not None
        if self._converses is not None and not self._shell.live and (self._shell.recorder.reading or still_open):
            script = self._shell.recorder.recall(request, self._shell.decider.name)
            if script is None and still_open:
                script = [(self._shell.clock.now(), self._assumed_end(request))]
            if script is not None:
                self.pending = RecalledDecision(request, script, self._shell.recorder.discarded_usd(request.wake_id))
                self.stop_clock_for = self.pending, 0
                return
        # On a live clock an answer takes effect when it arrives, at a time that is not known before.
        takes = self._shell.decider.thinking_ms(request) if self._shell.clock.simulated else None
        due = NEVER if takes is None else request.snapshot.at + takes
        if takes != 0:
            # The decider may read the store, which must have all events up to this request.
            self._shell.commit()
        task = None if takes == 0 else asyncio.ensure_future(self._decide(request))
        self.pending = PendingDecision(request, due, task)
        if not self._shell.clock.simulated:
            self.pending.on_output = lambda pending: self._shell.inbox.put(DecisionCame(pending))
        if self._converses is not None and takes:
            self.stop_clock_for = self.pending, takes

    async def answer(self) -> None:
        """Wait for the next output of the decision in progress, and pass it to the engine."""
        pending = self.pending
        assert pending is not None
        if isinstance(pending, RecalledDecision):
            output, last = pending.next()
            self._shell.next_due = self._shell.due()[0]
            await self._shell.take(output)
            if isinstance(output, steps.DecisionSubmitted):
                await self._wait_for_output(pending, 0)
            if last and self.pending is pending:
                self.pending = None
                if self._shell.engine.decisions.open_submission is not None:
                    await self._shell.take(self._assumed_end(pending.request))
        elif (submission := await pending.next_submission()) is not None:
            await self._take_submission(pending, submission)
        else:
            self.pending = None
            self._shell.next_due = self._shell.due()[0]
            await self._take_answer(pending)

    async def submit(self, request: SubmitRequest) -> Answer | None:
        """Submit legs of the decider. Return the engine's answer once they took effect; None if the wake has ended."""
        pending = self.pending
        if pending is not None and pending.request.wake_id == request.wake_id:
            return await pending.submit(request)
        waits = "no wake waits" if pending is None else f"wake {pending.request.wake_id}"
        return Refusal(RefusalCode.NO_WAKE, limit=waits, actual=f"wake {request.wake_id}")

    async def take_output(self, output: DecisionOutput) -> None:
        """Pass an output of the decider to the engine."""
        with self._shell.input(output):
            if self._shell.repeating and not isinstance(output, steps.DecisionSubmitted):
                self.pending = None
            await self._shell.take(output)

    async def ask_again(self) -> None:
        """After the logged inputs are repeated: ask for the decision that is still open, or end its submission."""
        self._shell.repeating, pending = False, self.pending
        if pending is None:
            return
        if self._shell.engine.decisions.open_submission is not None:
            self.pending = None
            await self.take_output(self._assumed_end(pending.request))
        elif self._shell.engine.decisions.open_request is not None:
            await self.ask(pending.request)

    async def give_up(self, now: int) -> None:
        """Cancel the decision in progress, and report its cost to the engine: it counts against the budget."""
        canceled, self.pending = self.pending, None
        if canceled is None:
            return
        await self._cancel(canceled)
        if self._shell.repeating:
            return

        def report() -> None:
            if not (cost := self._unreported_cost(canceled)):
                return
            wake_id, thinking_ms = canceled.request.wake_id, now - canceled.request.snapshot.at
            lost = steps.DecisionFailed(wake_id, self._shell.decider.name, thinking_ms, GIVEN_UP, cost)
            if self._shell.clock.simulated:
                self._shell.follow_ups.append(lost)
            else:
                # The cost is not known before, so a live book takes and logs it as an input of its own.
                self._shell.inbox.put(lost)

        canceled.on_end(report)

    async def close(self) -> None:
        """Cancel the decision in progress, if any. A resumed run requests it again if its wake is still open."""
        canceled, self.pending = self.pending, None
        if canceled is not None:
            await self._cancel(canceled)
        ending, self._ending = self._ending, None
        if ending is not None:
            await ending.ended(END_WITHIN_S * loop_speed())

    async def _cancel(self, decision: PendingDecision) -> None:
        """Cancel a decision. On a live clock the decider may end after the next inputs, such as prices."""
        decision.cancel()
        if self._shell.clock.simulated:
            await decision.ended()
        elif self._ending is None or not self._ending.running:
            self._ending = decision

    async def _decide(self, request: DecisionRequest) -> Decision:
        """Ask the decider once it has ended the decision before: it makes one at a time."""
        if self._ending is not None:
            await self._ending.ended()
        return await self._shell.decider.decide(request)

    async def _take_submission(self, pending: PendingDecision, submission: Submission) -> None:
        """Pass submitted legs to the engine and answer the decider, whose decision stays open for corrections."""
        thinking_ms = self._shell.clock.now() - pending.request.snapshot.at
        (request, waiting), cost = submission, self._unreported_cost(pending)
        pending.due = NEVER
        self._shell.next_due = self._shell.due()[0]
        await self.take_output(steps.DecisionSubmitted(request, thinking_ms, cost))
        self._shell.commit()
        if not waiting.done():
            waiting.set_result(self._shell.engine.answer(request))
        if self.pending is pending and self._converses is not None:
            left = self._shell.engine.decisions.open_submission
            takes = self._converses.correction_ms(pending.request) if left is not None and left.refused else 0
            await self._wait_for_output(pending, takes)

    async def _wait_for_output(self, pending: PendingDecision, takes: int) -> None:
        """Stop a simulated clock until the decider has output, and let the output take effect `takes` ms later.

        Commands and requests are taken meanwhile. A resumed run does not wait for a decision that the journal has.
        """
        if not self._shell.clock.simulated:
            return
        now = self._shell.clock.now()
        await self._shell.poll()
        if isinstance(pending, RecalledDecision):
            return
        output, stopping = map(asyncio.ensure_future, (pending.output.wait(), self._shell.stopping.wait()))
        try:
            while True:
                done, _ = await asyncio.wait({output, stopping}, timeout=POLL_MS / 1_000, return_when=FIRST_COMPLETED)
                if done:
                    break
                await self._shell.poll()
        finally:
            output.cancel()
            stopping.cancel()
        if self.pending is pending:
            pending.due = now + takes if pending.output.is_set() else NEVER
        self._shell.next_due = self._shell.due()[0]

    def _assumed_end(self, request: DecisionRequest) -> DecisionOutput:
        thinking_ms = self._shell.clock.now() - request.snapshot.at
        left = self._shell.engine.decisions.open_submission
        settled = left is not None and left.accepted and not left.refused
        return assumed_end(request.wake_id, self._shell.decider.name, thinking_ms, settled=settled)

    async def _take_answer(self, pending: PendingDecision) -> None:
        """Pass the end of a decision to the engine: its answer, or the cause of its failure."""
        wake_id, thinking_ms = pending.request.wake_id, self._shell.clock.now() - pending.request.snapshot.at
        result: Decision | Cause
        # A strategy may not decide the same again, so a resumed run takes its decisions from the journal.
        known = (
            self._shell.recorder.known_decision(wake_id) if isinstance(self._shell.decider, StrategyDecider) else None
        )
        try:
            if known is not None and known.cause is not None and known.cause.kind.failed:
                raise CannotDecideError(known.cause)
            answer = known or await (pending.task or self._shell.decider.decide(pending.request))
            result = known or validated(answer, self._shell.engine.config.symbols)
        except Exception as error:
            # No error of a decider may stop the engine: the wake becomes a HOLD with the error as its cause.
            known_cause = error.cause if isinstance(error, CannotDecideError) else None
            cause = known_cause or Cause(CauseKind.ERROR, f"{type(error).__name__}: {error}")
            result = Cause(cause.kind, cause.detail.encode(errors="replace").decode()[:LONGEST_CAUSE])
        name, cost = self._shell.decider.name, self._unreported_cost(pending)
        if isinstance(result, Cause):
            await self.take_output(steps.DecisionFailed(wake_id, name, thinking_ms, result, cost))
        else:
            await self.take_output(steps.DecisionReady(wake_id, name, thinking_ms, result, cost))

    def _unreported_cost(self, pending: PendingDecision) -> Decimal:
        """Return the cost (USD) of a decision that the engine has not received yet, and mark it as reported."""
        if self._priced is None:
            return ZERO
        if isinstance(pending, RecalledDecision):
            return pending.discarded_usd
        before, pending.reported_usd = pending.reported_usd, self._priced.cost_usd(pending.request.wake_id)
        return pending.reported_usd - before
