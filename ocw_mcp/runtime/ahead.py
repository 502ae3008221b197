"""A market whose next frames can be looked at before their turn, for what a simulated exchange knows at a moment."""

from collections import deque
from collections.abc import AsyncGenerator

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Frame, Funding


class Ahead:
    """The frames of a source, of which some are taken from it early."""

    def __init__(self, source: AsyncGenerator[Frame, None]) -> None:
        self._source = source
        self._early: deque[Frame] = deque()
        self._fault: TapeError | None = None

    def taken_early(self) -> Frame | None:
        """Return the next frame that was taken early; None if there is none. Raises the TapeError that ended them."""
        if self._early:
            return self._early.popleft()
        if self._fault is not None:
            raise self._fault
        return None

    async def funding(self, until: int) -> list[Funding]:
        """The funding rates of the frames that have not had their turn, up to `until` (ms)."""
        while not (self._early and self._early[-1].at > until) and self._fault is None:
            try:
                frame = await anext(self._source, None)
            except TapeError as fault:
                self._fault = fault
                break
            if frame is None:
                break
            self._early.append(frame)
        return [each for frame in self._early if frame.at <= until for each in frame.funding]
