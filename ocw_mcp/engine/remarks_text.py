"""What a decider wrote to be read at a later wake, as text: its own words as they stand, those of others as data."""

from typing import Final

from ocw_mcp.domain.snapshot import Remark, Snapshot, WakeReason
from ocw_mcp.domain.text import quotation, untrusted

LONGEST_REMARK: Final = 500
"""Characters of a note or a condition's reason."""


def noted(note: Remark, reader: str, what: str) -> str:
    """Return a note as it stands for its writer, and quoted as data for anybody else."""
    if note.by != reader:
        return quotation(what, note.by, note.at, note.text, LONGEST_REMARK)
    return f"{what}: {untrusted(note.text, LONGEST_REMARK)}"


def undone(snapshot: Snapshot, reader: str) -> list[str]:
    """What of the reader's own last decision was not taken; that of another decider has words of others in it."""
    return [f"not taken: {untrusted(each.text, LONGEST_REMARK)}" for each in snapshot.undone if each.by == reader]


def whose(reason: WakeReason) -> str:
    """Return the symbol of a reason to wake, or `desk`."""
    return reason.symbol or "desk"


def reasons(reason: WakeReason, reader: str) -> list[str]:
    """The engine's words, with the reader's own in brackets behind."""
    own = {each.about: untrusted(each.text, LONGEST_REMARK) for each in reason.remarks if each.by == reader}
    return [f"{each} ({own[each]})" if own.get(each) else each for each in reason.reasons]


def said_on_wakes(snapshot: Snapshot, reader: str) -> list[str]:
    """What others wrote beside the conditions that woke, a line each."""
    return [
        quotation(f"on {whose(reason)} {each.about}", each.by, each.at, each.text, LONGEST_REMARK)
        for reason in snapshot.wake
        for each in reason.remarks
        if each.by != reader
    ]
