"""The interface of a character: a function of a request and a random generator that returns one turn of answers."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ocw_mcp.sandbox.claude.request import MessagesRequest

_Item = TypeVar("_Item")


class Say(msgspec.Struct, frozen=True):
    """A text block."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """A tool call."""

    name: str
    input: dict[str, Any]


class ModelAnswer(msgspec.Struct, frozen=True):
    """One turn of a character."""

    parts: tuple[Say | Call, ...] = ()
    thought: str = "What was shown is what there is to go by."
    """The thinking block of models that think."""
    takes_ms: int = 0
    refuses: bool = False
    wire: dict[str, Any] = {}
    """Fields that replace the API's own in the message, as a gateway's would; with an `error` it is the whole body."""


class SeededRandom:
    """A random generator whose numbers depend on a seed and the request only, not on earlier requests."""

    def __init__(self, seed: int, request: bytes) -> None:
        self._state = hashlib.sha256(b"%d " % seed + request).digest()

    def share(self) -> float:
        """Return a number of at least 0 and below 1."""
        self._state = hashlib.sha256(self._state).digest()
        return int.from_bytes(self._state[:6], "big") / 2**48

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of the items."""
        return items[int(self.share() * len(items))]


Character = Callable[[MessagesRequest, SeededRandom], ModelAnswer]
"""Answers a request, or raises ApiFault or ConnectionDropped."""
