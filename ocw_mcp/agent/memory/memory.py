"""The memory of a run: recalls entries at a wake, and has new entries written between wakes.

A wake starts a background task that writes a batch of entries on newly closed trades and on the day before. Recalls
include these entries from `KNOWN_AFTER_MS` after that wake on, even if they were written sooner; a wake after that time
waits for unwritten ones. A repeated run therefore recalls the same entries at the same wake. The first wake after that
time reports their cost to the spending log. A run that stops within a batch writes the missing entries once it resumes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import msgspec

from ocw_mcp.adapters.store.views.trades import TradeRow
from ocw_mcp.agent.memory.diary import (
    LONGEST_LESSON,
    LONGEST_REFLECTION,
    Batch,
    Digest,
    MemoryState,
    Origin,
    Reflection,
    load_memory,
    save_memory,
    similarity,
    situations,
)
from ocw_mcp.agent.memory.recall import LESSON_SIMILARITY, lesson_label, lessons, quote_entry, recall
from ocw_mcp.agent.memory.writer import Draft, Past, TradeFacts, Writer, Written, day_facts, trade_facts
from ocw_mcp.agent.messages import digest_number, reflection_number
from ocw_mcp.agent.pricing import priced
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.errors import BookError, OcwError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, MINUTE, iso, utc_day

KNOWN_AFTER_MS: Final = 5 * MINUTE
"""Time from the wake of a batch until its entries may be recalled; writing them takes less."""
BATCH_TRADES: Final = 3
"""Largest number of trades of one batch; further ones wait for a later wake."""
MOST_SEARCHED: Final = 64
"""Largest number of trades of the last 24 hours that are searched for trades without an entry."""
EARLIER_LESSONS: Final = 2
"""Largest number of lessons of similar trades in the prompt for a reflection."""

log = logging.getLogger(__name__)


class Memory:
    """The memory of one book. A disabled memory recalls nothing, writes nothing and touches no file."""

    def __init__(
        self,
        directory: Path,
        book: str,
        past: Past,
        rules: RulesPolicy,
        writer: Writer | None,
        *,
        enabled: bool = True,
        spending: SpendingLog | None = None,
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        """Without a `writer` no entry is added. `warn` gets a sentence if the file is unusable or cannot be written."""
        self._directory = directory
        self._past = past
        self._rules = rules
        self._writer = writer
        self._enabled = enabled
        self._spending = spending or SpendingLog()
        self._warn = warn
        self._state, problem = load_memory(directory, book) if enabled else (MemoryState(book), "")
        if problem:
            warn(problem)
        self._writing: asyncio.Task[None] | None = None
        self._saved = True
        """Whether the file holds the current state."""

    @property
    def reserved_usd(self) -> Decimal:
        """The largest possible cost (USD) of the unfinished diary entries, which decisions must not spend."""
        return self._state.batch.usd if self._state.batch is not None else ZERO

    async def at_wake(self, snapshot: Snapshot, left_usd: Decimal) -> str:
        """Return the recalled entries for the context of a wake, and start to write entries on new trades and days.

        `left_usd` is the unspent LLM budget. Raises only a cancellation, which does not stop the writing.
        """
        if not self._enabled:
            return ""
        try:
            if self._writer is not None:
                await self._continue(self._writer, snapshot.at, left_usd)
        except OcwError as error:
            log.warning("no diary entry is written for now: %s", error)
        return recall(self._state.diary, snapshot.at, situations(snapshot, self._rules))

    async def close(self) -> None:
        """Stop writing diary entries; a resumed run writes the missing ones."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            self._writing = None

    async def _continue(self, writer: Writer, at: int, left_usd: Decimal) -> None:
        """End the current batch if its entries are due, and begin the next batch. Raises OcwError."""
        batch = self._state.batch
        if batch is not None:
            if self._writing is None:
                trades = await self._trades_without_entry(batch.at)
                self._begin(writer, [each for each in trades if _key(each) in batch.trades])
            if at > batch.at + KNOWN_AFTER_MS:
                await self._end_batch()
        if self._state.batch is None:
            waiting, yesterday = await self._trades_without_entry(at), utc_day(at - DAY)
            trades = waiting[:BATCH_TRADES]
            # The digest of a day comes after the reflections on its trades.
            day = yesterday if trades == waiting and yesterday not in self._state.done else None
            if trades or day is not None:
                most = writer.terms.usd_per_day - self._state.spent.get(utc_day(at), ZERO)
                batch = Batch(at, tuple(map(_key, trades)), day, max(ZERO, min(left_usd, most)))
                await self._save(msgspec.structs.replace(self._state, batch=batch))
                self._begin(writer, trades)

    async def _trades_without_entry(self, at: int) -> list[TradeRow]:
        """Return the trades of the 24 hours before `at` (ms) that have no entry, oldest first. Raises OcwError."""
        page = await self._past.trades(MOST_SEARCHED, since=at - DAY, until=at)
        return [trade for trade in reversed(page.trades) if trade.order and _key(trade) not in self._state.done]

    def _begin(self, writer: Writer, trades: list[TradeRow]) -> None:
        self._writing = asyncio.create_task(self._write(writer, trades), name="memory")

    async def _end_batch(self) -> None:
        """Wait for the current batch; a cancellation of the wait does not stop the writing. Raises BookError."""
        assert self._writing is not None
        await asyncio.wait({self._writing})
        batch = self._state.batch
        assert batch is not None
        try:
            # The cost is settled first: after a crash in between it is settled again under the same name.
            await self._spending.settle_entries(f"memory {iso(batch.at)}", batch.spent)
        finally:
            self._writing = None
            self._state = msgspec.structs.replace(self._state, batch=None)
        await self._save(self._state)

    async def _write(self, writer: Writer, trades: list[TradeRow]) -> None:
        """Write the entries of the current batch in turn; after a failure the remaining ones wait for a later wake."""
        batch = self._state.batch
        assert batch is not None
        try:
            if not await asyncio.to_thread(priced, writer.terms.model, batch.at):
                log.warning("no diary entry is written: %s has no price", writer.terms.model)
                return
            for trade in trades:
                if not await self._reflect(writer, trade, batch.at):
                    return
            if batch.day is not None and batch.day not in self._state.done:
                await self._digest(writer, batch.day, batch.at)
        except OcwError as error:
            log.warning("a diary entry is not written: %s", error)
        except Exception as error:
            log.error("writing a diary entry failed with an internal error", exc_info=error)

    async def _reflect(self, writer: Writer, trade: TradeRow, at: int) -> bool:
        """Write a reflection on a trade, and return whether it was written."""
        facts = await trade_facts(self._past, trade, self._rules)
        lines = [*facts.lines(), *self._earlier_lessons(facts, at)]
        draft = writer.draft(reflection_number(trade.order), "reflect", lines, at)
        side: Literal["long", "short"] = "long" if trade.side == "long" else "short"
        about = (trade.order, facts.wake, side, facts.situation, trade.closed_at, trade.closed_by, trade.pnl)
        return await self._write_entry(
            writer, draft, _key(trade), lambda origin, written: Reflection(origin, *about, written.text, written.lesson)
        )

    async def _digest(self, writer: Writer, day: str, at: int) -> None:
        facts = await day_facts(self._past, day)
        if facts is None:
            self._state = self._state.with_done(day)
            return
        of_day = [each for each in self._state.diary.reflections if utc_day(each.closed_at) == day]
        lines = [
            quote_entry(f"on order {each.order}", each.origin, each.text, LONGEST_REFLECTION)
            for each in of_day[-BATCH_TRADES:]
        ]
        draft = writer.draft(digest_number(day), "daily_digest", [*facts, *lines], at)
        await self._write_entry(writer, draft, day, lambda origin, written: Digest(origin, day, written.text))

    async def _write_entry(
        self, writer: Writer, draft: Draft, key: str, entry: Callable[[Origin, Written], Reflection | Digest]
    ) -> bool:
        """Have a draft written if the budget of the batch suffices, save the entry, and return whether it was written.

        The worst-case cost is reserved until the actual cost is saved. A failure stops the batch. Raises BookError.
        """
        batch, worst = self._state.batch, draft.worst_usd
        assert batch is not None
        if worst > (left := batch.usd - batch.spent):
            log.info("a diary entry is not written: it costs %s USD at most, and %s USD is left", worst, left)
            return False
        await self._spending.reserve_entry(worst)
        # If the call fails with an internal error, its worst case stays counted.
        self._state = self._state.with_cost(worst)
        written = await writer.write(draft, batch.at)
        state = self._state.with_cost(written.cost_usd - worst).with_done(key)
        if written.trouble is None:
            origin = Origin(batch.at + KNOWN_AFTER_MS, writer.terms.model, writer.prompts_hash)
            state = msgspec.structs.replace(state, diary=state.diary.with_entry(entry(origin, written)))
        else:
            log.warning("a diary entry is not written: %s", written.trouble)
            state = state.with_batch_stopped()
        await self._save(state)
        await self._spending.reserve_entry(-worst)
        return written.trouble is None

    def _earlier_lessons(self, facts: TradeFacts, at: int) -> Iterable[str]:
        """Yield a line on each of the latest lessons of similar trades."""
        known = lessons(self._state.diary.before(at).reflections, at)
        on_side = [each for each in known if each.side == facts.trade.side]
        similar = [each for each in on_side if similarity(each.situation, facts.situation) >= LESSON_SIMILARITY]
        for each in similar[-EARLIER_LESSONS:]:
            yield quote_entry(f"earlier {lesson_label(each)}", each.origin, each.text, LONGEST_LESSON)

    async def _save(self, state: MemoryState) -> None:
        """Set the state and save it; if the file cannot be written, the state is lost at the end of the run."""
        self._state = state
        try:
            await asyncio.to_thread(save_memory, self._directory, state)
        except BookError as error:
            if self._saved:
                self._warn(f"{error}; until then the memory lasts only as long as this run")
            self._saved = False
        else:
            self._saved = True


def _key(trade: TradeRow) -> str:
    return f"{trade.order}:{trade.closed_at}"
