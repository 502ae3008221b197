"""`Attachment`: it returns the address of a running engine, or starts an engine."""

import asyncio
from pathlib import Path

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control.address import Address, write_address
from ocw_mcp.adapters.control.keys import Connection, HostClass, Kept, keep_key
from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app import attach
from ocw_mcp.app.attach import LIVE, LOG, SIMULATED, Attachment, Child, agent_of, market_of
from ocw_mcp.app.cli.clients import alone
from ocw_mcp.app.settings import SECRET_KEYS
from ocw_mcp.domain.errors import AttachError, SettingsError
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.interfaces.mcp.bridge import Bridge
from ocw_mcp.interfaces.serving import listen
from tests.support.exchange import served
from tests.support.shell import Ocw

HERE = Address("http://127.0.0.1:1", "ocw_here", 1)
THERE = Address("http://127.0.0.1:2", "ocw_there", 2)


class Engine:
    """A process that was started, and may have ended."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code


def never(directory: Path) -> Child:
    raise AssertionError("no engine is to be started")


async def test_attachment_uses_a_running_engine_with_an_address(tmp_path: Path) -> None:
    write_address(tmp_path, HERE)
    assert await Attachment(tmp_path, never, market="sim")() == HERE


async def test_attachment_starts_an_engine_and_waits_if_none_runs(tmp_path: Path) -> None:
    started: list[Path] = []

    def spawn(directory: Path) -> Child:
        started.append(directory)
        write_address(directory, THERE)
        return Engine()

    attachment = Attachment(tmp_path, spawn, market="sim")
    assert await attachment() == THERE
    assert await attachment() == THERE
    assert started == [tmp_path]


async def test_attachment_never_returns_an_address_that_did_not_answer(tmp_path: Path) -> None:
    def spawn(directory: Path) -> Child:
        write_address(directory, THERE)
        return Engine()

    write_address(tmp_path, HERE)
    attachment = Attachment(tmp_path, spawn, market="sim")
    assert await attachment() == HERE
    assert await attachment(silent=HERE) == THERE


async def test_error_quotes_the_last_log_line_of_an_engine_that_failed(tmp_path: Path) -> None:
    def spawn(directory: Path) -> Child:
        (directory / LOG).write_text("ocw: the book was made for another market\n\n")
        return Engine(2)

    with pytest.raises(AttachError, match="ended: ocw: the book was made for another market"):
        await Attachment(tmp_path, spawn, market="sim")()


async def test_engine_without_an_address_is_reported_as_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "UNSERVED_S", 0.05)
    with StateLock(tmp_path), pytest.raises(AttachError, match="is not served; a person must start it with --serve"):
        await Attachment(tmp_path, never, market="sim")()


async def test_engine_that_is_not_ready_in_time_gives_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "PATIENCE_S", 0.1)
    with pytest.raises(AttachError, match="was not ready within"):
        await Attachment(tmp_path, lambda directory: Engine(), market="sim")()


def test_started_paper_engine_gets_no_keys_or_tokens() -> None:
    assert not [name for name in attach.KEPT if "KEY" in name or "TOKEN" in name or name in SECRET_KEYS]


@pytest.mark.parametrize("ran", [{"agent": "none"}, {"policy": "conservative"}])
def test_client_does_not_start_a_book_that_ran_with_other_options(
    tmp_path: Path, ran: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book"
    options = [part for name, value in ran.items() for part in (f"--{name}", value)]
    assert (
        Ocw(monkeypatch, capsys)(
            "run", "--market", "sim", "--interval", "15m", "--for", "1h", "--state", book, *options
        ).code
        == 0
    )
    with pytest.raises(AttachError, match="a person must start the engine, with the old options"):
        asyncio.run(Attachment(book, never)())


def test_client_starts_a_book_that_ran_with_the_same_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book"
    assert (
        Ocw(monkeypatch, capsys)("run", "--market", "sim", "--interval", "15m", "--for", "1h", "--state", book).code
        == 0
    )

    def spawn(directory: Path) -> Child:
        write_address(directory, THERE)
        return Engine()

    assert asyncio.run(Attachment(book, spawn)()) == THERE


async def test_client_starts_an_engine_once_a_stopping_one_frees_its_lock(tmp_path: Path) -> None:
    """The stopping engine has no address and still holds the lock; the call waits for the lock."""
    lock, started = StateLock(tmp_path), []

    def spawn(directory: Path) -> Child:
        started.append(directory)
        write_address(directory, THERE)
        return Engine()

    lock.__enter__()
    calling = asyncio.ensure_future(Attachment(tmp_path, spawn, market="sim")(silent=HERE))
    await asyncio.wait({calling}, timeout=0.15)
    assert not started
    lock.__exit__(None, None, None)
    assert await asyncio.wait_for(calling, 5) == THERE
    assert started == [tmp_path]


async def test_engine_start_is_retried_once_another_process_frees_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, children = StateLock(tmp_path), [Engine(2), Engine()]

    def spawn(directory: Path) -> Child:
        if len(children) == 2:
            lock.__enter__()
        else:
            write_address(directory, THERE)
        return children.pop(0)

    monkeypatch.setattr(attach, "UNSERVED_S", 0.05)
    calling = asyncio.ensure_future(Attachment(tmp_path, spawn, market="sim")())
    await asyncio.wait({calling}, timeout=0.25)
    assert (len(children), calling.done()) == (1, False)
    lock.__exit__(None, None, None)
    assert await asyncio.wait_for(calling, 5) == THERE
    assert not children


async def test_engine_that_stopped_serving_but_keeps_its_lock_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "STOPPING_S", 0.05)
    with StateLock(tmp_path), pytest.raises(AttachError, match="stopped serving, and has not ended"):
        await Attachment(tmp_path, never, market="sim")(silent=HERE)


def test_attachment_refuses_every_agent_but_attached_none_and_rules(tmp_path: Path) -> None:
    for name in ("attached", "none", "rules"):
        Attachment(tmp_path, never, agent=name)
    for name in ("claude", "reckless", ""):
        with pytest.raises(SettingsError, match="expected one of attached, none, rules"):
            Attachment(tmp_path, never, agent=name)


def test_client_cannot_change_the_agent_of_a_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book"
    assert (
        Ocw(monkeypatch, capsys)("run", "--market", "sim", "--interval", "15m", "--for", "1h", "--state", book).code
        == 0
    )
    with pytest.raises(AttachError, match=r"ran with agent rules .*change that to agent none.*--agent rules"):
        asyncio.run(Attachment(book, never, agent="none")())


def test_ocw_mcp_passes_agent_and_market_to_the_engine_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[str, str]] = []
    monkeypatch.setattr(Bridge, "serve", _nothing)
    monkeypatch.setattr(attach, "Attachment", lambda directory, agent, market: started.append((agent, market)))
    for more in ([], ["--agent", "rules", "--market", "sim"], ["--agent", "attached", "--market", "binance"]):
        with pytest.raises(SystemExit):
            alone(["--state", str(tmp_path), *more])
    assert started == [(None, "auto"), ("rules", "sim"), ("attached", "binance")]


def test_new_book_has_no_agent_unless_the_client_names_one(tmp_path: Path) -> None:
    assert [agent_of(tmp_path / "book", wanted) for wanted in (None, "rules")] == ["none", "rules"]


@pytest.mark.parametrize("agent", ["rules", "none", "attached"])
def test_book_keeps_the_agent_of_its_last_run(
    tmp_path: Path, agent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book, started = tmp_path / "book", list[str]()
    ran = Ocw(monkeypatch, capsys)("run", "--market", "sim", "--for", "1m", "--agent", agent, "--state", book)
    assert ran.code == 0, ran.err

    def spawn(directory: Path, agent: str, market: tuple[str, ...]) -> Child:
        started.append(agent)
        write_address(directory, THERE)
        return Engine()

    monkeypatch.setattr(attach, "spawn_engine", spawn)
    assert asyncio.run(Attachment(book, agent=None)()) == THERE
    assert started == [agent]


async def _nothing(bridge: Bridge) -> None:
    """Serve no client."""


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an address of this machine at which nothing answers, set as that of the exchange."""
    with listen("127.0.0.1", 0) as bound:
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
    monkeypatch.setenv("BINANCE_LOOPBACK", address)
    return address


async def test_new_book_gets_the_live_market_if_the_exchange_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served() as at:
        monkeypatch.setenv("BINANCE_LOOPBACK", f"http://{at}")
        assert await market_of(tmp_path / "book") == LIVE
    assert not (tmp_path / "book").exists()


@pytest.mark.parametrize("market", ["auto", "binance"])
async def test_no_book_is_created_while_the_exchange_is_unreachable(
    tmp_path: Path, closed_port: str, market: str
) -> None:
    with pytest.raises(
        AttachError, match=r"^Binance cannot be reached \(.*\), .*ocw mcp with --market sim$"
    ) as refused:
        await Attachment(tmp_path / "book", never, market=market)()
    assert refused.value.code == "NO_MARKET"
    assert not (tmp_path / "book").exists()


async def test_simulated_market_is_chosen_without_asking_the_exchange(tmp_path: Path, closed_port: str) -> None:
    assert await market_of(tmp_path, "sim") == SIMULATED


def live_book(directory: Path, kind: str = "binance", mode: Mode = Mode.PAPER) -> None:
    """Create the empty book of a live market of one symbol."""
    market = MarketIdentity(kind, Product.SPOT, MINUTE, ("ETHUSDT",), "c" * 64)
    stamp = BookStamp(mode, "paper", "paper-10000", Product.SPOT, market)
    with StateLock(directory) as lock:
        SqliteStore.open(directory, stamp, book_id="cccccc", created_at=1, check_lock=lock.require_held).close()


async def test_book_on_the_live_market_is_started_while_it_is_unreachable(tmp_path: Path, closed_port: str) -> None:
    live_book(tmp_path)
    expected = (*LIVE, "--product", "spot", "--symbols", "ETHUSDT", "--interval", "1m")
    assert await market_of(tmp_path) == await market_of(tmp_path, "binance") == expected


@pytest.mark.parametrize("running", [False, True])
async def test_market_that_differs_from_that_of_the_book_is_refused(tmp_path: Path, running: bool) -> None:
    live_book(tmp_path)
    if running:
        write_address(tmp_path, HERE)
    with pytest.raises(AttachError, match=r"created on the market binance, .* and --market is sim") as refused:
        await Attachment(tmp_path, never, market="sim")()
    assert refused.value.code == "OTHER_MARKET"


@pytest.mark.parametrize("kind", ["auto", "okx"])
async def test_book_of_a_market_that_this_version_does_not_know_is_refused(tmp_path: Path, kind: str) -> None:
    live_book(tmp_path, kind)
    with pytest.raises(AttachError, match=rf"trades the market {kind!r}, which this .*; upgrade") as refused:
        await Attachment(tmp_path, never)()
    assert refused.value.code == "OTHER_MARKET"


async def test_engine_of_a_demo_book_is_started_by_a_person(tmp_path: Path) -> None:
    live_book(tmp_path, mode=Mode.DEMO)
    with pytest.raises(AttachError, match=r"is a demo book, .* ocw run --mode demo --market binance") as refused:
        await Attachment(tmp_path, never)()
    assert refused.value.code == "NOT_RUNNING"


async def test_no_paper_book_is_created_in_a_connected_directory(tmp_path: Path) -> None:
    made = Connection(
        mode=Mode.DEMO,
        product=Product.UM,
        host=HostClass.LOOPBACK,
        fingerprint="f",
        account="a",
        checked_at=1,
        kept=Kept.ENVIRONMENT,
    )
    keep_key(tmp_path, made, ApiKey("k" * 16, "s" * 16))
    with pytest.raises(AttachError, match=r"has a key for a demo book, .* ocw run --mode demo"):
        await Attachment(tmp_path, never)()


async def test_book_of_a_recorded_market_is_started_by_a_person(tmp_path: Path) -> None:
    live_book(tmp_path, "tape")
    with pytest.raises(AttachError, match=r"trades a recorded market, .* ocw run --market PATH") as refused:
        await Attachment(tmp_path, never)()
    assert refused.value.code == "OTHER_MARKET"


def test_book_on_the_simulated_market_keeps_its_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = Ocw(monkeypatch, capsys)("run", "--market", "sim", "--interval", "15m", "--for", "1h", "--state", tmp_path)
    assert ran.code == 0, ran.err
    options = asyncio.run(market_of(tmp_path))
    assert options[: len(SIMULATED)] == SIMULATED
    assert options[-2:] == ("--interval", "15m")


def test_attachment_refuses_an_unknown_market(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected one of auto, binance, sim"):
        Attachment(tmp_path, never, market="kraken")


def test_address_of_the_sandbox_exchange_reaches_a_started_engine() -> None:
    assert "BINANCE_LOOPBACK" in attach.KEPT
