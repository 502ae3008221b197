"""What the model is told at a wake: what stands at every wake once, in the cached prefix, and what is new each time."""

from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.core import strategy
from ocw_mcp.domain.policies import Policies, limits_in_force
from ocw_mcp.domain.snapshot import DecisionRequest, WakeKind
from ocw_mcp.render.event_text import leg_text
from ocw_mcp.render.snapshot_text import compact, standing


class Briefing:
    """The words for the model, under the policies in force."""

    def __init__(self, prompts: Prompts, policies: Policies, reader: str) -> None:
        """`reader` is the principal in whose name the model decides."""
        self._prompts = prompts
        self._reader = reader
        self._policies = policies
        self.system = f"{prompts.system}\n\nThe tables of a wake: {standing(limits_in_force(policies))}"
        """The same at every wake."""

    def context(self, request: DecisionRequest, memory: str = "") -> str:
        """What is new: the snapshot, why it woke, what the rules would do, and what is remembered of the like."""
        snapshot = request.snapshot
        legs = strategy.decide(snapshot, self._policies).legs
        would = "; ".join(leg_text(leg) for leg in legs) or "hold everything"
        kinds = {each.kind for wake in snapshot.wake for each in wake.reasons}
        review = kinds == {WakeKind.SCORE}
        seen = compact(snapshot, reader=self._reader, briefed=True)
        return self._prompts.context(request.wake_id, seen, would, memory=memory, review=review)
