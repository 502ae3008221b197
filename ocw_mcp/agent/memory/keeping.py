"""The diary on disk: one small file in the state directory, its owner's alone, written whole or not at all.

Trading does not hang on it. A file that cannot be read, or is another book's, is set aside, and memory begins anew.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import read_file, write_private
from ocw_mcp.agent.memory.diary import Diary
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.time import iso, utc_day

MEMORY: Final = "memory.json"
ASIDE: Final = "memory.json.aside"
"""Where a file goes that is of no use; one that was there before is replaced."""
FORMAT: Final = 2
MOST_BYTES: Final = 4_000_000
DONE_KEPT: Final = 1_024
DAYS_KEPT: Final = 7
"""Of spending, of which only the latest day counts."""


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries that are being written. A run that goes on writes those that are missing as if it were `at` (ms)."""

    at: int
    trades: tuple[str, ...]
    day: str | None
    usd: Decimal
    """What all of them may cost."""
    spent: Decimal = ZERO
    """What those that are written have cost."""

    @property
    def left(self) -> Decimal:
        """What may still be spent on them (USD)."""
        return self.usd - self.spent


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is kept: of which book, and what is behind the diary."""

    book: str
    format: int = FORMAT
    diary: Diary = Diary()
    done: tuple[str, ...] = ()
    """Trades and days that were written on, or failed to be: none is asked about twice."""
    batch: Batch | None = None
    spent: dict[str, Decimal] = {}
    """USD by UTC day."""

    def paying(self, usd: Decimal) -> "Kept":
        """With so much more spent on the batch under way."""
        assert self.batch is not None
        day = utc_day(self.batch.at)
        spent = self.spent | {day: self.spent.get(day, ZERO) + usd}
        batch = msgspec.structs.replace(self.batch, spent=self.batch.spent + usd)
        return msgspec.structs.replace(self, batch=batch, spent=dict(sorted(spent.items())[-DAYS_KEPT:]))

    def stopped(self) -> "Kept":
        """With nothing more to be written of the batch under way."""
        assert self.batch is not None
        return msgspec.structs.replace(self, batch=msgspec.structs.replace(self.batch, trades=(), day=None))

    def having_done(self, key: str) -> "Kept":
        """With one thing more that is done."""
        return msgspec.structs.replace(self, done=(*self.done, key)[-DONE_KEPT:])


def read_kept(directory: Path, book: str) -> tuple[Kept, str]:
    """What a state directory remembers of a book, and a sentence where something was wrong with it, else nothing."""
    path = directory / MEMORY
    try:
        kept = _sound(msgspec.json.decode(read_file(path, MOST_BYTES), type=Kept))
        problem = f"it is of book {kept.book[:20]!r}" if kept.book != book else ""
        if kept.format != FORMAT:
            problem = f"it has format {kept.format}, and this version knows {FORMAT}"
    except FileNotFoundError:
        return Kept(book), ""
    except (OSError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        kept, problem = Kept(book), " ".join(str(error).split())[:200]
    return (Kept(book), _set_aside(path, problem)) if problem else (kept, "")


def write_kept(directory: Path, kept: Kept) -> None:
    """Keep it, for nobody else to read. Raises BookError."""
    write_private(directory / MEMORY, msgspec.json.encode(kept))


def _sound(kept: Kept) -> Kept:
    """What was read. Raises ValueError where it holds what cannot be, OverflowError for times nobody lives in."""
    under_way = [] if kept.batch is None else [kept.batch.usd, kept.batch.spent]
    amounts = [*kept.spent.values(), *under_way, *(each.pnl for each in kept.diary.reflections)]
    if not all(amount.is_finite() for amount in amounts):
        raise ValueError("an amount in it is none")
    reflected = [each.origin.known_at for each in kept.diary.reflections]
    digested = [each.origin.known_at for each in kept.diary.digests]
    for at in (kept.batch.at if kept.batch is not None else 0, *reflected, *digested):
        iso(at)
    if reflected != sorted(reflected) or digested != sorted(digested):
        raise ValueError("its entries are out of order")
    return kept


def _set_aside(path: Path, problem: str) -> str:
    try:
        os.replace(path, path.with_name(ASIDE))
    except OSError as error:
        return f"{path} cannot be used ({problem}) and not be set aside ({error.strerror}); memory begins anew"
    return f"{path} cannot be used ({problem}); it is set aside as {ASIDE}, and memory begins anew"
