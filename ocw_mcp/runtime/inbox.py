"""The inbox of a run: what arrives from outside and is not yet taken, in the order of arrival.

Any task may put something in. Only the run takes it out, one at a time, and passes it to the engine: nothing else calls
the engine. On a simulated clock only requests of clients arrive here; the run itself reads the frames, and processes
timers and decisions when they are due.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import VenueReport
from ocw_mcp.domain.steps import DecisionFailed, OutlookSeen
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.runtime.thinking import PendingDecision


class FrameRead(NamedTuple):
    """A frame of the feed, and the event that lets the feed go on once the frame is taken."""

    frame: Frame
    taken: asyncio.Event


class Request(NamedTuple):
    """A client's request, and the future that receives the engine's answer; None if the run ends before."""

    request: CallerRequest
    answer: "asyncio.Future[Answer | None]"


class DecisionCame(NamedTuple):
    """A decision in progress has output: legs that were submitted, or its end."""

    pending: PendingDecision


class MarketEnded(NamedTuple):
    """The feed has no more frames, or the venue no more reports; `error` is the exception that ended it, if any."""

    error: BaseException | None = None


Arrival = FrameRead | VenueReport | Request | DecisionCame | DecisionFailed | OutlookSeen | MarketEnded


class Inbox:
    """A queue with one consumer."""

    def __init__(self) -> None:
        self._queue: deque[Arrival] = deque()
        self._came = asyncio.Event()

    def put(self, arrival: Arrival) -> None:
        """Add an arrival to the end of the queue."""
        self._queue.append(arrival)
        self._came.set()

    def get(self) -> Arrival | None:
        """Return the oldest arrival and remove it; None if there is none."""
        return self._queue.popleft() if self._queue else None

    async def wait(self, seconds: float) -> None:
        """Wait until there is an arrival, or until `seconds` of the event loop's time are over."""
        if self._queue:
            return
        self._came.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            pass
