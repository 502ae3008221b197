"""The checks of `ocw doctor` about the market of a book and its heartbeat."""

import asyncio
import re
import socket
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.control.heartbeat import Heartbeat, read_heartbeat, write_heartbeat
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app import live_market
from ocw_mcp.app.live_market import await_sandbox, why_unreachable
from ocw_mcp.app.settings import Settings
from ocw_mcp.app.views import checks
from ocw_mcp.app.views.market_checks import Check, market_checks
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.time import MINUTE
from tests.adapters.store.books import STAMP, open_book
from tests.support.exchange import served

BOTH = ("BTCUSDT", "ETHUSDT")
NOW_S = 1_767_225_600.0


def identity(kind: str = "binance", symbols: tuple[str, ...] = BOTH, product: Product = Product.UM) -> MarketIdentity:
    return MarketIdentity(kind, product, MINUTE, symbols, "5a0b")


async def checked(address: str, market: MarketIdentity | None) -> dict[str, Check]:
    settings = Settings(binance_loopback=f"http://{address}")
    found = await asyncio.to_thread(lambda: list(market_checks(market, lambda: settings)))
    return {each.name: each for each in found}


@pytest.mark.parametrize("product", list(Product))
async def test_exchange_that_answers_has_its_clock_symbols_and_weight_checked(product: Product) -> None:
    async with served(product=product, speed=10) as address:
        found = await checked(address, identity(product=product))
    assert [(name, each.verdict.value) for name, each in found.items()] == [
        ("exchange", "ok"),
        ("clock offset", "ok"),
        ("streams", "ok"),
        ("symbols", "ok"),
        ("filters", "ok"),
        ("request weight", "ok"),
    ]
    assert found["symbols"].found == "BTCUSDT, ETHUSDT: tradable"
    paths = {Product.UM: ("/market has prices", "/public has prices"), Product.SPOT: ("/ has prices",)}[product]
    assert all(path in found["streams"].found for path in paths)
    assert re.search(r"BTCUSDT tick [0-9.]+ step [0-9.]+ least [0-9.]+, worth [0-9.]+;", found["filters"].found)
    limit = {Product.UM: "2,400", Product.SPOT: "6,000"}[product]
    assert f" of {limit} used in this minute" in found["request weight"].found


async def test_clock_that_is_wrong_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_market, "_PRICE_S", 0.01)
    async with served({"kind": "skew", "at": "0s", "for": "1h", "by": "-3s"}) as address:
        offset = (await checked(address, identity()))["clock offset"]
    assert (offset.verdict, offset.found.partition(" ms ")[2][:10]) == ("problem", "ahead of t")
    assert 2_900 <= int(offset.found.split(" ")[0]) <= 3_100
    assert "NTP" in offset.todo


async def test_symbols_that_are_not_listed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_market, "_PRICE_S", 0.01)
    async with served() as address:
        some = (await checked(address, identity(symbols=("BTCUSDT", "XYZUSDT"))))["symbols"]
        none = (await checked(address, identity(symbols=("XYZUSDT",))))["symbols"]
    assert (some.verdict, some.found) == ("warning", "1 of 2 not tradable: XYZUSDT (not listed)")
    assert none.verdict == "problem"


async def test_banned_address_is_one_problem_with_the_reason() -> None:
    async with served({"kind": "ban", "at": "0s", "for": "1h"}) as address:
        found = await checked(address, identity())
    assert list(found) == ["exchange"]
    assert "/fapi/v1/time was answered 418: wait" in found["exchange"].found


async def test_exchange_that_cannot_be_reached_is_one_problem() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        found = await checked(f"127.0.0.1:{bound.getsockname()[1]}", None)
    assert [(each.name, each.verdict.value) for each in found.values()] == [("exchange", "problem")]
    assert found["exchange"].found.startswith(
        "cannot be reached, so its clock, symbols and request weight are not known"
    )
    assert "\n" not in found["exchange"].found


@pytest.mark.parametrize(("kind", "word"), [("sim", "simulated"), ("tape", "recorded")])
def test_other_markets_say_what_does_not_apply(kind: str, word: str) -> None:
    def load() -> Settings:
        raise AssertionError("no setting is needed")

    (only,) = market_checks(identity(kind), load)
    assert (only.name, only.verdict) == ("market", "ok")
    assert only.found.startswith(f"{word}: no exchange is asked")


def test_doctor_checks_the_market_of_the_book(tmp_path: Path) -> None:
    open_book(tmp_path / "book").close()
    found = {each.name: each for each in checks.examine(tmp_path / "book", None, None, {})}
    assert found["market"].found.startswith("recorded")
    live = msgspec.structs.replace(STAMP, market=identity())
    open_book(tmp_path / "live", stamp=live).close()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        environ = {"BINANCE_LOOPBACK": f"http://127.0.0.1:{bound.getsockname()[1]}"}
        found = {each.name: each for each in checks.examine(tmp_path / "live", None, None, environ)}
        assert "market" not in found
        assert found["exchange"].verdict == "problem"
        # Without a book, the exchange is asked on request only.
        assert "exchange" not in {each.name for each in checks.examine(None, None, None, environ)}
        assert "exchange" in {each.name for each in checks.examine(None, None, None, environ, exchange=True)}
        both = [each.name for each in checks.examine(tmp_path / "book", None, None, environ, exchange=True)]
        assert both[-2:] == ["market", "exchange"]


def beat(directory: Path, age_s: float, pid: int) -> None:
    written = int((NOW_S - age_s) * 1_000)
    write_heartbeat(directory, Heartbeat(written, written, pid, "ACTIVE", None, 1))


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with closing(open_book(tmp_path / "book")):
        pass
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: NOW_S))
    return tmp_path / "book"


def heartbeat(book: Path) -> Any:
    found = {each.name: each for each in checks.examine(book, None, None, {})}["heartbeat"]
    return found.verdict.value, found.found


def test_heartbeat_of_a_running_engine_has_to_be_fresh(book: Path) -> None:
    assert heartbeat(book) == ("ok", "none; only a paced or live engine writes one")
    with StateLock(book):
        pid = int((book / "lock.pid").read_text())
        beat(book, 31, pid)
        assert heartbeat(book) == ("ok", "written 31 s ago")
        beat(book, 100, pid)
        assert heartbeat(book) == ("problem", "last written 100 s ago, though its engine runs")
        beat(book, 100, pid + 1)
        assert heartbeat(book)[0] == "ok"
    beat(book, 3_600, pid)
    assert heartbeat(book) == ("ok", "written at 2025-12-31T23:00:00Z by an engine that has ended")


def test_heartbeat_that_cannot_be_read_counts_as_none(book: Path) -> None:
    beat(book, 1, 7)
    assert read_heartbeat(book) == Heartbeat(
        int(NOW_S * 1_000) - 1_000, int(NOW_S * 1_000) - 1_000, 7, "ACTIVE", None, 1
    )
    (book / "heartbeat.json").write_text('{"at": 1}')
    assert read_heartbeat(book) is None


async def test_existing_book_does_not_wait_for_a_sandbox_that_bans_it() -> None:
    said: list[str] = []
    async with served({"kind": "ban", "at": "0s", "for": "1h"}) as address:
        loopback = f"http://{address}"
        why = await asyncio.to_thread(why_unreachable, Product.UM, loopback)
        await asyncio.to_thread(await_sandbox, loopback, said.append)
    assert (why, said) == ("it answers with status 418", [])


async def test_stream_without_prices_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_market, "_PRICE_S", 0.2)
    async with served({"kind": "mute", "at": "0s", "for": "1h"}) as address:
        found = await checked(address, identity())
    assert found["exchange"].verdict == "ok"
    assert found["streams"].verdict == "problem"
    assert "within 0.2 s" in found["streams"].found
    assert "wss" in found["streams"].todo


@pytest.mark.parametrize(("took_ms", "verdict"), [(1, "ok"), (80, "warning"), (1_500, "problem")])
def test_slow_disk_is_reported(took_ms: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(number // 2 * 10_000 + number % 2 * took_ms for number in range(100))
    monkeypatch.setattr(checks, "LiveClock", lambda: SimpleNamespace(wall_ms=lambda: next(times)))
    before = sorted(tmp_path.iterdir())
    found = {each.name: each for each in checks.examine(tmp_path, None, None, {})}["disk sync"]
    assert found.verdict == verdict
    assert found.expected == "50 ms or less"
    assert sorted(tmp_path.iterdir()) == before


def test_each_check_says_what_is_expected(tmp_path: Path) -> None:
    open_book(tmp_path / "book").close()
    found = checks.examine(tmp_path / "book", None, None, {})
    without = {each.name for each in found if not each.expected}
    assert without == {"engine", "market", *checks.EXTRAS}
