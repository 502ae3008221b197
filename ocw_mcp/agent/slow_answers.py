"""Tells whoever watches that an answer of the model takes its time: the clock of a simulation stands still for it."""

import asyncio
from collections.abc import Callable
from typing import Final

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.agent.memory.writing import asked_for
from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.domain.protocols import Clock

NOTICEABLE_S: Final = 5.0
"""Wall time that an answer takes without a word about it; most take less."""

TellOfWait = Callable[[int, str, float], None]
"""Hears since when (ms) which answer is waited for, and how long (s, wall time) at most."""


class SlowAnswerNotice:
    """Asks somebody else, and tells once of each answer that does not come soon."""

    def __init__(
        self,
        messages: Messages,
        clock: Clock,
        wake_s: float,
        entry_s: float,
        tell: TellOfWait,
        noticeable_s: float = NOTICEABLE_S,
    ) -> None:
        """`wake_s` and `entry_s` are how long a wake and an entry of the diary are waited for at most."""
        self._messages = messages
        self._clock = clock
        self._longest_s = (wake_s, entry_s)
        self._tell = tell
        self._noticeable_s = noticeable_s

    async def create(self, request: Request) -> Reply | Trouble:
        """One call."""
        longest = self._longest_s[request.wake < 0]
        what = asked_for(request.wake)
        slow = asyncio.get_running_loop().call_later(
            self._noticeable_s, lambda: self._tell(self._clock.now(), what, longest)
        )
        try:
            return await self._messages.create(request)
        finally:
            slow.cancel()
