"""Daily candles beside the shorter ones of a tape show the regime from the tape's beginning."""

from pathlib import Path

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.regime import FitRequest, RegimeReading
from ocw_mcp.domain.steps import RegimeFitted
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.markets import START, path
from tests.support.regimes import FIT, candles, walk
from tests.support.runs import Run
from tests.support.tapes import write_csv


class Worker:
    """A worker that answers at once."""

    def __init__(self) -> None:
        self.asked: list[FitRequest] = []

    async def fit(self, request: FitRequest) -> RegimeFitted:
        self.asked.append(request)
        return RegimeFitted(request.symbol, request.at, FIT)

    async def close(self) -> None:
        """Nothing runs."""


def days(until: int = START) -> list[Candle]:
    """Return 480 days, of which the last two close after `START`."""
    returns = walk(4, 480, block=60)
    return candles(returns, until - (len(returns) - 2) * DAY)


def tape(folder: Path) -> Path:
    """Write minutes from `START` on, and days around it."""
    write_csv(folder, path([101.0] * 30))
    write_csv(folder, days(), "BTCUSDT-1d-2026-01.csv")
    return folder


async def frames(feed: TapeFeed, after: int | None = None) -> list[Frame]:
    return [frame async for frame in feed.frames(after)]


async def test_first_frame_has_the_days_that_closed_before_the_tape(tmp_path: Path) -> None:
    feed = TapeFeed.open(tape(tmp_path), interval="1m")
    feed.read_days_of("BTCUSDT")
    first, *rest = await frames(feed)
    assert [each.close_time for each in first.days] == [each.close_time for each in days() if each.close_time <= START]
    assert first.days[-1].close_time == START
    assert not any(frame.days for frame in rest)
    assert not any(frame.days for frame in await frames(feed, START + MINUTE))


async def test_tape_of_days_or_of_another_symbol_has_no_days_before_it(tmp_path: Path) -> None:
    feed = TapeFeed.open(tape(tmp_path), interval="1m")
    assert not any(frame.days for frame in await frames(feed))
    feed.read_days_of("ETHUSDT")
    assert not any(frame.days for frame in await frames(feed))
    daily = TapeFeed.open(tmp_path, interval="1d")
    daily.read_days_of("BTCUSDT")
    assert not any(frame.days for frame in await frames(daily))


async def test_changed_days_are_another_tape(tmp_path: Path) -> None:
    before = TapeFeed.open(tape(tmp_path), interval="1m").identity
    write_csv(tmp_path, days()[1:], "BTCUSDT-1d-2026-01.csv")
    assert TapeFeed.open(tmp_path, interval="1m").identity != before


async def test_book_knows_the_regime_at_the_beginning_of_such_a_tape(tmp_path: Path) -> None:
    worker = Worker()
    run = Run(TapeFeed.open(tape(tmp_path), interval="1m"))
    run.simulation.shell.fitting.fitter = worker
    await run.go(for_ms=MINUTE)
    assert [each.at for each in worker.asked] == [START]
    reading = run.engine.account.outlook.regime(START)
    assert isinstance(reading, RegimeReading)
    assert reading.at == START
