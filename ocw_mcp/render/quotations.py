"""Texts by other authors (models, clients, the venue) as quoted data, separate from the engine's own sentences.

A model gets its own remarks of an earlier wake unquoted, and every other text with its author and its time.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ocw_mcp.domain.snapshot import Remark, Snapshot, SymbolWake
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import SECOND, iso
from ocw_mcp.render.text import span

LONGEST_UNTRUSTED: Final = 400
LONGEST_REMARK: Final = 500
LONGEST_NAME: Final = 20
"""Largest number of characters of an untrusted text, of a remark (note, reason of a wake condition), and of a name."""

_LINK: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+", re.IGNORECASE)
_NAME: Final = re.compile(rf"[\w.+*-]{{1,{LONGEST_NAME}}}", re.ASCII)
_CLIENT: Final = re.compile(rf"mcp:{_NAME.pattern}(?:/{_NAME.pattern})?", re.ASCII)
"""A client's name in the journal: `mcp:`, the name of its access token, and the name that the program states."""

Quote = Callable[[str, str], str]
"""Takes an author and a text; returns the text itself, or a pointer to it, for use in a sentence."""


class Quotation(NamedTuple):
    """A text by another author: `at` is its time (ms), or None if that is unknown."""

    source: str
    at: int | None
    text: str


class Quotations:
    """The texts by other authors in one answer; its sentences refer to them as `said[0]`, `said[1]`.

    `room` is the largest total number of their characters.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self.kept: list[Quotation] = []

    def add(self, source: str, at: int | None, text: str) -> str:
        """Keep a text and return its pointer. A text repeated by its author is kept once, with its first time."""
        clean = untrusted(text)
        for place, each in enumerate(self.kept):
            if (each.source, each.text) == (source, clean):
                return f"said[{place}]"
        if len(clean) > self._room:
            return "(a text omitted for length)"
        self._room -= len(clean)
        self.kept.append(Quotation(source, at, clean))
        return f"said[{len(self.kept) - 1}]"

    def quote(self, at: int) -> Quote:
        """Return the `Quote` for an event at `at` (ms), which keeps each text here and returns its pointer."""
        return lambda source, text: self.add(source, at, text)

    def lines(self) -> list[str]:
        """Return one line per text: pointer, author, time, and the text in quotation marks."""
        return [
            f"said[{place}] untrusted_text by {each.source}, {None if each.at is None else iso(each.at)}: "
            f"{json.dumps(each.text, ensure_ascii=False)}"
            for place, each in enumerate(self.kept)
        ]


def untrusted(text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """Return a text by a model or a venue on one line: capped, without links and without control characters."""
    clean = " ".join(_LINK.sub("[link]", printable(text[: 4 * longest])).split())
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def quoted(text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """Return an untrusted text in quotation marks, for use within a line by the engine."""
    return json.dumps(untrusted(text, longest), ensure_ascii=False)


def quotation(what: str, source: str, at: int | None, text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """Return an untrusted text as a line of data for a model, with its author and, if known, its time (ms)."""
    since = "" if at is None else f", {iso(at)}"
    return f"{what}, untrusted_text by {name(source)}{since}: {quoted(text, longest)}"


def is_name(text: str) -> bool:
    """Return whether a text is a single short ASCII word, as symbols are."""
    return _NAME.fullmatch(text) is not None


def name(text: str) -> str:
    """Return a name that another author chose, or `(no name)` for anything longer than one short word."""
    return text if is_name(text) or _CLIENT.fullmatch(text) else "(no name)"


def note_line(note: Remark, reader: str, now: int) -> str:
    """Return the note of an earlier wake with the number of the wake and its age at `now` (ms).

    The note is quoted unless `reader` is its author.
    """
    wake = "an earlier wake" if note.wake is None else f"wake {note.wake}"
    label = f"note of {wake}, {span(max(0, now - note.at) // SECOND * SECOND)} ago"
    if note.by != reader:
        return quotation(label, note.by, note.at, note.text, LONGEST_REMARK)
    return f"{label}: {untrusted(note.text, LONGEST_REMARK)}"


def not_taken_lines(snapshot: Snapshot, reader: str) -> list[str]:
    """Return one line per part of the reader's last decision that the engine did not accept."""
    return [f"not taken: {untrusted(each.text, LONGEST_REMARK)}" for each in snapshot.undone if each.by == reader]


def wake_line(wake: SymbolWake, reader: str) -> str:
    """Return a symbol and its wake reasons, each followed by the reader's own remark in brackets."""
    texts = []
    for each in wake.reasons:
        own = untrusted(each.remark.text, LONGEST_REMARK) if each.remark and each.remark.by == reader else ""
        texts.append(f"{each} ({own})" if own else str(each))
    reasons = ", ".join(texts)
    return f"{wake.symbol} {reasons}" if wake.symbol else reasons


def wake_quotations(snapshot: Snapshot, reader: str) -> list[str]:
    """Return one quotation per remark by another author on a wake condition that was met."""
    return [
        quotation(f"on {wake.symbol} {each}", remark.by, remark.at, remark.text, LONGEST_REMARK)
        for wake in snapshot.wake
        for each in wake.reasons
        if (remark := each.remark) is not None and remark.by != reader
    ]
