"""What was answered to whom: the same key gets the same answer, however often it is sent."""

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

import msgspec

from ocw_mcp.domain.asks import Done, Waits, asked_by
from ocw_mcp.domain.orders import MOST_TOKENS, OrderRef
from ocw_mcp.domain.reasons import Refusal

KEPT: Final = 2_048
"""Of each caller, and of all wakes together: whoever asks for much forgets nothing of another's."""
CALLERS_KEPT: Final = MOST_TOKENS + 8
"""One for each token, and some that need none; beyond it the caller that was silent for the longest is forgotten."""

Answer = OrderRef | Refusal | Waits | Done

_T = TypeVar("_T")


class SavedAnswer(msgspec.Struct, frozen=True):
    """An answer of either kind, to be restored."""

    ref: OrderRef | None = None
    refusal: Refusal | None = None
    other: Waits | Done | None = None


class Latest(Generic[_T]):
    """The latest of each caller, by idempotency key."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, _T]] = {}

    def get(self, key: str) -> _T | None:
        """What is kept under a key, as long as it is."""
        return self._kept.get(_caller(key), {}).get(key)

    def put(self, key: str, value: _T) -> None:
        """Keep something under a key."""
        who = _caller(key)
        # Whoever has spoken last stands last.
        mine = self._kept[who] = self._kept.pop(who, {})
        mine[key] = value
        drop_oldest(mine, KEPT)
        drop_oldest(self._kept, CALLERS_KEPT)

    def forget(self, key: str) -> None:
        """Keep nothing under a key any more."""
        self._kept.get(_caller(key), {}).pop(key, None)

    def state(self) -> list[tuple[str, _T]]:
        """All of it, in order, with what came first of whoever has been silent for the longest at the beginning."""
        return [pair for mine in self._kept.values() for pair in mine.items()]

    def restore(self, state: Iterable[tuple[str, _T]]) -> None:
        """Put back what `state` gave."""
        for key, value in state:
            self.put(key, value)


class AnsweredRequests(Latest[Answer]):
    """The latest answers."""

    def remember(self, key: str, answer: Answer) -> Answer:
        """Keep an answer under its key, if it has one."""
        if key:
            self.put(key, answer)
        return answer

    def saved(self) -> list[tuple[str, SavedAnswer]]:
        """All that must survive a restart."""
        return [(key, _saved(answer)) for key, answer in self.state()]

    def put_back(self, saved: list[tuple[str, SavedAnswer]]) -> None:
        """Put back what `saved` gave."""
        for key, each in saved:
            answer = each.ref or each.refusal or each.other
            assert answer is not None
            self.put(key, answer)


def _caller(key: str) -> str:
    """Whose a key is. The name that a client gives itself makes no other caller of it."""
    return token_of(asked_by(key))


def token_of(principal: str) -> str:
    """Return the caller without the name that its client gives itself: so many names, and one token."""
    return principal.partition("/")[0]


def drop_oldest(kept: dict[str, _T], most: int) -> None:
    """Let go of what came first, where there are more."""
    while len(kept) > most:
        del kept[next(iter(kept))]


def _saved(answer: Answer) -> SavedAnswer:
    match answer:
        case OrderRef():
            return SavedAnswer(ref=answer)
        case Refusal():
            return SavedAnswer(refusal=answer)
        case _:
            return SavedAnswer(other=answer)
