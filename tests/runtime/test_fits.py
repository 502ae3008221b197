"""Fits of the regime in a run: simulated and live, killed and resumed, with workers that hang or fail."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator

import pytest

from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.outlook_events import ModelFitted, RegimeChanged
from ocw_mcp.domain.regime import FitRequest, Level, RegimeFit
from ocw_mcp.domain.steps import RegimeFitted
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.checkpoint import read_checkpoint
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.runtime.fitting import FitProcess, Fitter
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import ListedLive, live_frames
from tests.support.markets import START, ListFeed
from tests.support.regimes import FIT, candles, walk
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

DAYS = candles(walk(5, 32), START)
PAST = candles(walk(4, 480, block=60), START - 480 * DAY)
POLICY = policies(gate={"close_wakes": [], "timer_max_s": 86_400}, scale={"regime_turbulent": "0.5"})


WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, scale={"regime_turbulent": "0.5"})


class WithPast(ListFeed):
    """Days with those before them as history."""

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        if after is None:
            yield Frame(START, days=tuple(PAST), history=True)
        async for frame in super().frames(after):
            yield frame


class Fits:
    """A worker that answers at once, with a model or a failure."""

    def __init__(self, found: RegimeFit | Unknown = FIT, *, failed: bool = False) -> None:
        self.found, self.failed = found, failed
        self.asked: list[int] = []

    async def fit(self, request: FitRequest) -> RegimeFitted:
        self.asked.append(request.at)
        return RegimeFitted(request.symbol, request.at, self.found, self.failed)

    async def close(self) -> None:
        """Nothing runs."""


class Hangs(Fits):
    """A worker that never answers."""

    async def fit(self, request: FitRequest) -> RegimeFitted:
        self.asked.append(request.at)
        await asyncio.Event().wait()
        raise AssertionError


def simulated(fitter: Fitter, store: MemoryStore | None = None) -> Run:
    run = Run(WithPast(DAYS), Scripted({}), store=store, policy=POLICY)
    run.simulation.shell.fitting.fitter = fitter
    return run


def live(fitter: Fitter, store: MemoryStore | None = None, since: int = -1) -> Run:
    frames = [Frame(START - MINUTE, days=tuple(PAST), history=True), *live_frames([100.0] * 6)]
    feed = ListedLive(frames, since=since)
    # The entry commits what came before it.
    run = Run(feed, Scripted({1: buy("97")}), store=store, policy=WAKES, clock=feed.clock, live=True)
    run.simulation.shell.fitting.fitter = fitter
    return run


async def test_simulated_run_takes_each_fit_at_the_time_of_its_request() -> None:
    worker = Fits()
    done = await simulated(worker).go()
    assert len(worker.asked) == 2
    assert [(at, each.fitted_at) for at, each in done.timed(ModelFitted)] == [(at, at) for at in worker.asked]
    assert worker.asked[1] % (28 * DAY) == 0
    assert done.events(RegimeChanged)[0].before is None


async def test_killed_simulated_run_does_not_fit_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 12)
    whole = await simulated(Fits()).go()
    fitted = next(place for place, each in enumerate(whole.store.domain) if isinstance(each.event, ModelFitted))
    for late in (0, 4):
        dying, worker, again = MemoryStore(), Fits(), Fits()
        dying.die_at = next(each for each in whole.store.crash_moments() if each > fitted + late)
        with pytest.raises(Crash):
            await simulated(worker, dying).go()
        store = dying.reopened()
        known = sum(isinstance(each.event, ModelFitted) for each in store.domain)
        resumed = await simulated(again, store).go()
        assert resumed.store.fingerprint == whole.store.fingerprint
        assert len(again.asked) == 2 - known


async def test_live_run_takes_the_fit_from_its_inbox() -> None:
    worker = Fits()
    done = await live(worker).go()
    assert worker.asked == [START]
    assert [each.found for each in done.events(ModelFitted)] == [FIT]
    assert [each.after for each in done.events(RegimeChanged)] == [Level.TURBULENT]
    assert done.engine.account.outlook.scale_reason(done.clock.now()).startswith("regime turbulent 0.5")


async def test_worker_that_hangs_delays_nothing_and_a_restart_asks_it_again() -> None:
    hanging = Hangs()
    first = await live(hanging).go()
    assert (hanging.asked, first.events(ModelFitted)) == ([START], [])
    assert first.engine.account.outlook.scale_reason(first.clock.now()).startswith("regime unknown")
    store = first.store.reopened()
    saved = store.checkpoint()
    assert saved is not None
    worker = Fits()
    second = await live(worker, store, since=read_checkpoint(saved.engine).time).go()
    assert worker.asked == [START]
    assert [each.found for each in second.events(ModelFitted)] == [FIT]


async def test_killed_live_run_takes_its_logged_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 1_000)
    whole = await live(Fits()).go()
    for moment in whole.store.crash_moments():
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await live(Fits(), dying).go()
        store = dying.reopened()
        if any(isinstance(each.event, RegimeFitted) for each in store.inputs()):
            break
    else:
        raise AssertionError("no death comes between the fit and the next checkpoint")
    again = Fits()
    resumed = await live(again, store, since=max(each.at for each in store.inputs())).go()
    assert again.asked == []
    assert len(resumed.store.domain) >= len(store.domain)
    assert [each.found for each in resumed.events(ModelFitted)] == [FIT]


def request(days: list[Candle]) -> FitRequest:
    rows = tuple((each.close, each.high, each.low) for each in days)
    return FitRequest("BTCUSDT", START, rows, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import time; time.sleep(60)", "the worker took longer than 0.2 s"),
        ("import sys; sys.stdin.read(); sys.exit(3)", "the worker ended with code 3"),
        ("import sys; sys.exit(4)", "the worker ended with code 4"),
        ("import sys; sys.stdin.buffer.read()", "the answer of the worker is missing"),
        ("import os; os.write(1, b'\\1\\0\\0\\0\\xc1')", "the answer of the worker cannot be read"),
    ],
)
async def test_process_that_fails_gives_a_failed_answer(code: str, reason: str) -> None:
    longest = 0.2 if "sleep" in code else 30
    found = await FitProcess((sys.executable, "-c", code), longest).fit(request(DAYS))
    assert found.failed
    assert isinstance(found.found, Unknown)
    assert found.found.reason.startswith(reason)


async def test_process_that_does_not_exist_gives_a_failed_answer() -> None:
    found = await FitProcess(("/nonexistent/python",)).fit(request(DAYS))
    assert found.failed
    assert found.found == Unknown("the worker did not start: No such file or directory")


@pytest.mark.slow
async def test_worker_process_returns_the_fit_of_its_request() -> None:
    from ocw_mcp.core.regime.features import features_of
    from ocw_mcp.core.regime.fitting import fit_of

    rows = features_of([(each.close_time, each.close) for each in PAST])
    assert not isinstance(rows, Unknown)
    asked = FitRequest("BTCUSDT", START, tuple(map(tuple, rows.tolist())), 1)
    found = await FitProcess().fit(asked)
    assert isinstance(found.found, RegimeFit)
    assert found == RegimeFitted("BTCUSDT", START, fit_of(asked))


ECHO = r"""
import os, struct, sys
read = sys.stdin.buffer.read
while len(head := read(4)) == 4:
    read(*struct.unpack("<I", head))
    text = b"\x82\xa2is\xa7unknown\xa6reason\xa6" + b"%06d" % os.getpid()
    os.write(1, struct.pack("<I", len(text)) + text)
"""


@pytest.mark.slow
async def test_kept_process_fits_all_models_and_a_dead_one_is_replaced() -> None:
    fits = FitProcess((sys.executable, "-c", ECHO), keeps=True)
    first, second = [await fits.fit(request(DAYS)) for _ in range(2)]
    assert isinstance(first.found, Unknown)
    assert (first, first.failed) == (second, False)
    os.kill(int(first.found.reason), signal.SIGKILL)
    found = [await fits.fit(request(DAYS)) for _ in range(2)]
    assert found[1].found != first.found
    assert not found[1].failed
    await fits.close()
    assert isinstance(found[1].found, Unknown)
    with pytest.raises(ProcessLookupError):
        os.kill(int(found[1].found.reason), 0)
