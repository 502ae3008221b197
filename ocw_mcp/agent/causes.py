"""Failures of calls to the model, and the kinds that do not count against the model, or allow another call."""

from typing import Final

import msgspec

from ocw_mcp.domain.causes import Cause, CauseKind

UNASKED: Final = frozenset(
    {
        CauseKind.DEADLINE,
        CauseKind.GIVEN_UP,
        CauseKind.ERROR,
        CauseKind.NO_KEY,
        CauseKind.BUDGET,
        CauseKind.THROTTLED,
        CauseKind.NOT_KEPT,
        CauseKind.NO_PRICE,
        CauseKind.BREAKER,
        CauseKind.NOT_RECORDED,
    }
)
"""Kinds of wakes without a call or without its result, which do not count as answers of the model."""
ANSWERED: Final = frozenset({CauseKind.IMPOSSIBLE})
"""Kinds that show that the model answered."""
RETRIED: Final = frozenset({CauseKind.RATE_LIMITED, CauseKind.OVERLOADED, CauseKind.SERVER})
"""Kinds after which a retry is worthwhile: nothing was billed, and the next call may succeed."""


class Trouble(msgspec.Struct, frozen=True):
    """The failure of one call, for people to read; it is never shown to a model."""

    kind: CauseKind = msgspec.field(name="cause")
    detail: str = ""
    retry_after_s: float | None = None
    """The wait (s) that the API requests, if it does."""
    may_be_billed: bool = False
    """Whether the model may have worked on the call: then its worst-case cost counts, and it is not retried."""

    @property
    def cause(self) -> Cause:
        """The failure as the cause of a decision."""
        return Cause(self.kind, self.detail)

    def __str__(self) -> str:
        return str(self.cause)
