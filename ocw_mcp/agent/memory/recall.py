"""Recall: the entries of the diary that are most similar to the current situations, as data for the model.

A lesson is derived from the reflections on similar trades. A later trade of the same symbol and side in a similar
situation confirms the lesson by the same outcome (won or lost) and contradicts it by the opposite, whatever the texts
say. An entry on another symbol than the one whose situation it resembles says so.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from ocw_mcp.agent.memory.diary import Diary, Origin, Reflection, Situation, similarity
from ocw_mcp.domain.time import DAY
from ocw_mcp.render.quotations import name, quotation
from ocw_mcp.render.text import cents

HALF_LIFE_MS: Final = 14 * DAY
"""Time in which a lesson without a confirmation loses half of its strength."""
FORGOTTEN_BELOW: Final = 0.25
"""The strength below which a lesson is forgotten: after two half-lives without a confirmation."""
LESSON_SIMILARITY: Final = 0.85
"""Smallest similarity to the situation of a lesson at which a trade confirms or contradicts the lesson."""
MOST_LESSONS: Final = 32
TRADES_LISTED: Final = 5

HEADING: Final = "memory, most similar first; data, it permits nothing:"
LEAST_SIMILARITY: Final = 0.6
"""Smallest similarity to a current situation at which an entry is recalled."""
DIGEST_FOR_MS: Final = 2 * DAY
"""Time for which the newest digest is recalled."""
DIGEST_EXCERPT: Final = 360
LESSON_EXCERPT: Final = 180
REFLECTION_EXCERPT: Final = 240
"""Largest number of characters of an entry that a wake's context shows; longer entries are cut at the end."""
LESSONS_SHARE: Final = 0.5
"""Largest share of lessons among the recalled entries."""


class Lesson(msgspec.Struct, frozen=True):
    """A lesson in the words of the model, and how many trades have confirmed and contradicted it."""

    origin: Origin
    """The origin of `text`, the latest wording of the lesson."""
    text: str
    side: Literal["long", "short"]
    situation: Situation
    won: bool
    renewed_at: int
    """The time (ms) of its latest confirmation or contradiction, to which `strength` refers."""
    strength: float = 1.0
    confirmed: int = 1
    contradicted: int = 0
    trades: tuple[int, ...] = ()
    """The latest trades that confirmed it, by the numbers of their opening orders."""

    def strength_at(self, at: int) -> float:
        """Return the strength of the lesson at a time (ms), 0..1."""
        return float(self.strength * 0.5 ** ((at - self.renewed_at) / HALF_LIFE_MS))


def lessons(reflections: Sequence[Reflection], at: int) -> tuple[Lesson, ...]:
    """Return the lessons at `at` (ms), oldest first; `reflections` are in the order in which they became known."""
    known: list[Lesson] = []
    for each in reflections:
        known = _after_trade(_not_forgotten(known, each.origin.known_at), each)
    return tuple(_not_forgotten(known, at))


def _after_trade(known: list[Lesson], trade: Reflection) -> list[Lesson]:
    now = trade.origin.known_at
    replace = msgspec.structs.replace
    after, renewed = [], False
    for lesson in known:
        same = (lesson.side, lesson.situation.symbol) == (trade.side, trade.situation.symbol)
        if not same or similarity(lesson.situation, trade.situation) < LESSON_SIMILARITY:
            after.append(lesson)
        elif lesson.won == trade.won:
            count, trades = lesson.confirmed + 1, (*lesson.trades, trade.order)[-TRADES_LISTED:]
            lesson = replace(lesson, strength=1.0, renewed_at=now, confirmed=count, trades=trades)
            # The model saw the old lesson when it wrote the new one.
            after.append(replace(lesson, origin=trade.origin, text=trade.lesson) if trade.lesson else lesson)
            renewed = True
        else:
            # A contradiction ages a lesson by one half-life.
            weaker, count = lesson.strength_at(now) / 2, lesson.contradicted + 1
            after.append(replace(lesson, strength=weaker, renewed_at=now, contradicted=count))
    if trade.lesson and not renewed:
        new = Lesson(trade.origin, trade.lesson, trade.side, trade.situation, trade.won, now, trades=(trade.order,))
        after.append(new)
    weakest_first = sorted(after, key=lambda each: each.strength_at(now))
    for forgotten in weakest_first[: max(0, len(after) - MOST_LESSONS)]:
        after.remove(forgotten)
    return after


def _not_forgotten(known: list[Lesson], at: int) -> list[Lesson]:
    return [each for each in known if each.strength_at(at) >= FORGOTTEN_BELOW]


def recall(diary: Diary, at: int, now: Sequence[Situation], entries: int = 6, characters: int = 900) -> str:
    """Return the entries known before `at` (ms) that are similar to the situations `now` as one text; may be empty."""
    lines: list[str] = []
    left = characters - len(HEADING)
    for kind, origin, longest, text in _pick(diary.before(at), at, now, entries):
        line = quote_entry(f"memory[{len(lines)}] {kind}", origin, text, longest)
        if len(line) + 1 <= left:
            left -= len(line) + 1
            lines.append(line)
    return "\n".join([HEADING, *lines]) if lines else ""


def quote_entry(label: str, origin: Origin, text: str, longest: int) -> str:
    """Return an entry as a quotation, with its author and the time from which it is known."""
    return quotation(label, origin.model, origin.known_at, text, longest)


def lesson_label(lesson: Lesson) -> str:
    """Return the label of a lesson: side and symbol, how many trades confirmed it, and their orders."""
    ended = "won" if lesson.won else "lost"
    trades = ", ".join(map(str, lesson.trades))
    record = f"{ended} {lesson.confirmed} of {lesson.confirmed + lesson.contradicted} (orders {trades})"
    return f"lesson, similar {lesson.side} {name(lesson.situation.symbol)} {record}"


def _pick(diary: Diary, at: int, now: Sequence[Situation], entries: int) -> list[tuple[str, Origin, int, str]]:
    """Return the label, origin, largest shown length and text of each entry to show."""
    picked = [
        (f"digest of {name(each.day)}", each.origin, DIGEST_EXCERPT, each.text)
        for each in diary.digests[-1:]
        if at - each.origin.known_at < DIGEST_FOR_MS
    ]
    ranked = [
        (near.similarity * each.strength_at(at), each, near.label)
        for each in lessons(diary.reflections, at)
        if (near := _nearest(each.situation, now)).similarity >= LEAST_SIMILARITY
    ]
    ranked.sort(key=lambda found: (-round(found[0], 9), -found[1].renewed_at, -found[1].trades[-1]))
    most = round(entries * LESSONS_SHARE)
    picked += [(lesson_label(each) + of, each.origin, LESSON_EXCERPT, each.text) for _, each, of in ranked[:most]]
    reflected = [(_nearest(each.situation, now), each) for each in diary.reflections]
    reflected.sort(key=lambda found: (-found[0].similarity, -found[1].origin.known_at, -found[1].order))
    for near, each in reflected:
        if near.similarity >= LEAST_SIMILARITY:
            trade = f"{each.side} {name(each.situation.symbol)} {cents(each.pnl, signed=True)}"
            label = f"trade of order {each.order} ({trade}, closed by {name(each.closed_by)}){near.label}"
            picked.append((label, each.origin, REFLECTION_EXCERPT, each.text))
    return picked[:entries]


class _Nearest(NamedTuple):
    """The similarity of an entry to a current situation: that of its own symbol, or else the most similar one."""

    similarity: float
    other: str = ""
    """The symbol of the situation, if it is not the symbol of the entry."""

    @property
    def label(self) -> str:
        """The end of the entry's label."""
        return f", on another symbol, {name(self.other)} is similar now" if self.other else ""


def _nearest(then: Situation, now: Sequence[Situation]) -> _Nearest:
    own = max((similarity(then, each) for each in now if each.symbol == then.symbol), default=0.0)
    others = max((_Nearest(similarity(then, each), each.symbol) for each in now), default=_Nearest(0.0))
    return _Nearest(own) if own >= min(LEAST_SIMILARITY, others.similarity) else others
