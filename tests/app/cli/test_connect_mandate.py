"""`ocw connect --mandate` and the start of a live book: a person's mandate is needed, proved, sealed and obeyed."""

import gc
import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocw_mcp.adapters.control import mandate, passphrase
from ocw_mcp.adapters.control.keys import connections
from ocw_mcp.adapters.control.mandate import Mandate
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app import exchange_access, exchange_account
from ocw_mcp.app.exchange_access import open_access
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.proving import Proof
from ocw_mcp.app.settings import KEYS, load_settings
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import BookError, SettingsError, VenueRefused
from ocw_mcp.domain.events import PoliciesLoaded, RunStarted
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import DAY
from tests.adapters.store.books import BOOK, STAMP, tell
from tests.support.entries import LONG, REF, account, asks, holding
from tests.support.exchange import served_aside
from tests.support.shell import CommandResult, Ocw
from tests.support.terminal import person

WORD = "correct horse battery"
PROVE = exchange_account.prove
TERMS = ("--mandate", "--amount", "500", "--symbols", "ETHUSDT", "--days", "7")


class Live:
    """A state directory that is connected to a sandbox in live mode and has a passphrase."""

    def __init__(self, ocw: Ocw, monkeypatch: pytest.MonkeyPatch, desk: Path, address: str) -> None:
        self.ocw, self.monkeypatch, self.desk, self.address = ocw, monkeypatch, desk, address
        self.proved: list[tuple[Any, ...]] = []
        self.screen = ""

    def connect(self, *arguments: object, words: tuple[str, ...] = ()) -> CommandResult:
        call = ("connect", "--mode", "live", *arguments, "--state", self.desk)
        if not words:
            return self.ocw(*call)
        with person(self.monkeypatch, *words) as someone:
            said = self.ocw(*call)
        self.screen = someone.screen
        return said

    def prove(self, *given: Any, account: str) -> Proof:
        self.proved.append((*given, account))
        return Proof(Decimal(1), Decimal(1), Decimal(1), Decimal(0), 77)

    def access(self, policies: Path | None = None) -> tuple[Policies, list[str]]:
        """Return the policies of a live start, and its warnings."""
        warnings: list[str] = []
        settings = load_settings(None, None, {"BINANCE_LOOPBACK": f"http://{self.address}"})
        loaded = load_policies(policies)
        access, bound = open_access(Mode.LIVE, Product.UM, self.desk, settings, loaded, warnings.append)
        assert access.account == connections(self.desk)[0].account
        assert bound.hash != loaded.hash
        assert bound.strict.mandate is not None
        return bound.policies, warnings


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Live]:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(passphrase, "USUAL", passphrase.Cost(n=16))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    with served_aside() as address:
        monkeypatch.setenv("BINANCE_LOOPBACK", f"http://{address}")
        monkeypatch.setenv("LIVE_TRADING", "true")
        found = Live(Ocw(monkeypatch, capsys), monkeypatch, tmp_path / "desk", address)
        monkeypatch.setattr(exchange_account, "prove", found.prove)
        assert found.connect("--sandbox-key", "--set-up", "--symbols", "ETHUSDT").code == 0
        passphrase.keep(found.desk, WORD, passphrase.USUAL)
        yield found


def test_mandate_is_sealed_with_the_passphrase_after_the_proof(live: Live) -> None:
    said = live.connect(*TERMS, words=(WORD,))
    assert said.code == 0, live.screen
    assert "500 (quote) in ETHUSDT until" in said.out
    assert "The mandate is sealed" in said.out
    found = mandate.read(live.desk)
    assert found is not None
    assert (found.amount, found.symbols, found.expires_at - found.given_at) == (Decimal(500), ("ETHUSDT",), 7 * DAY)
    assert (found.policy, found.proven_at) == (load_policies(None).hash, 77)
    assert found.account == connections(live.desk)[0].account
    assert [(given[0], given[5], given[-1]) for given in live.proved] == [
        (Mode.LIVE, "ETHUSDT", connections(live.desk)[0].account)
    ]
    assert WORD not in said.out + live.screen
    doctor = json.loads(live.ocw("doctor", "--state", live.desk, "--json").out)["checks"]
    shown = {each["name"]: each["found"] for each in doctor}
    assert "500 (quote) in ETHUSDT" in shown["mandate"]
    assert "live um for a sandbox" in shown["keys"]


def test_terms_of_a_mandate_can_be_typed(live: Live) -> None:
    said = live.connect("--mandate", "--symbols", "ethusdt", words=("1,500", "3", WORD))
    assert said.code == 0, live.screen
    found = mandate.read(live.desk)
    assert found is not None
    assert (found.amount, found.symbols) == (Decimal(1_500), ("ETHUSDT",))


def test_mandate_is_not_given_while_a_check_fails(live: Live) -> None:
    said = live.connect(*TERMS, "--symbols", "ETHUSDT,BTCUSDT", words=(WORD,))
    assert (said.code, "not isolated: BTCUSDT" in said.out) == (1, True)
    assert (mandate.read(live.desk), live.proved) == (None, [])


def test_wrong_passphrase_gives_no_mandate_and_sends_no_order(live: Live) -> None:
    assert live.connect(*TERMS, words=("a guess", "a guess", "a guess")).code == 1
    assert (mandate.read(live.desk), live.proved) == (None, [])
    live.monkeypatch.setattr(sys, "stdin", io.StringIO(f"{WORD}\n"))
    said = live.connect(*TERMS)
    assert (said.code, "a mandate is given by a person at a terminal" in said.err) == (2, True)
    (live.desk / "passphrase").unlink()
    live.connect(*TERMS, words=(WORD,))
    assert "none is set; set one first" in live.screen


def test_failed_proving_order_gives_no_mandate(live: Live) -> None:
    def fail(*given: object, account: str) -> Proof:
        raise VenueRefused("the proving order failed")

    live.monkeypatch.setattr(exchange_account, "prove", fail)
    assert live.connect(*TERMS, words=(WORD,)).code == 2
    assert "the proving order failed" in live.screen
    assert mandate.read(live.desk) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--days": "31"}, "at most 30"),
        ({"--days": "0"}, "more than 0"),
        ({"--amount": "-5"}, "expected more than 0"),
        ({"--amount": "much"}, "expected a number in quote currency"),
    ],
    ids=str,
)
def test_invalid_terms_are_refused_before_the_passphrase(live: Live, changes: dict[str, str], says: str) -> None:
    given = dict(zip(TERMS[1::2], TERMS[2::2], strict=True)) | changes
    said = live.connect("--mandate", *(part for pair in given.items() for part in pair), words=(WORD,))
    assert (said.code, says in live.screen, live.proved) == (2, True, []), live.screen


def test_no_mandate_is_given_while_an_engine_runs_or_after_a_crash(live: Live) -> None:
    with StateLock(live.desk):
        assert live.connect(*TERMS, words=(WORD,)).code == 2
    assert "is running the book" in live.screen
    stamp = type(STAMP)(Mode.LIVE, "binance", connections(live.desk)[0].account, STAMP.product, STAMP.market)
    with closing(SqliteStore.open(live.desk, stamp, book_id=BOOK, created_at=0)) as store:
        store.note(1, RunStarted("1", "rules", "p"))
        tell(store, (PoliciesLoaded("mine", "p", "q"),))
    assert live.connect(*TERMS, "--product", "um", words=(WORD,)).code == 2
    assert "was interrupted" in live.screen
    assert live.proved == []


def give(live: Live) -> Mandate:
    """Give a mandate with `TERMS`, and return it."""
    assert live.connect(*TERMS, words=(WORD,)).code == 0, live.screen
    found = mandate.read(live.desk)
    assert found is not None
    return found


def test_live_run_needs_a_mandate_for_the_same_policies(live: Live, tmp_path: Path) -> None:
    run = ("run", "--mode", "live", "--market", "binance", "--symbols", "ETHUSDT", "--state", live.desk)
    said = live.ocw(*run)
    assert (said.code, "there is no mandate" in said.err, said.err.count("\n")) == (2, True, 1)
    give(live)
    text = (Path(__file__).parents[3] / "policies" / "default.toml").read_text()
    (tmp_path / "mine.toml").write_text(text + "\n# a remark\n")
    said = live.ocw(*run, "--policies", tmp_path / "mine.toml")
    assert (said.code, "the policies have changed" in said.err, said.err.count("\n")) == (2, True, 1)
    assert "renew it: ocw connect --mode live --mandate" in said.err
    live.monkeypatch.delenv("LIVE_TRADING")
    assert "LIVE_TRADING is not true" in live.ocw(*run).err
    assert not (live.desk / "journal.db").exists()


@pytest.mark.parametrize("field", ["amount", "symbols", "expires_at", "account", "policy"])
def test_live_start_refuses_a_mandate_with_a_changed_field(live: Live, field: str) -> None:
    give(live)
    path = live.desk / "mandate.json"
    document = json.loads(path.read_text())
    before = document["mandate"][field]
    document["mandate"][field] = (
        [*before, "BTCUSDT"] if field == "symbols" else before + (1 if field == "expires_at" else "0")
    )
    path.write_text(json.dumps(document))
    with pytest.raises(BookError, match="was changed after it was sealed"):
        live.access()


def test_mandate_limits_amount_symbols_and_time_of_entries_only(live: Live) -> None:
    given = give(live)
    policies, warnings = live.access()
    assert warnings == []
    officer = RiskOfficer(
        policies.model_copy(update={"order": policies.order.model_copy(update={"max_notional": 10_000})})
    )
    now = given.given_at

    def code(view: Any, intent: Any = LONG) -> RefusalCode | None:
        answer = officer.check_entry(intent, view, REF, now)
        verdicts = officer.assess(intent, view)
        assert not isinstance(verdicts, Refusal)
        mandated = [each for each in verdicts.verdicts if each.code is RefusalCode.MANDATE]
        assert mandated
        refused = any(not each.passes(verdicts.entry.notional) for each in mandated)
        assert not refused or isinstance(answer, Refusal)
        return RefusalCode.MANDATE if refused else None

    small = asks(LONG, quantity=Decimal("0.1"))
    assert code(account(mode=Mode.LIVE, now=now), small) is None
    assert code(account(mode=Mode.LIVE, now=now), LONG) is RefusalCode.MANDATE
    assert code(account(mode=Mode.LIVE, now=now, gross=Decimal(450)), small) is RefusalCode.MANDATE
    assert code(account(mode=Mode.LIVE, now=now), asks(small, symbol="BTCUSDT")) is RefusalCode.MANDATE
    assert code(account(mode=Mode.LIVE, now=given.expires_at - 1), small) is None
    assert code(account(mode=Mode.LIVE, now=given.expires_at), small) is RefusalCode.MANDATE
    late = holding("1", "1000", 3, mode=Mode.LIVE, now=given.expires_at + DAY)
    closing_order = officer.clear_reduction(asks(LONG, side=Side.SELL), late, REF, now)
    assert isinstance(closing_order, ClearedOrder)


def test_expired_mandate_starts_an_existing_book_with_a_warning(live: Live) -> None:
    given = give(live)
    late = SimpleNamespace(time_ns=lambda: given.expires_at * 1_000_000)
    live.monkeypatch.setattr(exchange_access, "time", late)
    with pytest.raises(SettingsError, match="has expired, and no book was created; renew it"):
        live.access()
    stamp = type(STAMP)(Mode.LIVE, "binance", given.account, STAMP.product, STAMP.market)
    SqliteStore.open(live.desk, stamp, book_id=BOOK, created_at=0).close()
    policies, (warning,) = live.access()
    assert "no entry passes, and positions are only managed and closed" in warning
    assert policies.mandate is not None
    assert policies.mandate.expires_ms == given.expires_at
    shown = json.loads(live.ocw("doctor", "--state", live.desk, "--json").out)["checks"]
    assert next(each for each in shown if each["name"] == "mandate")["verdict"] == "ok"


def test_stricter_of_policy_and_mandate_counts(live: Live, tmp_path: Path) -> None:
    table = '\n[mandate]\namount = 100\nsymbols = ["ETH*"]\nexpires = 2200-01-01T00:00:00Z\n'
    text = 'name = "mine"\nextends = "default"\n' + table
    (tmp_path / "mine.toml").write_text(text)
    said = live.connect(*TERMS, "--policies", tmp_path / "mine.toml", words=(WORD,))
    assert said.code == 0, live.screen
    bound, _ = live.access(tmp_path / "mine.toml")
    assert bound.mandate is not None
    assert (bound.mandate.amount, bound.mandate.symbols) == (Decimal(100), ("ETHUSDT",))
    (tmp_path / "other.toml").write_text(text.replace("ETH*", "BTC*"))
    assert live.connect(*TERMS, "--policies", tmp_path / "other.toml", words=(WORD,)).code == 2
    assert "expected a symbol in both" in live.screen


def test_key_of_another_account_does_not_replace_that_of_a_book(live: Live) -> None:
    stamp = type(STAMP)(Mode.LIVE, "binance", "another-one", STAMP.product, STAMP.market)
    SqliteStore.open(live.desk, stamp, book_id=BOOK, created_at=0).close()
    said = live.connect("--symbols", "ETHUSDT")
    assert (said.code, "belongs to account another-one, and this key to account" in said.err) == (2, True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_proving_order_trades_at_the_sandbox_and_seals_the_mandate(live: Live) -> None:
    live.monkeypatch.setattr(exchange_account, "prove", PROVE)
    said = live.connect(*TERMS, words=(WORD,))
    assert said.code == 0, live.screen
    assert "ETHUSDT is flat" in said.out
    assert mandate.read(live.desk) is not None
    gc.collect()
