"""Reads frames of a market ahead of their turn, for funding rates that are stamped a little after their due time."""

from collections import deque
from collections.abc import AsyncGenerator

from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Frame, Funding


class FrameLookahead:
    """The frames of a source, some of which were read ahead of their turn."""

    def __init__(self, source: AsyncGenerator[Frame, None]) -> None:
        self._source = source
        self._buffer: deque[Frame] = deque()
        self._fault: TapeError | None = None

    def next_buffered(self) -> Frame | None:
        """Return the next frame that was read ahead; None if there is none. Raises the source's TapeError."""
        if self._buffer:
            return self._buffer.popleft()
        if self._fault is not None:
            raise self._fault
        return None

    async def funding(self, until: int) -> list[Funding]:
        """Return the funding rates of the frames that are not yet processed, up to `until` (ms)."""
        while not (self._buffer and self._buffer[-1].at > until) and self._fault is None:
            try:
                frame = await anext(self._source, None)
            except TapeError as fault:
                self._fault = fault
                break
            if frame is None:
                break
            self._buffer.append(frame)
        return [each for frame in self._buffer if frame.at <= until for each in frame.funding]
