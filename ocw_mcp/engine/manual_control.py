"""The operator's manual control: the agent is paused, or a symbol is taken over from it.

The guard protects every position all the same, and attached clients may ask for everything that the policies allow.
"""

import msgspec

from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Snapshot, SymbolViews
from ocw_mcp.domain.stateful import Stateful


class ManualControlState(msgspec.Struct):
    """The name of the operator who paused the agent, if one did, and of those who took over a symbol, by symbol."""

    paused_by: str = ""
    held: dict[str, str] = {}


class ManualControl(Stateful[ManualControlState]):
    """Keeps the symbols that the agent may not trade, and whether the agent is paused."""

    def __init__(self) -> None:
        super().__init__(ManualControlState())

    @property
    def paused(self) -> bool:
        """Whether the agent is paused, so that no wake is raised."""
        return bool(self._state.paused_by)

    def pause(self, by: str) -> None:
        """Raise no more wakes."""
        self._state.paused_by = by

    def take_over(self, symbol: str, by: str) -> None:
        """Take a symbol over from the agent."""
        self._state.held[symbol] = by

    def give_back(self, symbol: str) -> None:
        """Give a symbol back to the agent; without a symbol, give all of them back and end the pause."""
        if symbol:
            self._state.held.pop(symbol, None)
        else:
            self._state = ManualControlState()

    def objection(self, symbol: str) -> Refusal | None:
        """Return a refusal of the agent's legs on a symbol that the operator has taken over."""
        by = self._state.held.get(symbol)
        if by is None:
            return None
        return Refusal(RefusalCode.HELD_BY_PERSON, limit="the agent's symbols", actual=f"held by {by}")

    def leave_out(self, seen: Snapshot) -> Snapshot:
        """Return a snapshot for the agent, without the symbols that the operator has taken over."""
        held = self._state.held
        if not held:
            return seen
        return msgspec.structs.replace(
            seen,
            symbols=SymbolViews.of(view for name, view in seen.symbols.items() if name not in held),
            correlations=tuple(each for each in seen.correlations if not {each.first, each.second} & set(held)),
            wake=tuple(reason for reason in seen.wake if reason.symbol not in held),
        )
