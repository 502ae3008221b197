"""Blocks of rows that are parsed all at once give the same candles and faults as rows that are read one by one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.feeds.tape import TapeFeed, reading, whole_blocks
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.time import MINUTE
from tests.support.examples import examples

T0 = 1_773_014_400_000  # 2026-03-09T00:00Z
ROWS = 300
CELLS = (
    *("", " ", "0", "-0.0", "-1", "1e400", "1e-3", "nan", "null", "true", '"', "[1,2]", "1],[2", "1_0", "+1", "01"),
    *("100.25", "1e9", "99999999999999999999", "100\r", "1.0", "  7", "1773014400000"),
)
"""Texts that may take the place of a cell."""


def rows_of(width: int, unit: int) -> list[list[str]]:
    """Return the cells of consecutive valid candles; `unit` is the number of their time units in a millisecond."""
    return [list(cells) for cells in valid_rows(width, unit)]


@cache
def valid_rows(width: int, unit: int) -> list[list[str]]:
    rows, price = [], 100.0
    for place in range(ROWS):
        close = round(price * (1 + ((place * 7_919) % 13 - 6) / 10_000), 4)
        opens_at = (T0 + place * MINUTE) * unit
        cells = [opens_at, price, max(price, close) + 0.25, min(price, close) - 0.5, close, place % 9 + 0.125]
        cells += [opens_at + MINUTE * unit - 1, 700.5, 3, (place % 9) / 2, 200.25, 0]
        rows.append([str(cell) for cell in cells[:width]])
        price = close
    return rows


def read(folder: Path, after: int | None) -> tuple[list[Frame], Any]:
    """Return the frames of a tape, and what it reports; or its fault."""
    feed = TapeFeed.open(folder)

    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    try:
        # A tape never waits, so that no event loop is needed.
        collect().send(None)
    except StopIteration as done:
        frames = done.value
    except TapeError as fault:
        return [], str(fault)
    return frames, (feed.left_out, feed.discontinuities, feed.counters.duplicates, feed.counters.taken)


@examples(20, slow=120)
@given(
    width=st.sampled_from([6, 12]),
    unit=st.sampled_from([1, 1_000]),
    block=st.sampled_from([600, 2_500, 1 << 16]),
    after=st.sampled_from([None, T0 + 77 * MINUTE, T0 + (ROWS - 3) * MINUTE]),
    damage=st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, 11), st.sampled_from(CELLS)), max_size=4),
    gaps=st.lists(st.integers(1, ROWS - 1), max_size=2),
    repeats=st.lists(st.integers(0, ROWS - 1), max_size=1),
)
def test_blocks_give_the_candles_and_faults_of_single_rows(
    width: int,
    unit: int,
    block: int,
    after: int | None,
    damage: list[tuple[int, int, str]],
    gaps: list[int],
    repeats: list[int],
) -> None:
    rows = rows_of(width, unit)
    for place, column, cell in damage:
        rows[place][column % width] = cell
    rows = [row for place, row in enumerate(rows) for _ in range((place not in gaps) * (1 + (place in repeats)))]
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        (Path(name) / "ETHUSDT-1m-2026-03-09.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        patch.setattr(reading, "BLOCK", block)
        at_once = read(Path(name), after)
        patch.setattr(whole_blocks, "FEWEST", ROWS + 1)
        assert at_once == read(Path(name), after)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("width", [6, 12])
def test_damaged_cell_of_any_column_is_read_as_in_single_rows(cell: str, width: int, tmp_path: Path) -> None:
    for column in range(width):
        rows = rows_of(width, 1)[:120]
        rows[100][column] = cell
        (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "BLOCK", 3_000)
            at_once = read(tmp_path, None)
            patch.setattr(whole_blocks, "FEWEST", ROWS + 1)
            assert at_once == read(tmp_path, None)


def test_blocks_of_valid_rows_are_parsed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks but the first, which has no price before it."""
    parsed: list[int] = []

    def counted(whole_block: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            candles = whole_block(*arguments)
            parsed.append(len(candles or ()))
            return candles

        return count

    monkeypatch.setattr(reading, "BLOCK", 2_500)
    monkeypatch.setattr("ocw_mcp.adapters.feeds.tape.candles.whole_block", counted(whole_blocks.whole_block))
    (tmp_path / "ETHUSDT-1m-2026-03-09.csv").write_text("".join(",".join(row) + "\n" for row in rows_of(6, 1)))
    frames, _ = read(tmp_path, None)
    assert sum(len(frame.closed) for frame in frames) == ROWS
    assert sum(parsed) > ROWS * 0.7
