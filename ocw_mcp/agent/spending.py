"""What thinking costs beside what the engine has booked, so that no budget is broken by a process that dies.

Before a call goes out, what it may cost at its worst is durable. The engine books a decision's cost when it hears of
it; what was spent and never told of, and what writing into memory cost, is told with the next decision.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import read_file, write_private
from ocw_mcp.adapters.store.views.thinking import DecisionCost
from ocw_mcp.agent.recording import CallRecorder, Recording
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.money import ZERO

SPENDING: Final = "spending.json"
LOST: Final = "lost"
_LARGEST: Final = 1 << 20
"""Under what name stands what a process that died had spent."""


class Spending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is kept; USD."""

    book: str
    wake: int = 0
    """The latest that somebody was asked about."""
    usd: Decimal = ZERO
    """What to ask about it has cost so far, a call under way at its worst."""
    told: dict[str, Decimal] = {}
    """What is told with that decision, by what it is."""
    beside: dict[str, Decimal] = {}
    """What is to be told with the next one."""
    writing: Decimal = ZERO
    """What the entries under way may cost."""


class SpendingLog:
    """The spending of one book. Without a directory it lasts as long as the process."""

    def __init__(
        self,
        directory: Path | None = None,
        book: str = "",
        journaled: Sequence[DecisionCost] = (),
        *,
        records: CallRecorder | None = None,
        replays: Recording | None = None,
    ) -> None:
        """`journaled` is what the journal has of the latest decisions, `records` who writes down what was lost.

        In a replay nothing is really spent, so nothing is lost either: what is done again is told as it was. Raises
        BookError for a file that cannot be believed.
        """
        self._path = None if directory is None else directory / SPENDING
        self._spends = replays is None
        self._records = records
        self._replays = replays
        self._saving = asyncio.Lock()
        self._kept = _read(self._path, book)
        if journaled and self._kept.wake < journaled[0].wake_id:
            # That decision has long been over, with all that it cost.
            self._kept = Spending(book, beside=self._kept.beside, writing=self._kept.writing)
        booked = sum((each.cost_usd for each in journaled if each.wake_id == self._kept.wake), ZERO)
        self._recover(booked)

    @property
    def untold_usd(self) -> Decimal:
        """What was spent and the engine has not heard of, the decision under way left out."""
        return sum(self._kept.beside.values(), ZERO)

    def told_usd(self, wake: int) -> Decimal:
        """What is told with the decision on a wake, on top of its own cost."""
        return sum(self._kept.told.values(), ZERO) if wake == self._kept.wake else ZERO

    async def begins(self, wake: int) -> None:
        """A decision begins, with which all that is untold is told. Raises BookError."""
        kept = self._kept
        told = kept.beside
        if self._replays is not None and (lost := self._replays.lost(wake)):
            told = told | {LOST: lost}
        if self._records is not None and LOST in told:
            self._records.lose(wake, told[LOST])
        self._kept = msgspec.structs.replace(kept, wake=wake, usd=ZERO, told=told, beside={})
        if told or kept.told:
            await self._save()

    async def costs(self, usd: Decimal) -> None:
        """The decision under way has cost so much, at the worst. Raises BookError."""
        if self._spends:
            self._kept = msgspec.structs.replace(self._kept, usd=usd)
            await self._save()

    async def writes(self, usd: Decimal) -> None:
        """An entry is asked for, which costs so much at its worst; or is done, where below 0. Raises BookError."""
        if self._spends:
            self._kept = msgspec.structs.replace(self._kept, writing=self._kept.writing + usd)
            await self._save()

    async def wrote(self, name: str, usd: Decimal) -> None:
        """Entries that go by a name are written, and cost so much. Raises BookError."""
        beside = self._kept.beside | ({name: usd} if usd else {})
        self._kept = msgspec.structs.replace(self._kept, beside=beside, writing=ZERO)
        await self._save()

    def _recover(self, booked: Decimal) -> None:
        """Sort out what a process that died, or was stopped, left behind."""
        kept = self._kept
        told = sum(kept.told.values(), ZERO)
        # A replay finds what was lost in its recording again.
        again = {name: usd for name, usd in kept.told.items() if self._spends or name != LOST}
        beside = kept.beside if booked else kept.beside | again
        unbooked = max(ZERO, kept.usd + told - booked) if booked else kept.usd
        lost = (unbooked + kept.writing) if self._spends else ZERO
        if lost:
            beside = beside | {LOST: beside.get(LOST, ZERO) + lost}
        self._kept = Spending(kept.book, wake=0 if not booked else kept.wake, beside=beside)

    async def _save(self) -> None:
        if self._path is not None:
            # A decision and the diary save at once; what is written last has to be what came last.
            async with self._saving:
                await asyncio.to_thread(write_private, self._path, msgspec.json.encode(self._kept))


def _read(path: Path | None, book: str) -> Spending:
    if path is None:
        return Spending(book)
    try:
        kept = msgspec.json.decode(read_file(path, _LARGEST), type=Spending)
        amounts = (kept.usd, kept.writing, *kept.told.values(), *kept.beside.values())
        if all(each.is_finite() and each >= 0 for each in amounts) and kept.book == book:
            return kept
        problem = f"it is of book {kept.book[:20]!r}" if kept.book != book else "an amount in it is none"
    except FileNotFoundError:
        return Spending(book)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
    raise BookError(
        f"{path} cannot be used ({problem}); it tells what thinking has cost; expected what this book wrote; "
        "put it back as it was, or delete it, which forgets some of what was spent"
    )
