"""What a model reads of candles and indicators: the numbers of the typed answer, in fewer words."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from mcp import Client

from ocw_mcp.domain.time import HOUR, MINUTE
from tests.support.facades import Looked


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    found = Looked(tmp_path_factory.mktemp("book"), warmup_days=3)
    asyncio.run(found.run.go(2 * HOUR + 10 * MINUTE))
    yield found
    found.store.close()


async def asked(looked: Looked, tool: str, arguments: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The lines of the text, without the headline, and the typed answer."""
    async with Client(looked.server) as client:
        result = await client.call_tool(tool, {"symbol": "BTCUSDT", **arguments})
    assert not result.is_error
    assert result.structured_content is not None
    (block,) = result.content
    assert block.type == "text"
    return block.text.splitlines()[1:], result.structured_content


@pytest.mark.parametrize(("timeframe", "limit"), [("1m", 3), ("1h", 50), ("4h", 24)])
async def test_candles_are_told_under_the_day_they_opened_in(looked: Looked, timeframe: str, limit: int) -> None:
    (head, *lines), found = await asked(looked, "market_get_candles", {"timeframe": timeframe, "limit": limit})
    assert head == f"BTCUSDT {timeframe}, opened open high low close volume"
    days = [line for line in lines if len(line) == len("2026-01-01")]
    assert all(earlier < later for earlier, later in pairwise(days))
    day, rows = "", []
    for line in lines[: -1 if found["cursor"] else None]:
        if line in days:
            day = line
        else:
            time, *numbers = line.split(" ")
            rows.append([f"{day}T{time}:00Z", *map(float, numbers)])
    assert [row[0] for row in rows] == [row[0] for row in found["rows"]]
    for told, typed in zip(rows, found["rows"], strict=True):
        assert told[1:5] == pytest.approx(typed[1:5], rel=1e-6)
        assert told[5] == pytest.approx(typed[5], rel=1e-4)


@pytest.mark.parametrize(
    ("timeframe", "columns"), [(None, ["15m", "1h", "4h", "1h*", "4h*"]), ("1h", ["1h", "1h*"]), ("15m", ["15m"])]
)
async def test_indicators_have_a_line_each_with_what_the_forming_candles_would_make_them(
    looked: Looked, timeframe: str | None, columns: list[str]
) -> None:
    (head, *lines), found = await asked(looked, "market_get_indicators", {"timeframe": timeframe})
    assert head.split(" ") == ["BTCUSDT", *columns]
    assert list(found["indicators"]) == columns
    told_of = [line for line in lines if not line.startswith("? ")]
    assert len(told_of) == len(found["indicators"][columns[0]])
    assert len(lines) - len(told_of) == len(found["unknown"])
    for line in told_of:
        name, *told = line.split(" ")
        for each, column in zip(told, columns, strict=True):
            typed = found["indicators"][column][name]
            assert (each == "?") == (typed is None)
            assert each == "?" or float(each) == pytest.approx(typed, rel=1e-4)
