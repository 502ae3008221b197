"""The answers to requests and to the legs of decisions: the same key gets the same answer, however often it is sent."""

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

import msgspec

from ocw_mcp.domain.asks import AnswerKey, AwaitsApproval, Done
from ocw_mcp.domain.orders import MOST_TOKENS, OrderRef
from ocw_mcp.domain.reasons import Refusal

KEPT: Final = 2_048
"""Entries of each caller, and of all wakes together: a caller with many requests displaces no entry of another."""
CALLERS_KEPT: Final = MOST_TOKENS + 8
"""One for each token, and some that need none; beyond it the caller that was silent for the longest is dropped."""

Answer = OrderRef | Refusal | AwaitsApproval | Done

_T = TypeVar("_T")


class Latest(Generic[_T]):
    """The latest entries of each caller, by key."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[AnswerKey, _T]] = {}

    def get(self, key: AnswerKey) -> _T | None:
        """Return the entry of a key; None if there is none, or none any more."""
        return self._kept.get(key.token, {}).get(key)

    def put(self, key: AnswerKey, value: _T) -> None:
        """Keep an entry. Its caller becomes the latest one, whose entries are dropped last."""
        token = key.token
        own = self._kept[token] = self._kept.pop(token, {})
        own.pop(key, None)
        own[key] = value
        drop_oldest(own, KEPT)
        drop_oldest(self._kept, CALLERS_KEPT)

    def entries(self) -> list[tuple[AnswerKey, _T]]:
        """Return all entries. Those of the caller that was silent for the longest come first."""
        return [pair for own in self._kept.values() for pair in own.items()]


class RequestMeanings(Latest[str]):
    """The meaning of the requests that the latest keys were used for."""

    def state(self) -> list[tuple[AnswerKey, str]]:
        """Return all entries."""
        return self.entries()

    def restore(self, state: Iterable[tuple[AnswerKey, str]], /) -> None:
        """Restore a state that `state` returned."""
        for key, meaning in state:
            self.put(key, meaning)


class SavedAnswer(msgspec.Struct, frozen=True):
    """An answer in a saved state, by its type."""

    ref: OrderRef | None = None
    refusal: Refusal | None = None
    other: AwaitsApproval | Done | None = None


class Answers(Latest[Answer]):
    """The latest answers."""

    def state(self) -> list[tuple[AnswerKey, SavedAnswer]]:
        """Return all answers, each in a form that contains its type."""
        return [(key, _saved(answer)) for key, answer in self.entries()]

    def restore(self, state: Iterable[tuple[AnswerKey, SavedAnswer]], /) -> None:
        """Restore a state that `state` returned."""
        for key, each in state:
            answer = each.ref or each.refusal or each.other
            assert answer is not None
            self.put(key, answer)


def drop_oldest(kept: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries until at most so many are left."""
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
