"""Commands of the operator: halt, flatten, resume; approve or deny an order; pause the agent, take over a symbol."""

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.events import CommandTaken, Incident
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import WITHIN_DRAWDOWN, Command, Verb
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.decisions import DecisionCycle
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.leg_executor import LegExecutor
from ocw_mcp.engine.manual_control import ManualControl
from ocw_mcp.engine.order_manager import OrderManager

COMMANDS_KEPT = 256


class OperatorCommands:
    """Executes the operator's commands, each once."""

    def __init__(
        self,
        manager: OrderManager,
        guard: Guard,
        account: Account,
        executor: LegExecutor,
        decisions: DecisionCycle,
        manual_control: ManualControl,
        effects: EffectBuffer,
    ) -> None:
        self._manager = manager
        self._guard = guard
        self._account = account
        self._executor = executor
        self._decisions = decisions
        self._manual_control = manual_control
        self._effects = effects
        self._taken: list[str] = []
        """The ids of the latest commands: the file of a command may still be there after it was taken."""

    def state(self) -> list[str]:
        """Return the ids of the latest commands."""
        return self._taken

    def restore(self, state: list[str], /) -> None:
        """Restore a state that `state` returned."""
        self._taken = state

    def take(self, command: Command, now: int) -> None:
        """Take a command, unless it was taken before."""
        if command.command_id in self._taken:
            return
        self._taken = [*self._taken[1 - COMMANDS_KEPT :], command.command_id]
        by, subject = command.by, command.subject
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
                self._executor.approvals.deny(subject, by)
            case Verb.PAUSE:
                self._manual_control.pause(by)
                self._decisions.break_off(Cause(CauseKind.PAUSED, f"by {by}"), now)
                self._executor.withdraw(by)
            case Verb.GO_ON:
                self._manual_control.give_back(subject)
            case Verb.TAKE_OVER:
                self._manual_control.take_over(subject, by)
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
