"""The trades of the sandbox market: they agree with its klines and with the candles of the source at every time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.values import Kline
from tests.support.dice import Dice, dice
from tests.support.examples import examples
from tests.support.sandbox_market import DAY_1, StoredFeed, built, candle, simulated, stated

MINUTES = 130


MOST = 20
"""The largest number of candles in an example."""


def candle_rows(roll: Dice) -> list[Candle]:
    """Return candles of two hours, with holes, minutes without volume, and minutes with fewer lots than trades."""
    rows = []
    for minute in sorted({roll.pick(range(MINUTES)) for _ in range(roll.pick(COUNTS))}):
        low = roll.pick(range(1, 10 ** roll.pick(range(1, 8)) + 1))
        high = low + roll.pick(range(41))
        opened, closed = roll.pick(range(low, high + 1)), roll.pick(range(low, high + 1))
        lots = roll.pick(range(7)) if roll.yes() else roll.pick(range(7, 10**9 + 1))
        taker = roll.pick(range(lots + 1)) if roll.yes() else None
        if lots == 0:
            high = low = closed = opened
        row = opened / 100, high / 100, low / 100, closed / 100, lots / 1000
        rows.append(candle(minute, row, None if taker is None else taker / 1000))
    return rows


COUNTS = (*range(1, 12), *range(1, 5), MOST)
ROWS = dice(1 + 33 * MOST).map(candle_rows)


def market(rows: list[Candle]) -> SandboxMarket:
    return SandboxMarket(StoredFeed(rows), DAY_1)


@examples(20, slow=100)
@given(ROWS)
def test_trades_of_each_minute_build_the_source_candle(rows: list[Candle]) -> None:
    sandbox = market(rows)
    for row in rows:
        trades = sandbox.trades("BTCUSDT", row.open_time - 1, row.close_time - 1)
        if row.volume == 0:
            assert trades == []
            continue
        kline = built(trades)
        assert (kline.open, kline.high, kline.low, kline.close) == tuple(
            Decimal(repr(price)) for price in (row.open, row.high, row.low, row.close)
        )
        assert kline.volume == Decimal(repr(row.volume))
        if row.taker_volume is not None:
            assert kline.taker_volume == Decimal(repr(row.taker_volume))
        assert all(trade.quantity > 0 for trade in trades)
        assert trades[0].at == row.open_time


@examples(20, slow=100)
@given(ROWS)
def test_closed_klines_equal_the_candles_of_the_source(rows: list[Candle]) -> None:
    sandbox = market(rows)
    now = DAY_1 + MINUTES * MINUTE
    klines = sandbox.klines("BTCUSDT", "1m", 0, now, MINUTES, now)
    assert [(k.open_time, k.open, k.high, k.low, k.close, k.volume) for k in klines] == [
        (row.open_time, row.open, row.high, row.low, row.close, row.volume) for row in rows
    ]
    known = {row.open_time: row.taker_volume for row in rows if row.taker_volume is not None}
    assert {k.open_time: k.taker_volume for k in klines if k.open_time in known} == known
    assert all(kline.closed for kline in klines)


@examples(20, slow=100)
@given(ROWS, st.integers(0, 19), st.integers(0, MINUTE - 1), st.sampled_from([1, 3, 5, 15, 60]))
def test_klines_of_any_length_at_any_time_equal_their_trades(
    rows: list[Candle], forming: int, into: int, minutes: int
) -> None:
    sandbox, now = market(rows), rows[forming % len(rows)].open_time + into
    length = minutes * MINUTE
    for opened in range(DAY_1, now + 1, length):
        kline = sandbox.kline("BTCUSDT", length, opened, now)
        trades = sandbox.trades("BTCUSDT", opened - 1, min(opened + length - 1, now))
        if trades:
            assert kline is not None
            assert kline.closed is (now >= opened + length)
            volumes_only = any(row.volume == 0 and opened <= row.open_time < opened + length for row in rows)
            expected = built(trades)
            # A minute without trades has a price too, which its interval passes through.
            skipped = 4 if volumes_only else 0
            assert rounded(stated(kline)[skipped:]) == rounded(expected[skipped:])
        elif kline is not None:
            assert (kline.volume, kline.trades, kline.first_trade, kline.last_trade) == (0, 0, -1, -1)


def rounded(values: tuple[Decimal | int, ...]) -> list[Decimal | int]:
    """Return the values with the digits that a float of a sum can have."""
    return [value if isinstance(value, int) else Decimal(repr(float(value))) for value in values]


@examples(20, slow=100)
@given(ROWS)
def test_trades_are_numbered_without_holes_in_order_of_time(rows: list[Candle]) -> None:
    trades = market(rows).trades("BTCUSDT", 0, DAY_1 + MINUTES * MINUTE)
    assert [trade.id for trade in trades] == list(range(1, len(trades) + 1))
    assert [trade.at for trade in trades] == sorted(trade.at for trade in trades)


@examples(20, slow=100)
@given(ROWS, st.integers(-1, MINUTES * MINUTE), st.integers(0, MINUTES * MINUTE))
def test_any_window_of_trades_is_a_part_of_all_trades(rows: list[Candle], since: int, length: int) -> None:
    sandbox, until = market(rows), DAY_1 + since + length
    all_trades = sandbox.trades("BTCUSDT", 0, DAY_1 + MINUTES * MINUTE)
    window = sandbox.trades("BTCUSDT", DAY_1 + since, until)
    assert window == [trade for trade in all_trades if DAY_1 + since < trade.at <= until]
    assert sandbox.last_trade("BTCUSDT", until) == next(
        (trade for trade in reversed(all_trades) if trade.at <= until), None
    )
    for trade in window[:3]:
        assert sandbox.trades_from("BTCUSDT", trade.id, 5, until)[:1] == [trade]


@examples(2, slow=8)
@given(st.integers(0, 5 * HOUR), st.lists(st.integers(1, 20 * MINUTE), min_size=1, max_size=8))
def test_markets_of_one_seed_agree_whatever_was_asked_before(first: int, steps: list[int]) -> None:
    one, other = simulated(), SandboxMarket.simulated(3, ("BTCUSDT", "ETHUSDT"))
    at = other.start + first
    for step in steps:
        at += step
        for interval in (MINUTE, 15 * MINUTE, 4 * HOUR):
            opened = at - at % interval
            assert one.kline("ETHUSDT", interval, opened, at) == other.kline("ETHUSDT", interval, opened, at)
        assert one.trades("ETHUSDT", at - step, at) == other.trades("ETHUSDT", at - step, at)
        assert one.quote("BTCUSDT", at) == other.quote("BTCUSDT", at)
        assert one.mark("BTCUSDT", at) == other.mark("BTCUSDT", at)
        assert one.depth("BTCUSDT", at, 20) == other.depth("BTCUSDT", at, 20)
        assert one.liquidations("ETHUSDT", at - step, at) == other.liquidations("ETHUSDT", at - step, at)


@pytest.mark.parametrize("interval", [MINUTE, 15 * MINUTE, 4 * HOUR])
def test_a_forming_kline_only_widens_and_grows(interval: int) -> None:
    sandbox = simulated()
    opened, last = sandbox.start + 4 * HOUR, None
    for at in range(opened, opened + min(interval, HOUR), 777):
        kline = sandbox.kline("BTCUSDT", interval, opened, at)
        assert isinstance(kline, Kline)
        assert not kline.closed
        if last is not None:
            assert (kline.open, kline.first_trade) == (last.open, last.first_trade)
            assert kline.high >= last.high
            assert kline.low <= last.low
            assert kline.volume >= last.volume
            assert kline.last_trade >= last.last_trade
        last = kline


def test_seconds_of_a_minute_join_to_the_minute() -> None:
    sandbox = simulated()
    opened, now = sandbox.start + HOUR, sandbox.start + 2 * HOUR
    seconds = sandbox.klines("BTCUSDT", "1s", opened, opened + MINUTE - 1, 1000, now)
    minute = sandbox.kline("BTCUSDT", MINUTE, opened, now)
    assert minute is not None
    assert len(seconds) == MINUTE // SECOND
    assert [each.open_time for each in seconds] == list(range(opened, opened + MINUTE, SECOND))
    assert max(each.high for each in seconds) == minute.high
    assert min(each.low for each in seconds) == minute.low
    assert (seconds[0].open, seconds[-1].close) == (minute.open, minute.close)
    assert sum(Decimal(repr(each.volume)) for each in seconds) == Decimal(repr(minute.volume))
    assert sum(each.trades for each in seconds) == minute.trades
