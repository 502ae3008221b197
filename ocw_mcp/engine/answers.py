"""What was answered to whom: the same key gets the same answer, however often it is sent."""

import msgspec

from ocw_mcp.domain.asks import Done, Waits
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.reasons import Refusal

KEPT = 2_048

Answer = OrderRef | Refusal | Waits | Done


class SavedAnswer(msgspec.Struct, frozen=True):
    """An answer of either kind, to be restored."""

    ref: OrderRef | None = None
    refusal: Refusal | None = None
    other: Waits | Done | None = None


class Answers:
    """The latest answers, by idempotency key."""

    def __init__(self) -> None:
        self._kept: dict[str, Answer] = {}

    def get(self, key: str) -> Answer | None:
        """What was answered under a key, as long as it is remembered."""
        return self._kept.get(key)

    def remember(self, key: str, answer: Answer) -> Answer:
        """Keep an answer under its key, if it has one."""
        if key:
            self._kept[key] = answer
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return answer

    def forget(self, key: str) -> None:
        """Let a key be answered anew: what waited under it is decided on."""
        self._kept.pop(key, None)

    def state(self) -> dict[str, SavedAnswer]:
        """All that must survive a restart."""
        return {key: _saved(answer) for key, answer in self._kept.items()}

    def restore(self, state: dict[str, SavedAnswer]) -> None:
        """Put back what `state` gave."""
        for key, saved in state.items():
            answer = saved.ref or saved.refusal or saved.other
            assert answer is not None
            self._kept[key] = answer


def _saved(answer: Answer) -> SavedAnswer:
    match answer:
        case OrderRef():
            return SavedAnswer(ref=answer)
        case Refusal():
            return SavedAnswer(refusal=answer)
        case _:
            return SavedAnswer(other=answer)
