"""The answers to requests and to the legs of decisions: the same key gets the same answer, however often it is sent."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ocw_mcp.domain.asks import AnswerKey, AwaitsApproval, Done
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


class Answers:
    """The latest answers of each caller, by key."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[AnswerKey, tuple[Answer, str]]] = {}

    def get(self, key: AnswerKey) -> Answer | None:
        """Return the answer under a key; None if it was never stored, or was dropped."""
        found = self._kept.get(key.token, {}).get(key)
        return None if found is None else found[0]

    def meaning(self, key: AnswerKey) -> str:
        """Return the `substance` digest of the request that used a key; empty if no request used the key."""
        found = self._kept.get(key.token, {}).get(key)
        return "" if found is None else found[1]

    def put(self, key: AnswerKey, answer: Answer, meaning: str = "") -> None:
        """Store an answer with `meaning`, by default the stored meaning, and mark its caller as the most recent one."""
        token, meaning = key.token, meaning or self.meaning(key)
        own = self._kept[token] = self._kept.pop(token, {})
        own.pop(key, None)
        own[key] = answer, meaning
        drop_oldest(own, KEPT)
        drop_oldest(self._kept, CALLERS_KEPT)

    def state(self) -> list[SavedAnswer]:
        """Return all answers; the answers of the longest silent caller come first."""
        saved = []
        for key, (answer, meaning) in (each for own in self._kept.values() for each in own.items()):
            ref = answer if isinstance(answer, OrderRef) else None
            refusal = answer if isinstance(answer, Refusal) else None
            other = answer if isinstance(answer, AwaitsApproval | Done) else None
            saved.append(SavedAnswer(key, meaning, ref, refusal, other))
        return saved

    def restore(self, state: Iterable[SavedAnswer], /) -> None:
        """Restore a state that `state` returned."""
        for each in state:
            answer = each.ref or each.refusal or each.other
            assert answer is not None
            self.put(each.key, answer, each.meaning)


def drop_oldest(kept: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries until at most `most` are left."""
    while len(kept) > most:
        del kept[next(iter(kept))]
