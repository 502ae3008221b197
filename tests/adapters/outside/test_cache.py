"""A source with its last report: cached, time-boxed, and stale rather than lost."""

import asyncio
from pathlib import Path

import pytest

from ocw_mcp.adapters.outside.cache import OLDEST, RETRY_MS, CachedSource
from ocw_mcp.adapters.outside.fred import Fred
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.protocols import OutsideFound
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown

READING = MacroReading(Quadrant.REFLATION, 0.5, 0.3, 5)
ITEMS = (ContextItem("headlines", 1, None, text="Up"),)


class Source:
    """A source of a fixed report, which fails or hangs on request."""

    name = "macro"
    every_ms = 6 * HOUR

    def __init__(self, found: OutsideFound = READING) -> None:
        self.found, self.reads, self.fails, self.hangs = found, 0, False, False

    async def fetch(self, now: int) -> OutsideFound:
        self.reads += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise SourceUnavailable("example.org answers with status 500")
        return self.found


class Machine:
    """The time of a machine (ms)."""

    def __init__(self) -> None:
        self.now = 1_000 * HOUR

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def test_report_is_cached_for_six_hours_also_over_a_restart(
    source: Source, machine: Machine, tmp_path: Path
) -> None:
    assert await CachedSource(source, tmp_path / "outside", machine).read(0) == (READING, 6 * HOUR)
    machine.now += 6 * HOUR - 1
    assert await CachedSource(source, tmp_path / "outside", machine).read(0) == (READING, 1)
    assert source.reads == 1
    machine.now += 1
    assert await CachedSource(source, tmp_path / "outside", machine).read(0) == (READING, 6 * HOUR)
    assert source.reads == 2
    (kept,) = (tmp_path / "outside").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[1]", b'{"source":"headlines","at":3600000000,"found":[]}', b"\xff" * 9]
)
async def test_damaged_cache_is_read_again(source: Source, machine: Machine, tmp_path: Path, damage: bytes) -> None:
    await CachedSource(source, tmp_path, machine).read(0)
    (tmp_path / "macro.json").write_bytes(damage)
    assert await CachedSource(source, tmp_path, machine).read(0) == (READING, 6 * HOUR)
    assert source.reads == 2
    assert await CachedSource(source, tmp_path, machine).read(0) == (READING, 6 * HOUR)
    assert source.reads == 2


async def test_report_from_the_future_is_read_again(source: Source, machine: Machine, tmp_path: Path) -> None:
    await CachedSource(source, tmp_path, machine).read(0)
    machine.now -= HOUR
    await CachedSource(source, tmp_path, machine).read(0)
    assert source.reads == 2


async def test_last_report_of_a_dead_source_is_stale(source: Source, machine: Machine, tmp_path: Path) -> None:
    cached = CachedSource(source, tmp_path, machine)
    await cached.read(0)
    source.fails = True
    machine.now += 7 * HOUR
    found, again = await cached.read(0)
    assert isinstance(found, MacroReading)
    assert (found.quadrant, found.stale, again) == (Quadrant.REFLATION, True, RETRY_MS)
    assert cached.problem == "example.org answers with status 500"
    machine.now += OLDEST
    assert await cached.read(0) == ((), RETRY_MS)
    source.fails = False
    assert await cached.read(0) == (READING, 6 * HOUR)
    assert cached.problem == ""


async def test_items_of_a_dead_source_are_stale_and_an_unknown_one_stays_unknown(machine: Machine) -> None:
    for found, stale in ((ITEMS, True), (Unknown("UNRATE has too few values"), None)):
        source = Source(found)
        cached = CachedSource(source, None, machine)
        await cached.read(0)
        source.fails = True
        machine.now += 7 * HOUR
        last, _ = await cached.read(0)
        assert last == found if stale is None else [each.stale for each in last or ()] == [True]  # type: ignore[union-attr]


async def test_source_that_hangs_is_given_up(source: Source, machine: Machine) -> None:
    source.hangs = True
    cached = CachedSource(source, None, machine, seconds=0.01)
    assert await cached.read(0) == ((), RETRY_MS)
    assert cached.problem == "macro did not answer within 0.01 s"


async def test_macro_regime_is_unknown_if_fred_never_answered(source: Source, machine: Machine) -> None:
    source.fails = True
    found, _ = await CachedSource(source, None, machine, unread=Fred.unread).read(0)
    assert found == Unknown("FRED cannot be read: example.org answers with status 500")


async def test_full_disk_keeps_the_report_in_memory(source: Source, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("a file in place of the directory")
    cached = CachedSource(source, tmp_path / "outside", machine)
    assert await cached.read(0) == (READING, 6 * HOUR)
    assert cached.problem.startswith("the report of macro is not kept")
    await cached.read(0)
    assert source.reads == 1
