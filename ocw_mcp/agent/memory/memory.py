"""Memory at work: what it tells at a wake, and how entries are written between wakes.

Everything hangs on engine time, so that a run that is done again remembers the same at the same wake. What is closed or
over is found at a wake and written on in the background, one batch at a time; its entries are known `KNOWN_AFTER_MS`
after that wake, however quickly they were written, and a wake after that waits for them.
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
from ocw_mcp.agent.memory.keeping import Kept, read_kept, write_kept
from ocw_mcp.agent.memory.lessons import ALIKE, lessons
from ocw_mcp.agent.memory.recall import Room, lesson_kind, recall, told
from ocw_mcp.agent.memory.situations import likeness, situations
from ocw_mcp.agent.memory.writing import Draft, Writer, Written
from ocw_mcp.domain.errors import BookError, OcwError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, MINUTE, utc_day

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
        self._room = room or Room()
        self._tell = tell
        self._kept, problem = read_kept(directory, book) if on else (Kept(book), "")
        if problem:
            tell(problem)
        self._batch: asyncio.Task[None] | None = None
        self._writes = True

    async def at_wake(self, snapshot: Snapshot, left_usd: Decimal) -> str:
        """What goes into the context of a wake; and begin to write on what is over since the last one.

        `left_usd` is what may be spent. Nothing is raised but a cancellation, which leaves the writing alone.
        """
        at = snapshot.at
        if not self._on:
            return ""
        if at > self._kept.busy_until:
            await self._settled()
            await self._begin(at, left_usd)
        return recall(self._kept.diary, at, situations(snapshot, self._rules), self._room)

    def spent_usd(self, period: str) -> Decimal:
        """What entries have cost in a UTC day, `2026-03-09`, or a month, `2026-03`; a call under way at its worst."""
        return sum((usd for day, usd in self._kept.spent.items() if day.startswith(period)), ZERO)

    async def close(self) -> None:
        """Give up what is being written. It is asked for again by a run that goes on."""
        if self._batch is not None:
            self._batch.cancel()
            await self._settled()

    async def _settled(self) -> None:
        """Wait for the batch under way. Whoever waits may give up; the batch goes on."""
        if self._batch is not None:
            await asyncio.wait({self._batch})
            self._batch = None

    async def _begin(self, at: int, left_usd: Decimal) -> None:
        """Look for what nobody wrote on, known before `at`."""
        writer = self._writer
        if writer is None:
            return
        try:
            page = await self._past.trades(LOOKED_AT, since=at - DAY, until=at)
        except OcwError as error:
            log.warning("nothing is written into memory for now: %s", error)
            return
        trades = [trade for trade in reversed(page.trades) if trade.order and _key(trade) not in self._kept.done]
        yesterday = utc_day(at - DAY)
        # A digest comes after the reflections of its day.
        day = yesterday if len(trades) <= BATCH and yesterday not in self._kept.done else None
        if trades or day is not None:
            self._kept = msgspec.structs.replace(self._kept, busy_until=at + KNOWN_AFTER_MS)
            batch = self._write(writer, trades[:BATCH], day, at, left_usd)
            self._batch = asyncio.create_task(batch, name="memory")

    async def _write(self, writer: Writer, trades: list[TradeRow], day: str | None, at: int, left_usd: Decimal) -> None:
        """One entry after another, until one fails: the rest waits for a later wake."""
        try:
            if not await asyncio.to_thread(writer.priced, at):
                log.warning("nothing is written into memory: nobody tells what %s costs", writer.terms.model)
                return
            left = min(left_usd, writer.terms.usd_per_day - self._kept.spent.get(utc_day(at), ZERO))
            for trade in trades:
                cost = await self._reflect(writer, trade, at, left)
                if cost is None:
                    return
                left -= cost
            if day is not None:
                await self._digest(writer, day, at, left)
        except OcwError as error:
            log.warning("an entry is not written into memory: %s", error)
        except Exception as error:
            log.error("writing into memory failed inside", exc_info=error)

    async def _reflect(self, writer: Writer, trade: TradeRow, at: int, left: Decimal) -> Decimal | None:
        """Write on a trade; what it cost, or None where nothing came of it."""
        facts = await trade_facts(self._past, trade, self._rules)
        draft = writer.reflection(facts, self._earlier(facts, at), at)
        written = await self._paid(writer, draft, at, left)
        if written is None:
            return None
        kept = self._kept.having_done(_key(trade))
        if written.trouble is None:
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
        await self._save()
        return written.cost_usd if written.trouble is None else None

    async def _digest(self, writer: Writer, day: str, at: int, left: Decimal) -> None:
        facts = await day_facts(self._past, day)
        if facts is None:
            self._kept = self._kept.having_done(day)
            return
        of_day = [each for each in self._kept.diary.reflections if utc_day(each.closed_at) == day]
        lines = [told(f"on order {each.order}", each.origin, each.text, LONGEST_REFLECTION) for each in of_day[-BATCH:]]
        written = await self._paid(writer, writer.digest(facts, lines, at), at, left)
        if written is None:
            return
        kept = self._kept.having_done(day)
        if written.trouble is None:
            entry = Digest(self._origin(writer, at), day, written.text)
            kept = msgspec.structs.replace(kept, diary=kept.diary.digested(entry))
        self._kept = kept
        await self._save()

    async def _paid(self, writer: Writer, draft: Draft, at: int, left: Decimal) -> Written | None:
        """Have a draft written, its worst case reserved meanwhile; None where that is more than is left."""
        day, worst = utc_day(at), draft.worst_usd
        if worst > left:
            log.info("an entry is not written into memory: it costs %s USD at most, and %s is left", worst, left)
            return None
        self._kept = self._kept.paying(day, worst)
        await self._save()
        written = await writer.write(draft, at)
        self._kept = self._kept.paying(day, written.cost_usd - worst)
        if written.trouble is not None:
            log.warning("an entry is not written into memory: %s", written.trouble)
        return written

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
