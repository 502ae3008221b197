"""Texts of candles and indicators: the numbers of the typed answer in compact form."""

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from mcp import Client

from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.facades import FacadeRun
from tests.support.trading import AS_PROGRAM


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("book"), warmup_days=3)
    asyncio.run(found.run.go(2 * HOUR + 10 * MINUTE))
    yield found
    found.store.close()


async def asked(sim: FacadeRun, tool: str, arguments: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the lines of the text without the headline, and the typed answer."""
    async with Client(sim.server) as client:
        result = await client.call_tool(tool, {"symbol": "BTCUSDT", **arguments}, meta=AS_PROGRAM)
    assert not result.is_error
    assert result.structured_content is not None
    (block,) = result.content
    assert block.type == "text"
    return block.text.splitlines()[1:], result.structured_content


@pytest.mark.parametrize(("timeframe", "limit"), [("1m", 3), ("1h", 50), ("4h", 24)])
async def test_candles_have_their_day_and_an_open_after_a_jump(sim: FacadeRun, timeframe: str, limit: int) -> None:
    (head, *lines), found = await asked(sim, "market_get_candles", {"timeframe": timeframe, "limit": limit})
    assert head == f"BTCUSDT {timeframe}, opened high low close volume"
    days = [line for line in lines if len(line) == len("2026-01-01")]
    assert all(earlier < later for earlier, later in pairwise(days))
    day, rows = "", []
    for line in lines[: -1 if found["cursor"] else None]:
        if line in days:
            day = line
        else:
            time, *numbers = line.replace(" open ", " ").split(" ")
            rows.append([f"{day}T{time}:00Z", *map(float, numbers)])
    assert [row[0] for row in rows] == [row[0] for row in found["rows"]]
    before = None
    for (_, *cells), (_, first, *typed) in zip(rows, found["rows"], strict=True):
        assert cells[:3] == pytest.approx(typed[:3], rel=5e-5)
        assert cells[3] == pytest.approx(typed[3], rel=5e-4)
        assert cells[4:] == ([] if before == first else [pytest.approx(first, rel=5e-5)])
        before = typed[2]


@pytest.mark.parametrize(
    ("timeframe", "columns"), [(None, ["15m", "1h", "1h*", "4h", "4h*"]), ("1h", ["1h", "1h*"]), ("15m", ["15m"])]
)
async def test_indicator_lines_have_values_of_closed_and_forming_candles(
    sim: FacadeRun, timeframe: str | None, columns: list[str]
) -> None:
    (symbol, head, *lines), found = await asked(sim, "market_get_indicators", {"timeframe": timeframe})
    assert symbol == "BTCUSDT"
    names = re.findall(r"@(\w+\*?)", head)
    assert names == columns
    assert re.findall(r"@(\w+)\(\d\d:\d\d[^)]*\)", head) == [each for each in columns if "*" not in each]
    assert sorted(found["indicators"]) == sorted(columns)
    value_lines = [line for line in lines if not line.startswith("? ")]
    assert len(value_lines) == len(found["indicators"][columns[0]])
    assert (len(lines) > len(value_lines)) == bool(found["unknown"])
    for line in value_lines:
        name, *cells = line.split(" ")
        for each, column in zip(cells, columns, strict=True):
            typed = found["indicators"][column][name]
            assert (each == "?") == (typed is None)
            assert each == "?" or float(each) == pytest.approx(typed, rel=5e-3)
