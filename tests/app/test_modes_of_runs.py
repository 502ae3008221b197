"""A run on paper has no key and no account; a run in another mode has the venue and the book of its account."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control.commands import CommandFiles
from ocw_mcp.adapters.control.keys import Connection, HostClass, Kept, keep_key
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.app.compose import WiredRun, stamp
from ocw_mcp.app.exchange_access import ExchangeAccess, open_access, require_mode
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.settings import load_settings
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import LiveClock
from tests.support.exchange_requests import Noting
from tests.support.live import ListedLive, live_frames
from tests.support.shell import Ocw

KEY = ApiKey("canaryKEY" * 7, "canarySECRET" * 5)
DEMO = Connection(Mode.DEMO, Product.UM, HostClass.EXCHANGE, Kept.FILE, KEY.fingerprint, "acc0", 7)


class Resumable(ListedLive):
    """A live feed that has nothing to resume."""

    def resume_at(self, known: Mapping[str, int]) -> None: ...


def wired(desk: Path, access: ExchangeAccess | None) -> Iterator[WiredRun]:
    feed = Resumable(live_frames([100.0]))
    with closing(SqliteStore.open(desk, stamp(feed, access), book_id="aaaaaa", created_at=0)) as store:
        policies, prompts = load_policies(None), load_prompts(None)
        yield WiredRun(feed, "none", policies, prompts, store, CommandFiles(desk), clock=LiveClock(), access=access)


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.LIVE])
def test_run_of_an_account_trades_at_its_venue_and_binds_its_book(tmp_path: Path, mode: Mode) -> None:
    asked: list[tuple[object, ...]] = []

    def make(*given: object) -> ExchangeVenue:
        asked.append(given)
        return Noting()

    for book in wired(tmp_path, ExchangeAccess(mode, "acc0", make)):
        assert isinstance(book.venue, Noting)
        assert book.config.mode is mode
        assert asked == [("aaaaaa", ("BTCUSDT",), book.clock)]
        assert (book.stamp.mode, book.stamp.venue, book.stamp.account) == (mode, "binance", "acc0")


def test_book_of_one_mode_or_account_is_never_opened_as_another(tmp_path: Path) -> None:
    accesses = {mode: ExchangeAccess(mode, "acc0", lambda *given: Noting()) for mode in (Mode.DEMO, Mode.LIVE)}
    for _ in wired(tmp_path, accesses[Mode.DEMO]):
        pass
    require_mode(tmp_path, Mode.DEMO)
    for mode in (Mode.PAPER, Mode.LIVE):
        with pytest.raises(BookError, match=f"is a demo book, and this command is for {mode} mode") as caught:
            require_mode(tmp_path, mode)
        assert "\n" not in str(caught.value)
    for other in (None, accesses[Mode.LIVE], accesses[Mode.DEMO]._replace(account="acc1")):
        with pytest.raises(BookError, match="was made for"):
            next(wired(tmp_path, other))


@pytest.mark.requirement("M04")
def test_paper_run_has_no_venue_of_an_account_and_reads_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_key(tmp_path, DEMO, KEY)
    monkeypatch.setenv("BINANCE_API_KEY", KEY.key)
    monkeypatch.setenv("BINANCE_SECRET_KEY", KEY.secret)
    monkeypatch.setenv("LIVE_TRADING", "true")
    monkeypatch.setitem(sys.modules, "ocw_mcp.app.exchange_account", None)
    monkeypatch.setattr("ocw_mcp.adapters.control.keys.read_own", lambda *given, **more: pytest.fail("a key is read"))
    said = Ocw(monkeypatch, capsys)("run", "--market", "sim", "--for", "1m", "--json", "--state", tmp_path)
    assert said.code == 0, said.err
    for book in wired(tmp_path / "live", None):
        assert isinstance(book.venue, PaperVenue)
        assert book.config.mode is Mode.PAPER


def test_journal_of_an_account_is_synced_at_every_commit(tmp_path: Path) -> None:
    from ocw_mcp.adapters.store.database import JOURNAL, connect_to_write

    for _ in wired(tmp_path, ExchangeAccess(Mode.LIVE, "acc0", lambda *given: Noting())):
        with closing(connect_to_write(tmp_path / JOURNAL)) as db:
            assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_signed_calls_of_a_run_go_to_the_host_of_its_mode_only(tmp_path: Path) -> None:
    keep_key(tmp_path, DEMO, KEY)
    settings = load_settings(None, None, {})
    access, _ = open_access(Mode.DEMO, Product.UM, tmp_path, settings, load_policies(None), lambda text: None)
    venue = access.make_venue("aaaaaa", ("BTCUSDT",), LiveClock())
    assert isinstance(venue, ExchangeVenue)
    assert "canary" not in repr((access, venue, vars(venue)))
    keep_key(
        tmp_path, Connection(Mode.DEMO, Product.SPOT, HostClass.EXCHANGE, Kept.FILE, KEY.fingerprint, "acc0", 7), KEY
    )
    spot, _ = open_access(Mode.DEMO, Product.SPOT, tmp_path, settings, load_policies(None), lambda text: None)
    assert isinstance(spot.make_venue("aaaaaa", ("BTCUSDT",), LiveClock()), ExchangeVenue)
