"""The diary: reflections on trades and digests of days, each with its origin, and the memory file that stores them.

The model writes only the texts; all other fields come from the engine. Lessons are not stored: `recall.py` derives them
from the reflections known at a time, so that a replay gets the same lessons as the run.

Only its owner can read the file, and each save replaces it. Trading does not depend on it: an unreadable file, or a
file of another book, is renamed to `ASIDE_FILE`, and the diary begins empty.
"""

import os
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from ocw_mcp.adapters.files import read_file, write_private
from ocw_mcp.core.strategy.rule_score import read_rule_score
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import iso, utc_day
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import untrusted

LONGEST_REFLECTION: Final = 600
LONGEST_LESSON: Final = 240
LONGEST_DIGEST: Final = 800
"""Largest number of characters that are kept of a reflection, a lesson and a digest."""
REFLECTIONS_RECALLED: Final = 128
DIGESTS_RECALLED: Final = 8
"""Numbers of the newest reflections and digests that a recall considers."""
REFLECTIONS_KEPT: Final = 256
DIGESTS_KEPT: Final = 32
"""Numbers of stored entries; the older ones are for a run that resumes from an earlier time."""
MEMORY_FILE: Final = "memory.json"
ASIDE_FILE: Final = "memory.json.aside"
"""The new name of an unusable memory file; an older file of that name is overwritten."""
FORMAT: Final = 2
MOST_BYTES: Final = 4_000_000
DONE_KEPT: Final = 1_024
DAYS_KEPT: Final = 7
"""Days whose diary spending is stored; only the latest day counts against the daily limit."""
SIGNALS_WEIGHT: Final = 0.65
REGIME_WEIGHT: Final = 0.30
SYMBOL_WEIGHT: Final = 0.05
"""The weights of equal signals, market regimes and symbols in the similarity of two situations."""


class Situation(msgspec.Struct, frozen=True):
    """The market of one symbol at one time."""

    symbol: str
    regime: str | None = None
    """The market regime; None if it was unknown."""
    signals: tuple[tuple[str, float], ...] = ()
    """Names and values (−1..1) of the parts of the rules' score; empty if they could not be computed."""


class Origin(msgspec.Struct, frozen=True):
    """The time from which an entry is known (engine time, ms), and the model and prompts that wrote it."""

    known_at: int
    model: str
    prompts_hash: str


class Reflection(msgspec.Struct, frozen=True):
    """A reflection on a closed trade. `order` is the number of the opening order; `pnl` is in quote currency."""

    origin: Origin
    order: int
    wake: int | None
    """The wake of the decision; None if no wake led to the trade."""
    side: Literal["long", "short"]
    situation: Situation
    """The situation at the time of the decision."""
    closed_at: int
    closed_by: str
    pnl: Decimal
    text: str
    lesson: str = ""

    @property
    def won(self) -> bool:
        """Whether the trade made a profit after fees and funding."""
        return self.pnl > 0


class Digest(msgspec.Struct, frozen=True):
    """A digest of a UTC day."""

    origin: Origin
    day: str
    text: str


class Diary(msgspec.Struct, frozen=True):
    """The entries of a book, in the order in which they became known."""

    reflections: tuple[Reflection, ...] = ()
    digests: tuple[Digest, ...] = ()

    def with_entry(self, entry: Reflection | Digest) -> "Diary":
        """Return the diary with one more entry, its texts cut to length, and without the oldest beyond the limits."""
        replace = msgspec.structs.replace
        if isinstance(entry, Digest):
            entry = replace(entry, text=untrusted(entry.text, LONGEST_DIGEST))
            return Diary(self.reflections, (*self.digests, entry)[-DIGESTS_KEPT:])
        entry = replace(entry, text=untrusted(entry.text, LONGEST_REFLECTION))
        entry = replace(entry, lesson=untrusted(entry.lesson, LONGEST_LESSON))
        return Diary((*self.reflections, entry)[-REFLECTIONS_KEPT:], self.digests)

    def before(self, at: int) -> "Diary":
        """Return a diary of the newest entries that were known before a time (ms), as many as a recall considers."""
        reflections = tuple(each for each in self.reflections if each.origin.known_at < at)
        digests = tuple(each for each in self.digests if each.origin.known_at < at)
        return Diary(reflections[-REFLECTIONS_RECALLED:], digests[-DIGESTS_RECALLED:])


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The diary entries whose writing began at the wake at `at` (ms); a resumed run writes the missing ones."""

    at: int
    trades: tuple[str, ...]
    day: str | None
    usd: Decimal
    """The most that all entries of the batch may cost."""
    spent: Decimal = ZERO
    """The cost of the entries written so far."""


class MemoryState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of the memory file: the diary of a book, and the progress and cost of writing it."""

    book: str
    format: int = FORMAT
    diary: Diary = Diary()
    done: tuple[str, ...] = ()
    """Trades and days whose entry was written or failed: a failed entry is not retried."""
    batch: Batch | None = None
    spent: dict[str, Decimal] = {}
    """The cost of the diary entries (USD), by UTC day."""

    def with_cost(self, usd: Decimal) -> "MemoryState":
        """Return the state with the cost of one more entry of the current batch."""
        assert self.batch is not None
        day = utc_day(self.batch.at)
        spent = self.spent | {day: self.spent.get(day, ZERO) + usd}
        batch = msgspec.structs.replace(self.batch, spent=self.batch.spent + usd)
        return msgspec.structs.replace(self, batch=batch, spent=dict(sorted(spent.items())[-DAYS_KEPT:]))

    def with_batch_stopped(self) -> "MemoryState":
        """Return the state with the unwritten entries of the current batch cancelled."""
        assert self.batch is not None
        return msgspec.structs.replace(self, batch=msgspec.structs.replace(self.batch, trades=(), day=None))

    def with_done(self, key: str) -> "MemoryState":
        """Return the state with a trade or a day marked as done."""
        return msgspec.structs.replace(self, done=(*self.done, key)[-DONE_KEPT:])


def load_memory(directory: Path, book: str) -> tuple[MemoryState, str]:
    """Return the memory of a book, and a sentence on the problem with its file; empty without a problem."""
    path = directory / MEMORY_FILE
    try:
        state = msgspec.json.decode(read_file(path, MOST_BYTES), type=MemoryState)
        problem = _problem(state, book)
    except FileNotFoundError:
        return MemoryState(book), ""
    except (OSError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        problem = " ".join(str(error).split())[:200]
    else:
        if not problem:
            return state, ""
    aside = f"it is set aside as {ASIDE_FILE}"
    try:
        os.replace(path, path.with_name(ASIDE_FILE))
    except OSError as error:
        aside = f"it cannot be set aside either ({error.strerror})"
    return MemoryState(book), f"{path} cannot be used ({problem}); {aside}, and the memory begins empty"


def save_memory(directory: Path, state: MemoryState) -> None:
    """Write the file, readable by its owner only. Raises BookError."""
    write_private(directory / MEMORY_FILE, msgspec.json.encode(state))


def _problem(state: MemoryState, book: str) -> str:
    """Return why a state is unusable; empty if it is usable. Raises ValueError or OverflowError for an invalid time."""
    batch, reflections = state.batch, state.diary.reflections
    of_batch = [] if batch is None else [batch.usd, batch.spent]
    amounts = [*state.spent.values(), *of_batch, *(each.pnl for each in reflections)]
    if not all(amount.is_finite() for amount in amounts):
        return "it has an invalid amount"
    reflected = [each.origin.known_at for each in reflections]
    digested = [each.origin.known_at for each in state.diary.digests]
    for at in (0 if batch is None else batch.at, *reflected, *digested):
        iso(at)
    if reflected != sorted(reflected) or digested != sorted(digested):
        return "its entries are out of order"
    if state.format != FORMAT:
        return f"it has format {state.format}, and this version reads format {FORMAT}"
    return f"it is of book {state.book[:20]!r}" if state.book != book else ""


def situations(snapshot: Snapshot, rules: RulesPolicy) -> tuple[Situation, ...]:
    """Return the situation of each symbol of a snapshot."""
    return tuple(situation(snapshot, symbol, rules) for symbol in snapshot.symbols)


def situation(snapshot: Snapshot, symbol: str, rules: RulesPolicy) -> Situation:
    """Return the situation of one symbol; an empty situation if the snapshot lacks the symbol."""
    view = snapshot.symbols.get(symbol)
    if view is None:
        return Situation(symbol)
    regime = None if isinstance(snapshot.regime, Unknown) else snapshot.regime.level.value
    read = read_rule_score(view, rules, snapshot.regime)
    if read is None:
        return Situation(symbol, regime)
    signals = {"momentum": read.momentum, "reversion": read.reversion, "trend": 2 * read.trend - 1}
    composite = view.derivatives.composite
    if not isinstance(composite, Unknown):
        signals["derivatives"] = composite
    return Situation(symbol, regime, tuple((name, round(value, 4)) for name, value in signals.items()))


@lru_cache(maxsize=8_192)
def similarity(one: Situation, other: Situation) -> float:
    """Return the similarity of two situations, from 0 for nothing in common to 1 for equal.

    A signal or regime that only one situation has counts as different. Two unknown regimes are not compared.
    """
    mine, theirs = dict(one.signals), dict(other.signals)
    names, both = mine.keys() | theirs.keys(), sorted(mine.keys() & theirs.keys())
    alike = sum(1 - abs(mine[name] - theirs[name]) / 2 for name in both) / len(names) if names else 0.0
    parts = [(SIGNALS_WEIGHT, alike), (SYMBOL_WEIGHT, float(one.symbol == other.symbol))]
    if one.regime is not None or other.regime is not None:
        parts.append((REGIME_WEIGHT, float(one.regime == other.regime)))
    total = sum(weight for weight, _ in parts)
    # Rounded, so that the order of summation cannot change the order of entries.
    return round(sum(weight * share for weight, share in parts) / total, 9)
