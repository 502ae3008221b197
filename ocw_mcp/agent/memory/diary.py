"""The diary's entries, each with where it comes from, and how many are kept. Texts are the model's; all else is facts.

Lessons are no entries of their own: `lessons.py` derives them, so that a look at an earlier moment finds them as they
stood then.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from ocw_mcp.agent.memory.situations import Situation
from ocw_mcp.render.quotations import untrusted

LONGEST_REFLECTION: Final = 600
LONGEST_LESSON: Final = 240
LONGEST_DIGEST: Final = 800
"""Characters."""
REFLECTIONS_SEEN: Final = 128
DIGESTS_SEEN: Final = 8
"""A look sees so many of the newest that were known then."""
REFLECTIONS_KEPT: Final = 256
DIGESTS_KEPT: Final = 32
"""More than are seen: a book that goes on from an earlier moment is to see what was seen then."""


class Origin(msgspec.Struct, frozen=True):
    """Since when an entry is known (engine time, ms), and what wrote it, told what."""

    known_at: int
    model: str
    prompts_hash: str


class Reflection(msgspec.Struct, frozen=True):
    """What a closed trade teaches. `order` is the counter of the order that opened it, `pnl` in quote currency."""

    origin: Origin
    order: int
    wake: int | None
    """At which it was decided on; None where no wake led to it."""
    side: Literal["long", "short"]
    situation: Situation
    """When it was decided on."""
    closed_at: int
    closed_by: str
    pnl: Decimal
    text: str
    lesson: str = ""

    @property
    def won(self) -> bool:
        """Whether anything was left after fees and funding."""
        return self.pnl > 0


class Digest(msgspec.Struct, frozen=True):
    """A UTC day in a few sentences."""

    origin: Origin
    day: str
    text: str


class Diary(msgspec.Struct, frozen=True):
    """All entries, in the order in which they became known."""

    reflections: tuple[Reflection, ...] = ()
    digests: tuple[Digest, ...] = ()

    def reflected(self, entry: Reflection) -> "Diary":
        """With one more; the oldest goes where there are too many."""
        entry = msgspec.structs.replace(
            entry, text=untrusted(entry.text, LONGEST_REFLECTION), lesson=untrusted(entry.lesson, LONGEST_LESSON)
        )
        return Diary((*self.reflections, entry)[-REFLECTIONS_KEPT:], self.digests)

    def digested(self, entry: Digest) -> "Diary":
        """The same for a day."""
        entry = msgspec.structs.replace(entry, text=untrusted(entry.text, LONGEST_DIGEST))
        return Diary(self.reflections, (*self.digests, entry)[-DIGESTS_KEPT:])

    def before(self, at: int) -> "Diary":
        """What of it was known before a moment (ms), the newest of that."""
        reflections = tuple(each for each in self.reflections if each.origin.known_at < at)
        digests = tuple(each for each in self.digests if each.origin.known_at < at)
        return Diary(reflections[-REFLECTIONS_SEEN:], digests[-DIGESTS_SEEN:])
