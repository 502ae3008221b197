"""Records the inputs of a live book, and replays a recording."""

import asyncio
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.archive.exporting import ArchiveWriter, Exported
from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.recording_files import FORMAT, RecordingIdentity, RecordingReader, RecordingWriter
from ocw_mcp.adapters.store.recording_queue import recorded_entries
from ocw_mcp.adapters.venues.silent import SilentVenue
from ocw_mcp.app.compose import paper_venue
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.market import Frame, Product
from ocw_mcp.domain.protocols import ExchangeVenue, SimulatedVenue
from ocw_mcp.domain.recordings import Recorded, RecordedStart
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import iso, span_name
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.render.text import HASH_SHOWN
from ocw_mcp.runtime.recorded_book import BookReplay, ReplayedBook
from ocw_mcp.runtime.recorder import Listener

BOOK: Final = "book"
"""The directory of the book within the directory of its recording, if the book has no other one."""
CALLS: Final = "claude.jsonl"
"""The file of Claude's calls in the directory of a recording."""


class Replay(NamedTuple):
    """A replay of a recording: what it found, the text about an incomplete end, and the book at the end."""

    found: ReplayedBook
    torn: str
    equity: Decimal | None
    positions: dict[str, Decimal]


def record(directory: Path, store: SqliteStore, stamp: BookStamp, config: EngineConfig, now: int) -> None:
    """Let a store record its inputs in a directory from `now` (ms) on; closing the store ends the recording.

    Raises BookError if the directory has another book's recording, or cannot be used.
    """
    writer = RecordingWriter(directory, RecordingIdentity(FORMAT, store.book, store.created_at, now))
    start = start_of(stamp, config, store.book)
    try:
        store.record(writer, start)
    except BaseException:
        writer.close()
        raise


def start_of(stamp: BookStamp, config: EngineConfig, book: str, version: str = __version__) -> RecordedStart:
    """Return the start of a process in a recording: the book, and the options with which it runs."""
    return RecordedStart(
        version=version,
        book=book,
        mode=stamp.mode,
        venue=stamp.venue,
        account=stamp.account,
        market=stamp.market,
        agent=config.agent,
        policies=config.policies.model_dump_json(),
        strict=None if config.strict is None else config.strict.model_dump_json(),
        policy_hash=config.policy_hash,
        prompts_hash=config.prompts_hash,
        start_equity=config.start_equity,
        fallback=config.fallback,
    )


def replay(directory: Path, book: Path | None = None, listener: Listener | None = None) -> Replay:
    """Replay a recording. `listener` gets each event. Raises BookError if this version cannot.

    `book` is the state directory of its book, if that is not within the recording: after a crash, the last entries are
    there.
    """
    reader = RecordingReader(directory)

    def read() -> Iterable[Recorded]:
        return recorded_entries(reader, book or directory / BOOK)

    replaying = BookReplay(_venue, __version__, listener)
    found = asyncio.run(replaying.run(read))
    if not found.starts:
        raise BookError(f"the recording in {directory} has no entry; expected the inputs of a book; record again")
    ledger = None if replaying.engine is None else replaying.engine.account.ledger
    held = {} if ledger is None else {symbol: each.quantity for symbol, each in ledger.positions.items()}
    return Replay(found, reader.torn, None if ledger is None else ledger.equity(), held)


def export(directory: Path, to: Path, book: Path | None = None) -> Exported:
    """Write the market data of a recording in the layout of the exchange's archive. Raises BookError and FetchError.

    `book` is as in `replay`.
    """
    product: Product | None = None
    reader, journal = RecordingReader(directory), book or directory / BOOK
    for _, _, entry in recorded_entries(reader, journal):
        if isinstance(entry, RecordedStart):
            product = entry.market.product
            break
    if product is None:
        raise BookError(f"the recording in {directory} has no entry; expected the inputs of a book; record again")
    frames = (entry for _, _, entry in recorded_entries(reader, journal) if isinstance(entry, Frame))
    exported = ArchiveWriter(to, product).write(frames)
    if reader.torn:
        exported.missing.append(reader.torn)
    return exported


def replay_lines(replayed: Replay) -> Iterator[str]:
    """Yield the lines about a replay: what was recorded, what was replayed, and whether they are the same."""
    found, torn, equity, positions = replayed
    first = found.starts[0]
    market = first.market
    yield (
        f"book {found.book} ({first.mode}) on {market.kind} {market.product} {', '.join(market.symbols)} in candles of "
        f"{span_name(market.interval)}, {len(found.starts)} start{'s' * (len(found.starts) != 1)}"
    )
    yield from dict.fromkeys(start_text(start) for start in found.starts)
    inputs = sum(found.inputs.values())
    when = "" if found.first_at is None or found.last_at is None else f", {iso(found.first_at)} to {iso(found.last_at)}"
    yield f"{inputs:,} inputs{when}: {_counts(found.inputs)}"
    yield f"{sum(found.events.values()):,} events: {_counts(found.events)}"
    if equity is not None:
        held = ", ".join(f"{symbol} {quantity:f}" for symbol, quantity in positions.items()) or "none"
        yield f"equity {equity:,.2f}, positions: {held}"
    for gap in found.gaps:
        yield (
            f"gap at {iso(gap.at)}: the book went from event {gap.seq_before:,} to event {gap.seq_after:,} without "
            "these inputs, because it ran without the recorder or left inputs out; the replay goes on from there"
        )
    if torn:
        yield f"incomplete end: {torn}"
    yield from _verdict(found)


def start_text(start: RecordedStart) -> str:
    """Return one line on the options of a recorded process."""
    return (
        f"recorded by ocw {start.version} with agent {start.agent}, policies {start.policy_hash[:HASH_SHOWN]}, "
        f"prompts {start.prompts_hash[:HASH_SHOWN]}"
    )


def _verdict(found: ReplayedBook) -> Iterator[str]:
    if found.same and (more := found.seq - found.recorded_seq):
        yield (
            f"fingerprint {found.recorded_fingerprint} at event {found.recorded_seq:,}: the same as recorded; the last "
            f"input leads to {more:,} more, which the book had not journaled when it died: {found.fingerprint}"
        )
        return
    if found.same:
        yield f"fingerprint {found.fingerprint}: the same as recorded"
        return
    versions = sorted({start.version for start in found.starts})
    why = (
        f"this is ocw {__version__}, and it was recorded by ocw {', '.join(versions)}; replay it with that version"
        if versions != [__version__]
        else "the version is the same, so the recording or the program was changed; compare both with their originals"
    )
    first = found.difference
    assert first is not None
    made = f": {', '.join(first.replayed)}" if first.replayed else ""
    yield (
        f"differs first at {iso(first.at)} (entry {first.number:,}): after event {first.after_seq:,}, which is equal, "
        f"the book came to event {first.recorded_seq:,}, and the replay to {first.replayed_seq:,} or others{made}"
    )
    yield why


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda each: -each[1])) or "none"


def _venue(start: RecordedStart) -> SimulatedVenue | ExchangeVenue:
    """Return the venue of a replay: nothing is sent to an exchange, whose reports are in the recording."""
    if start.mode is Mode.PAPER:
        return paper_venue(start.market.product, start.market.interval, live=True)
    return SilentVenue(start.market.product)
