"""Chance that follows from a seed and from what was asked, whatever was asked before."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

_Thing = TypeVar("_Thing")


class SeededRandom:
    """Draws; the same seed and the same request draw the same."""

    def __init__(self, seed: int, asked: bytes) -> None:
        self._state = hashlib.sha256(b"%d " % seed + asked).digest()

    def share(self) -> float:
        """A number from 0 up to 1, which is never reached."""
        self._state = hashlib.sha256(self._state).digest()
        return int.from_bytes(self._state[:6], "big") / 2**48

    def pick(self, things: Sequence[_Thing]) -> _Thing:
        """One of them."""
        return things[int(self.share() * len(things))]
