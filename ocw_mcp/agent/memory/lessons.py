"""Lessons: what reflections on like trades came to, as long as trades bear it out.

A trade confirms a lesson if it was made in a like situation, on the same side, and ended the same way; if it ended the
other way, it speaks against it. What the texts say plays no part in that.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from ocw_mcp.agent.memory.diary import Origin, Reflection
from ocw_mcp.agent.memory.situations import Situation, likeness
from ocw_mcp.domain.time import DAY

HALF_LIFE_MS: Final = 14 * DAY
FORGOTTEN_BELOW: Final = 0.25
"""Of full strength: two half-lives without a confirmation."""
ALIKE: Final = 0.85
MOST_LESSONS: Final = 32
TRADES_TOLD: Final = 5


class Lesson(msgspec.Struct, frozen=True):
    """A sentence of the model's, and how trades have borne it out since."""

    origin: Origin
    """Of the text."""
    text: str
    side: Literal["long", "short"]
    situation: Situation
    won: bool
    renewed_at: int
    """When (ms) its strength was `strength`."""
    strength: float = 1.0
    held: int = 1
    failed: int = 0
    trades: tuple[int, ...] = ()
    """The latest that confirmed it, by the counters of their opening orders."""

    def strength_at(self, at: int) -> float:
        """What is left of it, 0..1."""
        return float(self.strength * 0.5 ** ((at - self.renewed_at) / HALF_LIFE_MS))


def lessons(reflections: Sequence[Reflection], at: int) -> tuple[Lesson, ...]:
    """What reflections, in the order in which they became known, have taught by `at` (ms). Oldest first."""
    taught: list[Lesson] = []
    for each in reflections:
        taught = _taught(_remembered(taught, each.origin.known_at), each)
    return tuple(_remembered(taught, at))


def _taught(known: list[Lesson], trade: Reflection) -> list[Lesson]:
    after, confirmed = [], False
    for lesson in known:
        if lesson.side != trade.side or likeness(lesson.situation, trade.situation) < ALIKE:
            after.append(lesson)
        elif lesson.won == trade.won:
            after.append(_confirmed(lesson, trade))
            confirmed = True
        else:
            after.append(_contradicted(lesson, trade.origin.known_at))
    if trade.lesson and not confirmed:
        now = trade.origin.known_at
        new = Lesson(trade.origin, trade.lesson, trade.side, trade.situation, trade.won, now, trades=(trade.order,))
        after.append(new)
    weakest_first = sorted(after, key=lambda each: each.strength_at(trade.origin.known_at))
    for forgotten in weakest_first[: max(0, len(after) - MOST_LESSONS)]:
        after.remove(forgotten)
    return after


def _confirmed(lesson: Lesson, trade: Reflection) -> Lesson:
    """Strong again; whoever wrote of the trade was shown the lesson, and its new words take the place of the old."""
    origin, text = (trade.origin, trade.lesson) if trade.lesson else (lesson.origin, lesson.text)
    return msgspec.structs.replace(
        lesson,
        origin=origin,
        text=text,
        renewed_at=trade.origin.known_at,
        strength=1.0,
        held=lesson.held + 1,
        trades=(*lesson.trades, trade.order)[-TRADES_TOLD:],
    )


def _contradicted(lesson: Lesson, at: int) -> Lesson:
    """It has aged by one half-life."""
    return msgspec.structs.replace(lesson, strength=lesson.strength_at(at) / 2, renewed_at=at, failed=lesson.failed + 1)


def _remembered(known: list[Lesson], at: int) -> list[Lesson]:
    return [each for each in known if each.strength_at(at) >= FORGOTTEN_BELOW]
