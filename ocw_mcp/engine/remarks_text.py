"""What a decider wrote to be read at a later wake, as text: its own words as they stand, those of others as data."""

from typing import Final

from ocw_mcp.domain.snapshot import Remark, Snapshot, SymbolWake
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


def whose(wake: SymbolWake) -> str:
    """Return the symbol of a wake, or `desk`."""
    return wake.symbol or "desk"


def reasons(wake: SymbolWake, reader: str) -> list[str]:
    """Return the reasons of a symbol as text, each with the reader's own remark in brackets."""
    texts = []
    for each in wake.reasons:
        remark = each.remark
        own = untrusted(remark.text, LONGEST_REMARK) if remark is not None and remark.by == reader else ""
        texts.append(f"{each} ({own})" if own else str(each))
    return texts


def said_on_wakes(snapshot: Snapshot, reader: str) -> list[str]:
    """What others wrote beside the conditions that woke, a line each."""
    return [
        quotation(f"on {whose(wake)} {each}", remark.by, remark.at, remark.text, LONGEST_REMARK)
        for wake in snapshot.wake
        for each in wake.reasons
        if (remark := each.remark) is not None and remark.by != reader
    ]
