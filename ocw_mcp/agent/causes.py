"""Failures of calls to the model, and which of them say something about the model."""

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
"""Causes that say nothing about whether the model would have answered."""
ANSWERED: Final = frozenset({CauseKind.IMPOSSIBLE})
"""Causes that show it did."""

RETRIED: Final = frozenset({CauseKind.RATE_LIMITED, CauseKind.OVERLOADED, CauseKind.SERVER})
"""Worth a second try: nothing was billed, and a moment later it may go."""


class Trouble(msgspec.Struct, frozen=True):
    """The failure of one call: data for a person, never for a model."""

    kind: CauseKind = msgspec.field(name="cause")
    detail: str = ""
    retry_after_s: float | None = None
    """How long the API asks to be left alone, if it does."""
    may_be_billed: bool = False
    """Whether the model may have worked on the call all the same: then it counts at its worst, and is not repeated."""

    @property
    def cause(self) -> Cause:
        """The failure as the cause of a decision."""
        return Cause(self.kind, self.detail)

    def __str__(self) -> str:
        return str(self.cause)
