"""A demo book in a process of its own is killed (SIGKILL) at each point of an order's life, and started again.

The sandbox exchange runs in another process, and writes what happened on its account. Each point has one entry: the
process of the book dies there (`tests.support.dying_process`), and the next process finds what became of the order.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import Any, Final
from urllib.request import urlopen

import pytest

import ocw_mcp
from ocw_mcp.adapters.control.address import ADDRESS, read_address
from ocw_mcp.adapters.store.book import peek_book
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import AttachError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND
from tests.support.dying_process import POINTS
from tests.support.exchange_books import AGAIN_MS, NOTICE_MS, UNKNOWN_SPOT_MS
from tests.support.oracles import (
    Journal,
    Limits,
    Span,
    converged,
    one_order_per_leg,
    protected,
    same_books,
    within_budget,
)
from tests.support.recorded_sandbox import BEGIN, read_record
from tests.support.regimes import draws
from tests.support.venue_records import VenueRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROOT: Final = Path(__file__).parents[2]
SPEED: Final = 10
"""Ten seconds of the market a second: what the book waits for at the exchange comes sooner."""
CLOCKS_MS: Final = 1_000
"""What the clocks of the two processes may differ: 100 ms of real time, on a busy machine."""
STEP: Final = 0.001
"""The quantity step of BTCUSDT on spot."""
WAIT_S: Final = 90.0
POLICY: Final = 'extends = "default"\nname = "policy"\n[pace]\nreentry_s = 0\n'
"""The shipped limits, but a symbol may be bought again at once."""


def until(check: Callable[[], Any]) -> Any:
    """Return the first true result of a check, which is made at most WAIT_S / 0.05 times."""
    for _ in range(round(WAIT_S / 0.05)):
        if found := check():
            return found
        Event().wait(0.05)  # another process works
    raise AssertionError(f"waited in vain, at last for {found!r}")


class Desk:
    """The directory of a book, the address of its exchange, and the process of the book."""

    def __init__(self, directory: Path, product: Product, address: str) -> None:
        self.book, self.product, self.address = directory / "book", product, address
        self.output, self.armed = directory / "run.out", directory / "armed"
        self.environment = {**os.environ, "BINANCE_LOOPBACK": address, "PYTHONPATH": str(ROOT)}
        self.policy = directory / "policy.toml"
        self.policy.write_text(POLICY)
        self.clients = ExitStack()
        self.process: subprocess.Popen[bytes]

    def command(self, module: str, *words: str) -> list[str]:
        own = ["--mode", "demo", "--product", self.product, "--state", str(self.book)]
        return [sys.executable, "-m", module, *words, *own]

    def connect(self) -> None:
        words = self.command("ocw_mcp", "connect", "--sandbox-key", "--set-up", "--symbols", "BTCUSDT")
        subprocess.run(words, env=self.environment, check=True, capture_output=True, cwd=self.book.parent)

    def start(self, point: str) -> None:
        """Start the process of the book, which dies at a point of an order's life, and wait until it trades."""
        words = ["run", "--market", "binance", "--symbols", "BTCUSDT", "--agent", "none", "--serve", "127.0.0.1:0"]
        words += ["--policies", str(self.policy)]
        (self.book / ADDRESS).unlink(missing_ok=True)
        self.armed.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command("tests.support.dying_process", point, *words),
                env=self.environment,
                stdout=output,
                stderr=output,
                cwd=self.book.parent,
            )
        until(lambda: read_address(self.book) or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()
        self.client = self.clients.enter_context(ocw_mcp.connect(self.book))
        until(lambda: (found := self.client.status()).equity != "0" and not found.meta.catching_up)

    def stop(self) -> None:
        """End the process of the book as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0, self.output.read_text()

    def buy(self, key: str, limit_at: float | None = None) -> str:
        """Ask for an entry of 5 % of equity, with a limit at a share of the price; return the id of its preview."""

        def preview() -> Any:
            last = float(self.client.prices("BTCUSDT", "1m", 1).rows[-1][4])
            limit = None if limit_at is None else round(last * limit_at)
            return self.client.preview("BTCUSDT", "BUY", size=0.05, stop=round(last * 0.97), limit=limit)

        found = preview()
        if found.preview_id is None:
            until(lambda: preview().preview_id)
            found = preview()
        self.place(found.preview_id, key)
        return str(found.preview_id)

    def place(self, preview: str, key: str) -> None:
        """Ask for the order of a preview; the process may die, or refuse it."""
        # A refusal is an AttachError, too.
        with suppress(AttachError):
            self.client.place(preview, key=key)

    def flat(self) -> bool:
        """Return whether the account has neither a position nor an order, and the book no position."""
        account = self.account()
        return not (
            self.held() or account["orders"] or account.get("algoOrders") or self.client.status().open_positions
        )

    def held(self) -> bool:
        """Return whether the account has a position; on spot, more of the asset than the rest that cannot be sold."""
        account = self.account()
        if self.product is Product.UM:
            return bool(account["positions"])
        rows = {each["asset"]: float(each["free"]) + float(each["locked"]) for each in account["balances"]}
        return rows.get("BTC", 0.0) >= STEP

    def rests(self) -> bool:
        """Return whether an entry rests at the exchange that the book knows, too."""
        return bool(self.account()["orders"] and not self.held() and self.client.status().live_orders)

    def protected(self) -> bool:
        """Return whether book and account have a position, and a stop for all of it is at the exchange."""
        found, account = self.client.status(), self.account()
        stops = account.get("algoOrders", account["orders"])
        return bool(self.held() and found.open_positions and not found.unprotected and stops)

    def settled(self) -> str:
        """Return what became of the account, once the book knows it: "flat", "protected" or "resting"."""
        states = {"flat": self.flat, "protected": self.protected, "resting": self.rests}
        found: str = until(lambda: next((name for name, holds in states.items() if holds()), None))
        return found

    def now(self) -> int:
        return int(self.read("clock")["now"])

    def account(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read("account")
        return found

    def read(self, name: str) -> Any:
        with urlopen(f"{self.address}/sandbox/{name}") as answer:
            return json.load(answer)

    def journal(self) -> tuple[str, Journal]:
        """Return the name of the book and the events of its journal, while no process runs."""
        stored = peek_book(self.book)
        with closing(SqliteStore.open(self.book, stored.stamp, book_id=stored.book, created_at=0)) as store:
            return stored.book, list(store.all_events())


def steps(journal: Journal) -> list[str]:
    """Return what the journal has of the last entry and its stop."""
    last = max(each.ref.n for _, each in journal if isinstance(each, events.OrderIntended))
    kinds = events.OrderIntended | events.OrderAccepted | events.OrderFilled
    of_last = (each for _, each in journal if isinstance(each, kinds) and each.ref.n == last)
    return list(dict.fromkeys(f"{each.ref.leg.name} {type(each).__name__}" for each in of_last))


@contextmanager
def exchange(directory: Path, product: Product) -> Iterator[Desk]:
    """Run the sandbox exchange; its record is in the directory when the block has ended."""
    words = ["-m", "tests.support.recorded_sandbox", product, str(SPEED), str(directory / "record.json")]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, cwd=ROOT, text=True) as server:
        assert server.stdout is not None
        desk = Desk(directory, product, server.stdout.readline().strip())
        try:
            yield desk
        finally:
            desk.clients.close()
            if hasattr(desk, "process"):
                desk.process.kill()
                desk.process.wait()
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) == 0


def found_by_oracles(directory: Path, desk: Desk, away: Sequence[Span], until_ms: int) -> list[str]:
    """Return what the oracles find in the record of the exchange and the journal of the book."""
    record, spot = read_record(directory / "record.json"), desk.product is Product.SPOT
    book, journal = desk.journal()
    later = VenueRecord()
    later.arrivals, later.trades = [each._replace(at=each.at + CLOCKS_MS) for each in record.arrivals], record.trades
    policy = load_policies(None).policies
    limits = Limits(policy.exposure.max_gross, policy.position.max_share)
    unknown_ms = UNKNOWN_SPOT_MS if spot else policy.stop.deadline_s * SECOND
    spans = {"notice_ms": NOTICE_MS, "again_ms": AGAIN_MS, "unknown_ms": unknown_ms}
    return [
        *one_order_per_leg(later, journal, book),
        *converged(record, journal, NOTICE_MS, until_ms, away),
        *protected(record, journal, until_ms, **spans, away=away),
        *within_budget(record, journal, book, limits),
        *same_books(record, journal, BEGIN, until_ms, nameless_until=until_ms if spot else None),
    ]


@pytest.mark.requirement("E05")
@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
def test_process_killed_at_each_point_of_an_order_restarts_to_the_account(product: Product, tmp_path: Path) -> None:
    away, seen, became = list[Span](), dict[str, list[str]](), dict[str, str]()
    following = dict(zip(POINTS, [*POINTS[1:], "none"], strict=True))
    with exchange(tmp_path, product) as desk:
        desk.connect()
        desk.start(POINTS[0])
        for number, point in enumerate(POINTS):
            desk.armed.touch()
            # An order at the market is accepted and filled at once, so the one that is accepted has a limit below.
            preview = desk.buy(f"order {number}", 0.99 if point == "accepted" else None)
            assert desk.process.wait(timeout=WAIT_S) == -signal.SIGKILL, point
            died = desk.now()
            seen[point] = steps(desk.journal()[1])
            desk.start(following[point])
            away.append((died, desk.now()))
            # A client that got no answer asks again, with the same key.
            desk.place(preview, f"order {number}")
            became[point] = desk.settled()
            if became[point] != "flat":
                desk.client.close("BTCUSDT")
                until(desk.flat)
        # An order that never arrived counts as live until the exchange has not known it for a while.
        until(lambda: not desk.client.status().live_orders)
        desk.stop()
        ended = desk.now()
    assert found_by_oracles(tmp_path, desk, away, ended) == []
    # The journal had at each death what the point says.
    assert seen["intent"] == seen["sent"] == ["ENTRY OrderIntended"]
    assert seen["accepted"] == ["ENTRY OrderIntended", "ENTRY OrderAccepted"]
    assert "ENTRY OrderFilled" not in seen["filled"]
    assert seen["before the stop"][-2:] == seen["stop sent"][-2:] == ["ENTRY OrderFilled", "STOP OrderIntended"]
    # One order of each entry but the first reached the exchange: none was lost or doubled.
    arrived = [each.client_id for each in read_record(tmp_path / "record.json").arrivals if "-e-" in each.client_id]
    assert len(arrived) == len(set(arrived)) == len(POINTS) - 1
    assert (became["intent"], became["stop sent"]) == ("flat", "protected")
    # A position that had no stop, and of which the deadline passed while no process ran, gets a stop or is closed.
    assert {became[point] for point in ("sent", "filled", "before the stop")} <= {"protected", "flat"}


@pytest.mark.requirement("E05")
@pytest.mark.parametrize(("product", "seed"), [(Product.UM, 1), (Product.SPOT, 2)])
def test_process_killed_at_random_times_restarts_to_the_account(product: Product, seed: int, tmp_path: Path) -> None:
    away, chance = list[Span](), draws(seed, "kills")
    with exchange(tmp_path, product) as desk:
        desk.connect()
        desk.start("none")
        for number in range(3):
            # An entry, its fill and its stop take some tenths of a second.
            killer = Timer(chance.uniform(0.0, 0.5), desk.process.kill)
            killer.start()
            with suppress(AttachError):
                desk.buy(f"order {number}")
            assert desk.process.wait(timeout=WAIT_S) == -signal.SIGKILL
            died = desk.now()
            desk.start("none")
            away.append((died, desk.now()))
            if desk.settled() != "flat":
                desk.client.close("BTCUSDT")
                until(desk.flat)
        until(lambda: not desk.client.status().live_orders)
        desk.stop()
        ended = desk.now()
    assert found_by_oracles(tmp_path, desk, away, ended) == []
    arrived = [each.client_id for each in read_record(tmp_path / "record.json").arrivals if "-e-" in each.client_id]
    assert len(arrived) == len(set(arrived))
