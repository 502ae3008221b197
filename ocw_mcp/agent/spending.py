"""The log of LLM spending that the engine has not booked yet, kept on disk so that no crash can exceed a budget.

The log stores the worst-case cost of each call before the call. The engine books the cost of a decision with the
decision. The next decision also reports the spending of a process that died and the cost of diary entries.
"""

import asyncio
import threading
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.files import read_file, write_private
from ocw_mcp.adapters.store.views.decisions import DecisionCost
from ocw_mcp.agent.recording import CallRecorder, Recording
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.money import ZERO

SPENDING_FILE: Final = "spending.json"
LOST: Final = "lost"
"""The name under which a decision reports spending that no recorded answer explains: of processes that died, and of
calls that keep the prompt cache."""
_LARGEST: Final = 1 << 20


class CountedPrefix(msgspec.Struct, frozen=True):
    """The tools and system of requests by their digest, and a number of tokens that they do not exceed."""

    digest: str
    tokens: int
    """The size of the smallest prompt that begins with them, as the API counted it."""


_KEYS: Final = {"decision": "usd", "carried": "told", "pending": "beside", "entries": "writing"}
"""The JSON key of each field; the keys are those of earlier versions."""


class Spending(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_KEYS):
    """The contents of the spending file; amounts in USD."""

    book: str
    wake: int = 0
    """The latest wake that the model was asked about."""
    decision: Decimal = ZERO
    """Cost of the decision on `wake` so far, with an unfinished call at its worst-case cost."""
    carried: dict[str, Decimal] = {}
    """Earlier costs that the decision on `wake` reports, by name."""
    pending: dict[str, Decimal] = {}
    """Costs that the next decision reports, by name."""
    entries: Decimal = ZERO
    """Worst-case cost of the unfinished diary entries."""
    prefix: CountedPrefix | None = None
    """The beginning of the latest requests, so that a resumed run knows the same worst-case costs."""


class SpendingLog:
    """The unbooked spending of one book; without a directory it is kept in memory only."""

    def __init__(
        self,
        directory: Path | None = None,
        book: str = "",
        journaled: Sequence[DecisionCost] = (),
        *,
        recorder: CallRecorder | None = None,
        replayed: Recording | None = None,
    ) -> None:
        """Read the file and add the lost costs of an earlier process. `journaled` are the journal's latest decisions.

        `recorder` records lost spending. A replay spends nothing: it reports the lost spending of `replayed`, its
        recording. Raises BookError for a file that is invalid or of another book.
        """
        self._path = None if directory is None else directory / SPENDING_FILE
        self._spends = replayed is None
        self._recorder = recorder
        self._replayed = replayed
        self._writing = threading.Lock()
        found = self._state = _read(self._path, book)
        if journaled and found.wake < journaled[0].wake_id:
            # The decision on that wake ended before the journal begins, so its cost was settled.
            self._state = Spending(book, pending=found.pending, entries=found.entries, prefix=found.prefix)
        booked = sum((each.cost_usd for each in journaled if each.wake_id == self._state.wake), ZERO)
        self._recover(booked)
        if self._path is not None and self._spends and self._state.pending != found.pending:
            # The next process may find a journal that begins after the decision whose cost was lost.
            self._write(self._path)

    @property
    def pending_usd(self) -> Decimal:
        """Spending (USD) that the engine has not booked, excluding the current decision."""
        return sum(self._state.pending.values(), ZERO)

    @property
    def prefix(self) -> CountedPrefix | None:
        """The beginning of the latest requests."""
        return self._state.prefix

    @property
    def lost_usd(self) -> Decimal:
        """The part of `pending_usd` that a replay knows only from the decision that reports it."""
        return self._state.pending.get(LOST, ZERO)

    def recorded_usd(self, wake: int) -> Decimal:
        """Return the lost spending (USD) that the next decision, on a wake, reports in a replay; 0 in a run."""
        return ZERO if self._replayed is None else self._replayed.lost_usd(wake)

    def carried_usd(self, wake: int) -> Decimal:
        """Return the earlier costs (USD) that the decision on a wake reports in addition to its own cost."""
        return sum(self._state.carried.values(), ZERO) if wake == self._state.wake else ZERO

    async def start_decision(self, wake: int) -> None:
        """Start a decision and carry all pending costs over to it. Raises BookError."""
        state, carried = self._state, self._state.pending
        if lost := self.recorded_usd(wake):
            carried = carried | {LOST: lost}
        if self._recorder is not None and LOST in carried:
            self._recorder.record_lost(wake, carried[LOST])
        self._state = msgspec.structs.replace(state, wake=wake, decision=ZERO, carried=carried, pending={})
        if carried or state.carried:
            await self._save()

    async def record_cost(self, usd: Decimal) -> None:
        """Record the cost of the decision so far, with an unfinished call at its worst-case cost. Raises BookError."""
        if self._spends:
            await self._save(decision=usd)

    def count_prefix(self, prefix: CountedPrefix) -> None:
        """Take the counted beginning of a request; the next record of a cost stores it."""
        self._state = msgspec.structs.replace(self._state, prefix=prefix)

    async def add_other(self, usd: Decimal) -> None:
        """Add a cost outside of decisions and diary, which the next decision reports. Raises BookError."""
        if self._spends:
            pending = self._state.pending
            await self._save(pending=pending | {LOST: pending.get(LOST, ZERO) + usd})

    async def reserve_entry(self, usd: Decimal) -> None:
        """Reserve the worst-case cost of a diary entry; a negative `usd` releases a reservation. Raises BookError."""
        if self._spends:
            await self._save(entries=self._state.entries + usd)

    async def settle_entries(self, name: str, usd: Decimal) -> None:
        """Replace the reservation for a batch of diary entries by a pending cost called `name`. Raises BookError."""
        await self._save(pending=self._state.pending | ({name: usd} if usd else {}), entries=ZERO)

    def _recover(self, booked: Decimal) -> None:
        """Turn the unreported spending of an earlier process into pending costs."""
        state = self._state
        carried = sum(state.carried.values(), ZERO)
        # A replay reads lost spending from its recording again.
        again = {name: usd for name, usd in state.carried.items() if self._spends or name != LOST}
        pending = state.pending if booked else state.pending | again
        unbooked = max(ZERO, state.decision + carried - booked) if booked else state.decision
        lost = (unbooked + state.entries) if self._spends else ZERO
        if lost:
            pending = pending | {LOST: pending.get(LOST, ZERO) + lost}
        self._state = Spending(state.book, 0 if not booked else state.wake, pending=pending, prefix=state.prefix)

    async def _save(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        if self._path is not None:
            await asyncio.to_thread(self._write, self._path)

    def _write(self, path: Path) -> None:
        # A decision and the diary may save at the same time, and a cancelled save still writes in its thread. The state
        # is read under the lock, so the last write holds the last state.
        with self._writing:
            write_private(path, msgspec.json.encode(self._state))


def _read(path: Path | None, book: str) -> Spending:
    if path is None:
        return Spending(book)
    try:
        state = msgspec.json.decode(read_file(path, _LARGEST), type=Spending)
        amounts = (state.decision, state.entries, *state.carried.values(), *state.pending.values())
        if all(each.is_finite() and each >= 0 for each in amounts) and state.book == book:
            return state
        problem = f"it is of book {state.book[:20]!r}" if state.book != book else "it has an invalid amount"
    except FileNotFoundError:
        return Spending(book)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
    raise BookError(
        f"{path} cannot be used ({problem}); it holds the LLM cost that is not booked yet; expected the file that this "
        "book wrote; restore it, or delete it, which forgets some of the spending"
    )
