"""The effects of the step under way, and the timers that are set."""

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import Ask, Cancel, ClearTimer, Effect, GiveUp, Keep, Record, Send, SetTimer, Timer


class EffectBuffer:
    """Collects effects in the order in which the shell carries them out."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self.now = -1
        """Engine time (ms) of the step under way."""
        self.timers: dict[Timer, int] = {}
        """The timers that are set, and when (ms) each is due."""

    def state(self) -> dict[Timer, int]:
        """Return the timers, which are all that must survive a restart."""
        return self.timers

    def restore(self, state: dict[Timer, int], /) -> None:
        """Restore a state that `state` returned."""
        self.timers = state

    def take(self) -> list[Effect]:
        """Return the effects since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def record(self, event: DomainEvent) -> None:
        """Journal an event."""
        self._effects.append(Record(event))

    def send(self, cleared: ClearedOrder) -> None:
        """Send an order to the venue; an entry is sent only after all earlier records are durable."""
        self._effects.append(Send(cleared))

    def cancel(self, ref: OrderRef) -> None:
        """Ask the venue to cancel an order."""
        self._effects.append(Cancel(ref))

    def ask(self, request: DecisionRequest) -> None:
        """Ask the decider for a decision."""
        self._effects.append(Ask(request))

    def give_up(self) -> None:
        """Stop waiting for the decider's answer."""
        self._effects.append(GiveUp())

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Keep the snapshot of a wake."""
        self._effects.append(Keep(wake_id, snapshot))

    def set_timer(self, timer: Timer, at: int) -> None:
        """Set a timer to a time (ms), or move it."""
        self.timers[timer] = at
        self._effects.append(SetTimer(timer, at))

    def clear_timer(self, timer: Timer) -> None:
        """Clear a timer, if it is set."""
        if self.timers.pop(timer, None) is not None:
            self._effects.append(ClearTimer(timer))
