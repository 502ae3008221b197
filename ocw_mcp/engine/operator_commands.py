"""Commands of the operator: halt, flatten, resume; approve or deny an order; pause the agent, take over a symbol."""

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.events import CommandTaken, Incident
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN, Command, Verb
from ocw_mcp.engine.decisions import DecisionCycle
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.leg_executor import LegExecutor, ManualControl

COMMANDS_KEPT = 256


class OperatorCommands(Stateful[list[str]]):
    """Executes the operator's commands, each once, although a command's file may stay. Its state is the latest ids."""

    def __init__(self, guard: Guard, executor: LegExecutor, decisions: DecisionCycle) -> None:
        super().__init__([])
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._guard = guard
        self._executor = executor
        self._decisions = decisions

    def take(self, command: Command, now: int) -> None:
        """Take a command, unless it was taken before."""
        if command.command_id in self._state:
            return
        self._state = [*self._state[1 - COMMANDS_KEPT :], command.command_id]
        by, subject, manual_control = command.by, command.subject, self._executor.manual_control
        self._effects.record(CommandTaken(command.command_id, command.verb, by, command.after_frame, subject))
        match command.verb:
            case Verb.HALT:
                self.halt(by)
            case Verb.FLATTEN:
                self.halt(by)
                self._guard.flatten(by, now)
            case Verb.RESUME:
                self._resume(by, subject, now)
            case Verb.APPROVE:
                self._executor.approvals.grant(subject, by, now)
            case Verb.DENY:
                self._executor.approvals.refuse(subject, "denied", by)
            case Verb.PAUSE:
                manual_control.paused_by = by
                self._decisions.break_off(Cause(CauseKind.PAUSED, f"by {by}"), now)
                self._executor.withdraw(by)
            case Verb.GO_ON if subject:
                manual_control.held.pop(subject, None)
            case Verb.GO_ON:
                self._executor.restore(ManualControl())
            case Verb.TAKE_OVER:
                manual_control.held[subject] = by
                self._executor.withdraw(by, subject)

    def _resume(self, by: str, subject: str, now: int) -> None:
        fall = self._account.fall()
        if subject == WITHIN_DRAWDOWN and fall.beyond and self._account.trading_state is not TradingState.ACTIVE:
            self._effects.record(Incident(f"the resume by {by} was not taken: {fall}; confirm that, and resume again"))
            return
        self._guard.resume(now)
        self._account.resume(by)

    def halt(self, by: str, why: str = "") -> None:
        """Take no new risk from now on: live entries are cancelled, and pending orders refused."""
        self._account.halt(by, why)
        self._manager.cancel_entries("halted")
        self._executor.approvals.cancel_all("halted", by)
