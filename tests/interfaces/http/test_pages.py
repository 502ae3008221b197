"""Pages of the status API: a walk over all pages has each row once, in order, also while new rows arrive."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ocw_mcp.domain.time import iso
from ocw_mcp.runtime.history import History
from tests.support.examples import examples
from tests.support.facades import FacadeRun
from tests.support.http_api import api

ALL = 1 << 30


class Growing:
    """The API over a run that goes on between two requests."""

    def __init__(self, directory: Path) -> None:
        self._runner = asyncio.Runner()
        self.run, self._hours = FacadeRun(directory / "book"), 0
        self.grow(30)
        self._api = api(lambda: self.run.facade, directory)
        self._client: httpx2.AsyncClient = self._runner.run(self._api.__aenter__())

    def grow(self, hours: int) -> None:
        """Let the run go on for so many hours of engine time."""
        self._hours += hours
        self.wait(self.run.go(self._hours))

    def wait(self, work: Awaitable[Any]) -> Any:
        async def done() -> Any:
            return await work

        return self._runner.run(done())

    def get(self, path: str) -> dict[str, Any]:
        answer = self.wait(self._client.get(path))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, path: str, cursor: str) -> httpx2.Response:
        answer: httpx2.Response = self.wait(self._client.get(path, params={"cursor": cursor}))
        return answer

    def close(self) -> None:
        self.wait(self._api.__aexit__(None, None, None))
        self.run.store.close()
        self._runner.close()


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    found = Growing(tmp_path_factory.mktemp("pages"))
    yield found
    found.close()


Truth = Callable[[History], Awaitable[list[Any]]]


async def decided(history: History) -> list[Any]:
    return [(row.wake_id, iso(row.at)) for row in (await history.decided(ALL)).rows]


async def acted(history: History) -> list[Any]:
    found = (await history.decisions(ALL, acted=True)).decisions
    return [(row.wake_id, iso(row.at)) for row in reversed(found)]


async def trades(history: History) -> list[Any]:
    return [(f"order:{row.order}", iso(row.closed_at)) for row in (await history.trades(ALL)).trades]


async def orders(history: History) -> list[Any]:
    return [(row.name, iso(row.at)) for row in (await history.orders(ALL)).rows]


async def orders_of_one_symbol(history: History) -> list[Any]:
    return [(row.name, iso(row.at)) for row in (await history.orders(ALL)).rows if row.symbol == "ETHUSDT"]


async def refusals(history: History) -> list[Any]:
    return [(row.id, iso(row.at)) for row in (await history.refusals(ALL)).rows]


LISTS: dict[str, tuple[str, tuple[str, str], Truth]] = {
    "/decisions?": ("decisions", ("wake", "at"), decided),
    "/decisions?acted=true&": ("decisions", ("wake", "at"), acted),
    "/trades?": ("trades", ("id", "closed_at"), trades),
    "/orders?": ("orders", ("id", "at"), orders),
    "/orders?symbol=ethusdt&": ("orders", ("id", "at"), orders_of_one_symbol),
    "/refusals?": ("refusals", ("id", "at"), refusals),
}
"""Newest first: by route, the field of the rows, the fields that identify a row, and all rows of the store."""


@pytest.mark.parametrize("route", LISTS)
@examples(2, slow=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(st.integers(9, 100), min_size=1, max_size=4), hours=st.integers(0, 1))
def test_walk_of_a_growing_list_has_each_row_once(growing: Growing, route: str, limits: list[int], hours: int) -> None:
    field, (identity, time), truth = LISTS[route]
    expected = growing.wait(truth(growing.run.facade.history))
    walked, cursor, page = [], "", 0
    while True:
        found = growing.get(f"{route}limit={limits[page % len(limits)]}{cursor}")
        assert len(found[field]) <= limits[page % len(limits)]
        walked += [(row[identity], row[time]) for row in found[field]]
        if found["cursor"] is None:
            break
        cursor, page = f"&cursor={found['cursor']}", page + 1
        if page == 1:
            growing.grow(hours)
    assert walked == expected
    assert len(walked) > 9


CURVES = {
    "/prices/BTCUSDT?timeframe=15m&": "rows",
    "/equity?timeframe=1h&": "points",
    "/equity?timeframe=1d&": "points",
}
"""Oldest first within a page, and the pages newest first."""


@pytest.mark.parametrize("route", CURVES)
@examples(2, slow=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=st.lists(st.integers(1, 60), min_size=1, max_size=4), hours=st.integers(0, 1))
def test_walk_of_a_growing_curve_has_each_point_once(
    growing: Growing, route: str, limits: list[int], hours: int
) -> None:
    field = CURVES[route]
    expected = growing.get(f"{route}limit=500")
    assert expected["cursor"] is None
    walked: list[Any] = []
    cursor, page = "", 0
    while True:
        found = growing.get(f"{route}limit={limits[page % len(limits)]}{cursor}")
        walked = found[field] + walked
        if found["cursor"] is None:
            break
        cursor, page = f"&cursor={found['cursor']}", page + 1
        if page == 1:
            growing.grow(hours)
    assert walked == expected[field]


def test_new_rows_are_on_the_first_page_only(growing: Growing) -> None:
    before = growing.get("/decisions?limit=1")
    growing.grow(2)
    after = growing.get("/decisions?limit=1")
    assert after["decisions"][0]["wake"] > before["decisions"][0]["wake"]
    older = growing.get(f"/decisions?limit=1&cursor={before['cursor']}")
    assert older["decisions"][0]["wake"] == before["decisions"][0]["wake"] - 1


def test_cursor_of_another_list_is_refused_in_one_sentence(growing: Growing) -> None:
    given_by_trades = growing.get("/trades?limit=1")["cursor"]
    for path in ("/orders", "/refusals", "/decisions", "/equity", "/prices/BTCUSDT"):
        for cursor in (given_by_trades, "", "newest", "orders:-1", "orders:1e3", "orders:" + "9" * 19, "a" * 41):
            answer = growing.ask(path, cursor)
            assert answer.status_code == 400, (path, cursor)
            assert answer.json()["error"].startswith(("BAD_CURSOR: ", "BAD_ARGUMENTS: cursor "))
