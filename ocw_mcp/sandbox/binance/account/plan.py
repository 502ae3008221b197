"""The order of time of an account: what the market does, and actions at planned times."""

import heapq
from collections.abc import Callable
from itertools import count

from ocw_mcp.domain.time import HOUR


class Plan:
    """Advances an account: between two planned actions it follows the market. Times are in ms."""

    def __init__(self, start: int, follow: Callable[[int, int], None]) -> None:
        """`follow` processes what the market does with since < time <= until."""
        self.at = start
        self._follow = follow
        self._planned: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()

    def add(self, at: int, action: Callable[[int], None]) -> None:
        """Do something at a time, or at once if it has passed; `action` gets the time."""
        heapq.heappush(self._planned, (max(at, self.at), next(self._numbers), action))

    def advance(self, until: int) -> None:
        """Process everything up to a time."""
        while self.at < until or (self._planned and self._planned[0][0] <= self.at):
            end = min(until, self.at + HOUR)
            if self._planned:
                end = min(end, self._planned[0][0])
            if end > self.at:
                self._follow(self.at, end)
                self.at = end
            while self._planned and self._planned[0][0] <= self.at:
                _, _, action = heapq.heappop(self._planned)
                action(self.at)
