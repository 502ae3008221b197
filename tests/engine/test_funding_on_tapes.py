"""Funding on recorded markets, of which some months have no rates, equals a sum over the stamps."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from tests.engine.test_report import report_of
from tests.support.deciders import Scripted
from tests.support.examples import slow_after
from tests.support.invariants import watched
from tests.support.legs import buy, sell, short
from tests.support.runs import Run, policies

D = Decimal
ETH, BTC = "ETHUSDT", "BTCUSDT"
MARCH_28, APRIL_1, APRIL_6 = 1_774_656_000_000, 1_775_001_600_000, 1_775_433_600_000
HEADER = "calc_time,funding_interval_hours,last_funding_rate\n"
HOURLY = policies(gate={"close_wakes": ["1h"], "cooldown_s": 0}, stop={"max_distance": "0.5"})
BY_MINUTE = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def klines(folder: Path, symbol: str, since: int, until: int, step: int, price: float = 2_000.0) -> None:
    """A flat market in the layout of the archive."""
    name = {HOUR: "1h", MINUTE: "1m"}[step]
    file = folder / f"futures/um/monthly/klines/{symbol}/{name}/{symbol}-{name}-2026-03.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{at},{price},{price},{price},{price},1e6\n" for at in range(since, until, step)))


def rates(folder: Path, month: str, stamps: list[int], rate: str = "0.0003", hours: int = 8, symbol: str = ETH) -> None:
    """A month of funding rates; each is stamped 3 ms late, as the exchange often does."""
    file = folder / f"futures/um/monthly/fundingRate/{symbol}/{symbol}-fundingRate-2026-{month}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEADER + "".join(f"{at + 3},{hours},{rate}\n" for at in stamps))


def told_stamps(months: str, hours: int) -> Iterator[tuple[str, list[int]]]:
    """The stamps of the months with rates; one in the middle of March is missing."""
    for month, since, until in (("03", MARCH_28, APRIL_1), ("04", APRIL_1, APRIL_6)):
        if month in months:
            yield month, [at for at in range(since, until, hours * HOUR) if at != MARCH_28 + 32 * HOUR]


async def run_over(folder: Path, script: dict[int, Decision], policy: object = HOURLY) -> Run:
    return await watched(Run(TapeFeed.open(folder), Scripted(script), policy=policy)).go()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("months", "open_it", "way", "hours"),
    slow_after(
        2,
        [
            ("03", buy, 1, 8),
            ("04", short, -1, 8),
            ("", buy, 1, 8),
            ("03 04", short, -1, 8),
            ("03", buy, 1, 4),
            ("04", buy, 1, 1),
        ],
    ),
)
async def test_each_funding_time_settles_once_with_or_without_a_rate(
    tmp_path: Path, months: str, open_it: object, way: int, hours: int
) -> None:
    klines(tmp_path, ETH, MARCH_28, APRIL_6, HOUR)
    told: set[int] = set()
    for month, stamps in told_stamps(months, hours):
        rates(tmp_path, month, stamps, hours=hours)
        told |= set(stamps)
    opened = open_it("1900" if way > 0 else "2100", symbol=ETH)  # type: ignore[operator]
    done = await run_over(tmp_path, {1: opened})
    quantity = abs(done.engine.account.ledger.quantity(ETH))
    held = range(MARCH_28 + 2 * HOUR, APRIL_6, HOUR)
    expected = [
        (at, -way * quantity * 2_000 * D("0.0003") if at in told else -quantity * 2_000 * D("0.0001"), at not in told)
        for at in held
        if at in told or at % (8 * HOUR) == 0
    ]
    paid = done.events(events.FundingBooked)
    assert [(each.settled_at, each.amount, each.assumed) for each in paid] == expected
    assert hours < 8 or len(paid) == 26
    assumed = sum(each.assumed for each in paid)
    flags = [flag for flag in report_of(done)["flags"] if flag.startswith("funding=assumed")]
    assert bool(flags) == bool(assumed)
    assert all(f"{assumed} of {ETH}" in flag for flag in flags)


@pytest.mark.parametrize(("wake", "pays"), [(1, True), (2, True), (3, False)])
async def test_a_funding_rate_dated_milliseconds_late_settles_at_its_hour(
    tmp_path: Path, wake: int, pays: bool
) -> None:
    stamp = MARCH_28 + 8 * HOUR
    klines(tmp_path, ETH, stamp - 3 * MINUTE, stamp + 5 * MINUTE, MINUTE)
    rates(tmp_path, "03", [stamp])
    done = await run_over(tmp_path, {wake: buy("1950", symbol=ETH)}, BY_MINUTE)
    paid = done.events(events.FundingBooked)
    assert [(each.settled_at, each.assumed, each.rate) for each in paid] == [(stamp, False, D("0.0003"))] * pays


async def test_a_trade_closed_after_the_funding_time_includes_funding(tmp_path: Path) -> None:
    stamp = MARCH_28 + 8 * HOUR
    klines(tmp_path, ETH, stamp - 3 * MINUTE, stamp + 5 * MINUTE, MINUTE)
    rates(tmp_path, "03", [stamp])
    done = await run_over(tmp_path, {1: buy("1950", symbol=ETH), 3: sell(ETH)}, BY_MINUTE)
    (paid,), (closed,) = done.events(events.FundingBooked), done.events(events.PositionClosed)
    assert paid.amount == -paid.quantity * 2_000 * D("0.0003") == closed.funding
    assert done.engine.account.ledger.wallet == 10_000 + closed.pnl


@pytest.mark.parametrize("told", [True, False])
async def test_funding_due_at_the_last_close_of_a_run_is_not_settled(tmp_path: Path, told: bool) -> None:
    stamp = MARCH_28 + 8 * HOUR
    klines(tmp_path, ETH, stamp - 3 * MINUTE, stamp, MINUTE)
    if told:
        rates(tmp_path, "03", [stamp])
    done = await run_over(tmp_path, {1: buy("1950", symbol=ETH)}, BY_MINUTE)
    assert done.engine.account.ledger.quantity(ETH) > 0
    assert done.events(events.FundingBooked) == []


@pytest.mark.parametrize("told", [True, False])
async def test_no_funding_is_booked_on_a_symbol_whose_data_have_ended(tmp_path: Path, told: bool) -> None:
    ended = MARCH_28 + 2 * DAY
    klines(tmp_path, ETH, MARCH_28, ended, HOUR)
    klines(tmp_path, BTC, MARCH_28, MARCH_28 + 4 * DAY, HOUR)
    if told:
        rates(tmp_path, "03", list(range(MARCH_28, APRIL_1, 8 * HOUR)))
        rates(tmp_path, "03", list(range(MARCH_28, APRIL_1, 8 * HOUR)), symbol=BTC)
    done = await run_over(tmp_path, {1: Decision((*buy("1900", symbol=ETH).legs, *buy("1900", symbol=BTC).legs))})
    stamps = {symbol: [] for symbol in (ETH, BTC)}  # type: dict[str, list[int]]
    for each in done.events(events.FundingBooked):
        stamps[each.symbol].append(each.settled_at)
        assert each.assumed is not told
    assert stamps[ETH] == list(range(MARCH_28 + 8 * HOUR, ended, 8 * HOUR))
    assert stamps[BTC] == list(range(MARCH_28 + 8 * HOUR, MARCH_28 + 4 * DAY, 8 * HOUR))


async def test_funding_in_a_data_gap_is_settled_at_the_next_candle(tmp_path: Path) -> None:
    stamp = MARCH_28 + 8 * HOUR
    file = tmp_path / f"futures/um/monthly/klines/{ETH}/1m/{ETH}-1m-2026-03.csv"
    klines(tmp_path, ETH, stamp - 3 * MINUTE, stamp + 10 * MINUTE, MINUTE)
    kept = [line for line in file.read_text().splitlines() if not stamp <= int(line.split(",")[0]) < stamp + 5 * MINUTE]
    file.write_text("\n".join(kept) + "\n")
    rates(tmp_path, "03", [stamp])
    done = await run_over(tmp_path, {1: buy("1950", symbol=ETH)}, BY_MINUTE)
    (paid,) = done.timed(events.FundingBooked)
    assert (paid[0], paid[1].settled_at, paid[1].assumed) == (stamp + 5 * MINUTE, stamp, False)
