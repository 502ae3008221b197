"""Whose hands the book is in: the agent's, unless a person has paused it, or taken a symbol over.

The guard looks after every position all the same, and whoever is attached may ask for what the policies allow.
"""

import msgspec

from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Snapshot, SymbolViews


class ManualControlState(msgspec.Struct):
    """Who paused the agent, if anybody, and who holds which symbol."""

    paused_by: str = ""
    held: dict[str, str] = {}


class ManualControl:
    """What the agent has to leave alone."""

    def __init__(self) -> None:
        self.state = ManualControlState()

    @property
    def paused(self) -> bool:
        """Whether nobody is woken."""
        return bool(self.state.paused_by)

    def pause(self, by: str) -> None:
        """Wake the agent no more."""
        self.state.paused_by = by

    def take_over(self, symbol: str, by: str) -> None:
        """Take a symbol out of the agent's hands."""
        self.state.held[symbol] = by

    def give_back(self, symbol: str) -> None:
        """Give the agent a symbol back; without one, all of them, and let it go on."""
        if symbol:
            self.state.held.pop(symbol, None)
        else:
            self.state = ManualControlState()

    def objection(self, symbol: str) -> Refusal | None:
        """What speaks against a leg of the agent's."""
        by = self.state.held.get(symbol)
        if by is None:
            return None
        return Refusal(RefusalCode.HELD_BY_PERSON, limit="the agent's symbols", actual=f"held by {by}")

    def leave_out(self, seen: Snapshot) -> Snapshot:
        """What the agent is shown: nothing of a symbol that a person holds."""
        held = self.state.held
        if not held:
            return seen
        return msgspec.structs.replace(
            seen,
            symbols=SymbolViews.of(view for name, view in seen.symbols.items() if name not in held),
            correlations=tuple(each for each in seen.correlations if not {each.first, each.second} & set(held)),
            wake=tuple(reason for reason in seen.wake if reason.symbol not in held),
        )
