"""A price in another unit after a gap, such as a token swap 1000:1, ends the symbol without gain or loss."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.adapters.feeds.tape.options import TapeOptions
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.legs import buy, short
from tests.support.markets import START, path
from tests.support.runs import Run, policies
from tests.support.shell import Ocw
from tests.support.stores import MemoryStore
from tests.support.tapes import rows

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
GAP = 3 * 1440


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def moved(candles: list[Candle], minutes: int) -> list[Candle]:
    return [
        Candle(c.symbol, c.open_time + minutes * MINUTE, MINUTE, c.open, c.high, c.low, c.close, c.volume)
        for c in candles
    ]


def tape(folder: Path, factor: float, hole: int = GAP, symbol: str = "NEWUSDT") -> Path:
    """Write ten minutes near 100, a gap, and ten minutes near 100 times a factor."""
    folder.mkdir(exist_ok=True)
    before = path([100.0 + n % 3 for n in range(10)], symbol)
    after = moved(path([(100.0 + n % 3) * factor for n in range(10)], symbol), 10 + hole)
    (folder / f"{symbol}-1m-2026-01-01.csv").write_text(rows(before))
    (folder / f"{symbol}-1m-2026-01-04.csv").write_text(rows(after))
    return folder


async def traded(folder: Path, decision: Decision, product: Product) -> Run:
    return await Run(TapeFeed.open(folder, product), Scripted({1: decision}), policy=WAKES).go()


LONG = buy("96", symbol="NEWUSDT")
SHORT = short("105", symbol="NEWUSDT")
TARGET = buy("96", symbol="NEWUSDT", target="104")
LIMIT = buy("85", symbol="NEWUSDT", limit="88", expires_s=86_400 * 5)


@pytest.mark.parametrize("factor", [1000.0, 0.001, 10.5, 1e7])
@pytest.mark.parametrize(
    ("decision", "product"),
    [(LONG, Product.UM), (SHORT, Product.UM), (LONG, Product.SPOT), (TARGET, Product.SPOT), (LIMIT, Product.UM)],
)
async def test_run_over_a_discontinuity_equals_a_run_ending_before_it(
    tmp_path: Path, factor: float, decision: Decision, product: Product
) -> None:
    whole = tape(tmp_path / "whole", factor)
    cut = tape(tmp_path / "cut", factor)
    (cut / "NEWUSDT-1m-2026-01-04.csv").unlink()
    run, expected = await traded(whole, decision, product), await traded(cut, decision, product)
    assert run.store.fingerprint == expected.store.fingerprint
    assert run.engine.account.ledger.equity() == expected.engine.account.ledger.equity()
    assert bool(run.engine.account.ledger.positions) == (decision is not LIMIT)
    assert D(9_900) < run.engine.account.ledger.equity() < D(10_100)


@pytest.mark.parametrize(("factor", "hole"), [(1000.0, 0), (0.05, 0), (9.9, GAP), (0.11, GAP)])
async def test_small_or_gapless_price_move_is_no_discontinuity(tmp_path: Path, factor: float, hole: int) -> None:
    feed = TapeFeed.open(tape(tmp_path, factor, hole))
    run = await Run(feed, policy=WAKES).go()
    assert (run.engine.counters.candles, feed.discontinuities) == (20, [])


async def test_discontinuity_factor_changes_candles_and_tape_identity(tmp_path: Path) -> None:
    usual, wide = TapeOptions(), TapeOptions(discontinuity=2_000)
    feeds = [TapeFeed.open(tape(tmp_path, 1000.0), options=options) for options in (usual, wide)]
    candles = [(await Run(feed, policy=WAKES).go()).engine.counters.candles for feed in feeds]
    assert candles == [10, 20]
    assert feeds[0].identity != feeds[1].identity


async def test_other_symbols_continue_after_discontinuity_and_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 4)
    folder = tape(tape(tmp_path, 1000.0), 1.0, symbol="BTCUSDT")
    script = {2: LONG, 14: buy("97"), 17: buy("97", symbol="NEWUSDT")}

    async def run(store: MemoryStore, minutes: int | None = None) -> Run:
        feed = TapeFeed.open(folder)
        done = Run(feed, Scripted(script), store=store, policy=WAKES)
        return await done.go(None if minutes is None else minutes * MINUTE)

    undisturbed = await run(MemoryStore())
    assert undisturbed.engine.counters.candles == 30
    for minutes in (5, 10, GAP + 12, GAP + 15):
        first = await run(MemoryStore(), minutes)
        assert (await run(first.store.reopened())).store.fingerprint == undisturbed.store.fingerprint


async def test_candles_from_trades_end_at_a_discontinuity(tmp_path: Path) -> None:
    lines = [
        f"{n},{price},1,{n},{n},{START + at},false"
        for n, (at, price) in enumerate([(0, 5.0), (MINUTE, 5.1), (DAY, 5_000.0), (DAY + MINUTE, 5_000.0)])
    ]
    (tmp_path / "NEWUSDT-aggTrades-2026-01.csv").write_text("\n".join(lines))
    feed = TapeFeed.open(tmp_path)
    assert [candle.close async for frame in feed.frames() for candle in frame.closed] == [5.0, 5.1]
    (found,) = feed.discontinuities
    assert (found.before, found.after, found.until) == (5.1, 5_000.0, START + DAY)


def test_replay_report_and_tape_info_show_a_discontinuity(ocw: Ocw, tmp_path: Path) -> None:
    folder = tape(tmp_path, 1000.0)
    report = json.loads(ocw("replay", folder, "--json").out)
    assert report["candles"] == 10
    (found,) = report["discontinuities"]
    assert (found["symbol"], found["before"], found["after"]) == ("NEWUSDT", 100.0, 100_000.0)
    assert any(flag.startswith("discontinuity: NEWUSDT goes from 100.0 to 100000.0") for flag in report["flags"])
    assert json.loads(ocw("replay", folder, "--json", "--discontinuity", "5000").out)["discontinuities"] == []
    assert ocw("replay", folder, "--discontinuity", "1").code == 2
    assert "discontinuity, NEWUSDT goes from 100.0 to 100000.0" in ocw("tape", "info", folder).out
    (stream,) = json.loads(ocw("tape", "info", folder, "--json").out)["streams"]
    assert stream["discontinuity"]["until"] == START + (10 + GAP) * MINUTE
