"""Memory at work: what it tells at a wake, and how entries are written between wakes.

Everything hangs on engine time, so that a run that is done again remembers the same at the same wake. What is closed or
over is found at a wake and written on in the background, one batch at a time; its entries are known `KNOWN_AFTER_MS`
after that wake, however quickly they were written, and a wake after that waits for them. What they cost is told to
the purse then. A run that is stopped meanwhile, and goes on, writes what is missing as of the same wake.
"""

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.trades import TradeRow
from ocw_mcp.agent.memory.diary import LONGEST_LESSON, LONGEST_REFLECTION, Digest, Origin, Reflection
from ocw_mcp.agent.memory.facts import TradeFacts
from ocw_mcp.agent.memory.gathering import Past, day_facts, trade_facts
from ocw_mcp.agent.memory.keeping import Batch, Kept, read_kept, write_kept
from ocw_mcp.agent.memory.lessons import ALIKE, lessons
from ocw_mcp.agent.memory.recall import Room, lesson_kind, recall, told
from ocw_mcp.agent.memory.situations import likeness, situations
from ocw_mcp.agent.memory.writing import Draft, Writer, Written
from ocw_mcp.agent.pricing import priced
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.errors import BookError, OcwError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, MINUTE, iso, utc_day

KNOWN_AFTER_MS: Final = 5 * MINUTE
"""More than a batch may take."""
BATCH: Final = 3
"""Trades that are written on at once; more wait for the next wake."""
LOOKED_AT: Final = 64
"""Trades of the last day among which those are found that nobody wrote on."""
EARLIER_LESSONS: Final = 2
"""That are told to whoever writes on a trade."""

log = logging.getLogger(__name__)


class Memory:
    """The memory of one book. With `on=False` it tells nothing, writes nothing and touches no file."""

    def __init__(
        self,
        directory: Path,
        book: str,
        past: Past,
        rules: RulesPolicy,
        writer: Writer | None,
        *,
        on: bool = True,
        spending: SpendingLog | None = None,
        room: Room | None = None,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        """`writer` is None where nobody can be asked: what is there is told, and nothing is added.

        `tell` hears a sentence where the file is of no use, or cannot be written.
        """
        self._directory = directory
        self._past = past
        self._rules = rules
        self._writer = writer
        self._on = on
        self._spending = spending or SpendingLog()
        self._room = room or Room()
        self._tell = tell
        self._kept, problem = read_kept(directory, book) if on else (Kept(book), "")
        if problem:
            tell(problem)
        self._writing: asyncio.Task[None] | None = None
        self._writes = True

    @property
    def set_aside_usd(self) -> Decimal:
        """What entries that are being written may cost: nobody else may spend it."""
        return self._kept.batch.usd if self._kept.batch is not None else ZERO

    async def at_wake(self, snapshot: Snapshot, left_usd: Decimal) -> str:
        """What goes into the context of a wake; and begin to write on what is over since the last one.

        `left_usd` is what may be spent. Nothing is raised but a cancellation, which leaves the writing alone.
        """
        at = snapshot.at
        if not self._on:
            return ""
        try:
            if self._writer is not None:
                await self._go_on(self._writer, at, left_usd)
        except OcwError as error:
            log.warning("nothing is written into memory for now: %s", error)
        return recall(self._kept.diary, at, situations(snapshot, self._rules), self._room)

    async def close(self) -> None:
        """Give up what is being written. It is asked for again by a run that goes on."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            self._writing = None

    async def _go_on(self, writer: Writer, at: int, left_usd: Decimal) -> None:
        """End the batch under way once its entries are known, and begin the next. Raises OcwError."""
        batch = self._kept.batch
        if batch is not None:
            if self._writing is None:
                self._begin(writer, [each for each in await self._due(batch.at) if _key(each) in batch.trades])
            if at > batch.at + KNOWN_AFTER_MS:
                await self._end()
        if self._kept.batch is None:
            trades = await self._due(at)
            yesterday = utc_day(at - DAY)
            # A digest comes after the reflections of its day.
            day = yesterday if len(trades) <= BATCH and yesterday not in self._kept.done else None
            if trades or day is not None:
                most = writer.terms.usd_per_day - self._kept.spent.get(utc_day(at), ZERO)
                names = tuple(_key(each) for each in trades[:BATCH])
                batch = Batch(at, names, day, max(ZERO, min(left_usd, most)))
                self._kept = msgspec.structs.replace(self._kept, batch=batch)
                await self._save()
                self._begin(writer, trades[:BATCH])

    async def _due(self, at: int) -> list[TradeRow]:
        """Trades that nobody wrote on, known before `at`, oldest first. Raises OcwError."""
        page = await self._past.trades(LOOKED_AT, since=at - DAY, until=at)
        return [trade for trade in reversed(page.trades) if trade.order and _key(trade) not in self._kept.done]

    def _begin(self, writer: Writer, trades: list[TradeRow]) -> None:
        self._writing = asyncio.create_task(self._write(writer, trades), name="memory")

    async def _end(self) -> None:
        """Wait for the batch under way. Whoever waits may give up; the writing goes on. Raises BookError."""
        assert self._writing is not None
        await asyncio.wait({self._writing})
        batch = self._kept.batch
        assert batch is not None
        try:
            # Told first: after a crash in between the same is told again, under the same name.
            await self._spending.wrote(f"memory {iso(batch.at)}", batch.spent)
        finally:
            self._writing = None
            self._kept = msgspec.structs.replace(self._kept, batch=None)
        await self._save()

    async def _write(self, writer: Writer, trades: list[TradeRow]) -> None:
        """One entry after another, until one fails: the rest waits for a later wake."""
        batch = self._kept.batch
        assert batch is not None
        try:
            if not await asyncio.to_thread(priced, writer.terms.model, batch.at):
                log.warning("nothing is written into memory: nobody tells what %s costs", writer.terms.model)
                return
            for trade in trades:
                if not await self._reflect(writer, trade, batch.at):
                    return
            if batch.day is not None and batch.day not in self._kept.done:
                await self._digest(writer, batch.day, batch.at)
        except OcwError as error:
            log.warning("an entry is not written into memory: %s", error)
        except Exception as error:
            log.error("writing into memory failed inside", exc_info=error)

    async def _reflect(self, writer: Writer, trade: TradeRow, at: int) -> bool:
        """Write on a trade; whether something came of it."""
        facts = await trade_facts(self._past, trade, self._rules)
        draft = writer.reflection(facts, self._earlier(facts, at), at)
        written = await self._paid(writer, draft, at)
        if written is None:
            return False
        kept = self._kept.having_done(_key(trade))
        if written.trouble is not None:
            kept = kept.stopped()
        else:
            entry = Reflection(
                self._origin(writer, at),
                trade.order,
                facts.wake,
                "long" if trade.side == "long" else "short",
                facts.situation,
                trade.closed_at,
                trade.closed_by,
                trade.pnl,
                written.text,
                written.lesson,
            )
            kept = msgspec.structs.replace(kept, diary=kept.diary.reflected(entry))
        self._kept = kept
        await self._done(draft)
        return written.trouble is None

    async def _digest(self, writer: Writer, day: str, at: int) -> None:
        facts = await day_facts(self._past, day)
        if facts is None:
            self._kept = self._kept.having_done(day)
            return
        of_day = [each for each in self._kept.diary.reflections if utc_day(each.closed_at) == day]
        lines = [told(f"on order {each.order}", each.origin, each.text, LONGEST_REFLECTION) for each in of_day[-BATCH:]]
        draft = writer.digest(facts, lines, at)
        written = await self._paid(writer, draft, at)
        if written is None:
            return
        kept = self._kept.having_done(day)
        if written.trouble is None:
            entry = Digest(self._origin(writer, at), day, written.text)
            kept = msgspec.structs.replace(kept, diary=kept.diary.digested(entry))
        self._kept = kept
        await self._done(draft)

    async def _paid(self, writer: Writer, draft: Draft, at: int) -> Written | None:
        """Have a draft written, its worst case written down before; None where that is more than is left."""
        batch, worst = self._kept.batch, draft.worst_usd
        assert batch is not None
        if worst > batch.left:
            log.info("an entry is not written into memory: it costs %s USD at most, and %s is left", worst, batch.left)
            return None
        await self._spending.writes(worst)
        written = await writer.write(draft, at)
        self._kept = self._kept.paying(written.cost_usd)
        if written.trouble is not None:
            log.warning("an entry is not written into memory: %s", written.trouble)
        return written

    async def _done(self, draft: Draft) -> None:
        """Keep what came of a draft, with what it cost; its worst case counts no more. Raises BookError."""
        await self._save()
        await self._spending.writes(-draft.worst_usd)

    def _earlier(self, facts: TradeFacts, at: int) -> list[str]:
        """Lessons that trades like this one have taught."""
        taught = lessons(self._kept.diary.before(at).reflections, at)
        alike = [
            each
            for each in taught
            if each.side == facts.trade.side and likeness(each.situation, facts.situation) >= ALIKE
        ]
        return [
            told(f"earlier {lesson_kind(each)}", each.origin, each.text, LONGEST_LESSON)
            for each in alike[-EARLIER_LESSONS:]
        ]

    def _origin(self, writer: Writer, at: int) -> Origin:
        return Origin(at + KNOWN_AFTER_MS, writer.terms.model, writer.prompts_hash)

    async def _save(self) -> None:
        """Keep what there is. Where the disk takes nothing, it is remembered as long as the run lasts."""
        try:
            await asyncio.to_thread(write_kept, self._directory, self._kept)
        except BookError as error:
            if self._writes:
                self._tell(f"{error}; until then memory lasts no longer than this run")
            self._writes = False
        else:
            self._writes = True


def _key(trade: TradeRow) -> str:
    return f"{trade.order}:{trade.closed_at}"
