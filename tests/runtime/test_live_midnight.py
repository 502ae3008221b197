"""A live book that was down at midnight UTC or at a funding time counts the day and the funding as of that time."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Frame, Funding
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import ListedLive, quoted
from tests.support.markets import START, candle
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
BEFORE = DAY // MINUTE - 10
"""The number of the minute in which the book begins: ten minutes before midnight."""


def started(store: MemoryStore, frames: Sequence[Frame], at: int, script=None) -> Run:  # type: ignore[no-untyped-def]
    feed = ListedLive(frames)
    feed.clock.at = at
    return Run(feed, Scripted(script or {}), store=store, policy=WAKES, clock=feed.clock, live=True)


async def with_position(first: int = BEFORE) -> MemoryStore:
    """Return the store of a book that was stopped with a long position, two minutes after it began."""
    at = START + first * MINUTE
    frames = [
        Frame(at, (candle(first - 1, 100.0),), history=True),
        Frame(at + MINUTE, (candle(first, 100.0),)),
        with_funding(quoted("BTCUSDT", at + MINUTE + SECOND, 100.0)),
        with_funding(quoted("BTCUSDT", at + MINUTE + 2 * SECOND, 100.0)),
        Frame(at + 2 * MINUTE, (candle(first + 1, 100.0),)),
        with_funding(quoted("BTCUSDT", at + 2 * MINUTE + SECOND, 100.0)),
    ]
    run = await started(MemoryStore(), frames, at, {1: buy("95.2")}).go()
    assert run.engine.account.ledger.quantity("BTCUSDT") > 0
    return run.store.reopened()


async def test_the_day_begins_with_the_equity_at_midnight() -> None:
    store = await with_position()
    quantity = started(store, [], START).engine.account.ledger.quantity("BTCUSDT")
    at = START + DAY + 30 * MINUTE + 5 * SECOND
    # The price is 98 at midnight, and 96 later.
    closes = {index: 98.0 if index < DAY // MINUTE else 96.0 for index in range(BEFORE + 2, DAY // MINUTE + 30)}
    late = [
        Frame(START + (index + 1) * MINUTE, (candle(index, close, open_=close),), late=True)
        for index, close in closes.items()
    ]
    marks = [quoted("BTCUSDT", at + second * SECOND, 96.0) for second in range(2)]
    done = await started(store, [*late, *marks], at).go()
    opened = [each for each in done.events(events.DayOpened) if each.day.endswith("02")]
    (day,) = opened
    fees = sum((each.fee for each in done.events(events.OrderFilled)), Decimal(0))
    (fill,) = done.events(events.OrderFilled)
    assert float(day.equity) == pytest.approx(float(10_000 - fees + quantity * (98 - fill.price)), abs=0.01)


def with_funding(frame: Frame, rate: float = 0.0001) -> Frame:
    """Return a frame whose mark prices name the next funding time, at midnight."""
    marks = tuple(
        msgspec.structs.replace(
            mark, funding_rate=rate, next_funding_at=START + DAY if mark.at < START + DAY else START + DAY + 8 * HOUR
        )
        for mark in frame.marks
    )
    return msgspec.structs.replace(frame, marks=marks)


@pytest.mark.parametrize("marks_first", [False, True])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("stopped_before", [False, True])
async def test_funding_of_the_downtime_is_charged_once(known: bool, marks_first: bool, stopped_before: bool) -> None:
    store = await with_position()
    at = START + DAY + 30 * MINUTE + 5 * SECOND
    late = []
    for index in range(BEFORE + 2, DAY // MINUTE + 30):
        close = 98.0 if index < DAY // MINUTE else 96.0
        low = 94.0 if stopped_before and index == BEFORE + 5 else close
        closed_at = START + (index + 1) * MINUTE
        funding = (Funding("BTCUSDT", closed_at, 0.0003, 8),) if known and closed_at == START + DAY else ()
        late.append(Frame(closed_at, (candle(index, close, open_=close, low=low),), funding=funding, late=True))
    marks = [with_funding(quoted("BTCUSDT", at + second * SECOND, 96.0), 0.0002) for second in range(3)]
    frames = [marks[0], *late, *marks[1:]] if marks_first else [*late, *marks]
    done = await started(store, frames, at).go()
    booked = done.events(events.FundingBooked)
    if stopped_before:
        assert booked == []
    else:
        (paid,) = booked
        assert paid.settled_at == START + DAY
        assert paid.mark == 98
        assert paid.rate == Decimal("0.0003" if known else "0.0001")
