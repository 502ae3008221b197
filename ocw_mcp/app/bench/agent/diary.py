"""A diary full of entries that match the present situation, so that a request contains as many as are allowed."""

from decimal import Decimal
from typing import Final

from ocw_mcp.agent.memory.diary import (
    LONGEST_DIGEST,
    LONGEST_LESSON,
    LONGEST_REFLECTION,
    Diary,
    Digest,
    Origin,
    Reflection,
    situations,
)
from ocw_mcp.app.claude import MODEL
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, HOUR, utc_day

WORDS: Final = "The trend of the hour held, and the stop lay where it had to; what came after was not foreseen. "


def full_diary(shown: Snapshot, rules: RulesPolicy) -> Diary:
    """Return a diary of trades in the situations of the snapshot, and of the day before."""
    diary, at = Diary(), shown.at - HOUR
    for order, each in enumerate(situations(shown, rules) * 3, 1):
        reflection = Reflection(
            origin=Origin(at, MODEL, "bench"),
            order=order,
            wake=order,
            side="long" if order % 2 else "short",
            situation=each,
            closed_at=at,
            closed_by="stop",
            pnl=Decimal(-12),
            text=_text(LONGEST_REFLECTION),
            lesson=_text(LONGEST_LESSON),
        )
        diary = diary.with_entry(reflection)
    return diary.with_entry(Digest(Origin(at, MODEL, "bench"), utc_day(at - DAY), _text(LONGEST_DIGEST)))


def _text(characters: int) -> str:
    return (WORDS * (characters // len(WORDS) + 1))[:characters]
