"""The answers to requests and to the legs of decisions: the same key gets the same answer, however often it is sent."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ocw_mcp.domain.asks import AnswerKey, AwaitsApproval, Done, Taken
from ocw_mcp.domain.orders import MOST_TOKENS, OrderRef
from ocw_mcp.domain.reasons import Refusal

KEPT: Final = 2_048
"""The number of answers kept for each caller, and for all wakes: no caller displaces the answers of another."""
CALLERS_KEPT: Final = MOST_TOKENS + 8
"""The number of callers whose answers are kept; beyond it, the answers of the longest silent caller are dropped."""

Answer = OrderRef | Refusal | AwaitsApproval | Done


class SavedAnswer(msgspec.Struct, frozen=True):
    """A saved answer: its key, the `meaning` of its request (see `Answers.meaning`), and the answer by its type."""

    key: AnswerKey
    meaning: str
    ref: OrderRef | None = None
    refusal: Refusal | None = None
    other: AwaitsApproval | Done | None = None
    taken: Taken | None = None


class Answers:
    """The latest answers of each caller, by key."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[AnswerKey, tuple[Answer, str, Taken | None]]] = {}

    def get(self, key: AnswerKey) -> Answer | None:
        """Return the answer under a key; None if it was never stored, or was dropped."""
        found = self._kept.get(key.token, {}).get(key)
        return None if found is None else found[0]

    def meaning(self, key: AnswerKey) -> str:
        """Return the `substance` digest of the request that used a key; empty if no request used the key."""
        found = self._kept.get(key.token, {}).get(key)
        return "" if found is None else found[1]

    def taken(self, key: AnswerKey) -> Taken | None:
        """Return the leg of a key as it was carried out; None for other requests and for a refused leg."""
        found = self._kept.get(key.token, {}).get(key)
        return None if found is None else found[2]

    def put(self, key: AnswerKey, answer: Answer, meaning: str = "", taken: Taken | None = None) -> None:
        """Keep an answer; without `meaning` or `taken` the known ones stay. Its caller becomes the most recent one."""
        token, meaning, taken = key.token, meaning or self.meaning(key), taken or self.taken(key)
        own = self._kept[token] = self._kept.pop(token, {})
        own.pop(key, None)
        own[key] = answer, meaning, taken
        drop_oldest(own, KEPT)
        drop_oldest(self._kept, CALLERS_KEPT)

    def copy(self, key: AnswerKey, to: AnswerKey) -> None:
        """Keep the answer under a key, if it is known, under another key as well."""
        if (answer := self.get(key)) is not None:
            self.put(to, answer, taken=self.taken(key))

    def state(self) -> list[SavedAnswer]:
        """Return all answers; the answers of the longest silent caller come first."""
        saved = []
        for key, (answer, meaning, taken) in (each for own in self._kept.values() for each in own.items()):
            ref = answer if isinstance(answer, OrderRef) else None
            refusal = answer if isinstance(answer, Refusal) else None
            other = answer if isinstance(answer, AwaitsApproval | Done) else None
            saved.append(SavedAnswer(key, meaning, ref, refusal, other, taken))
        return saved

    def restore(self, state: Iterable[SavedAnswer], /) -> None:
        """Restore a state that `state` returned."""
        for each in state:
            answer = each.ref or each.refusal or each.other
            assert answer is not None
            self.put(each.key, answer, each.meaning, each.taken)


def drop_oldest(kept: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries until at most `most` are left."""
    while len(kept) > most:
        del kept[next(iter(kept))]
