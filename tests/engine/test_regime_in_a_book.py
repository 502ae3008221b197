"""The regime in a book: fits, the levels at the order and at the fill, restarts, failed workers, and no look-ahead."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.risk.sizes import exposure_scale
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.orders import Accepted, Order
from ocw_mcp.domain.outlook_events import ModelFitted, RegimeChanged
from ocw_mcp.domain.policies import ScalePolicy
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.steps import AskFit, MacroSeen, RegimeFitted
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.step import Engine
from tests.support.examples import examples
from tests.support.markets import START
from tests.support.regimes import FIT, candles, walk
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
COUNT = 480
SCALE = {
    "regime_calm": 1,
    "regime_normal": "0.8",
    "regime_turbulent": "0.6",
    "regime_unknown": "0.5",
    "macro_goldilocks": "1.2",
    "macro_reflation": 1,
    "macro_deflation": "0.9",
    "macro_stagflation": "0.5",
    "macro_unknown": "0.7",
}


def past() -> list[Candle]:
    """Return days up to the book's beginning, of which the last sixty are turbulent."""
    returns = walk(4, COUNT, block=60)
    return candles(returns, START - len(returns) * DAY)


def book(days: list[Candle], **tables: Any) -> Wire:
    policy = policies(order={"max_notional": 10**6}, position={"max_share": "0.25"}, scale=SCALE, **tables)
    return Wire(policy=policy, days=days)


def fitted(wire: Wire) -> Wire:
    """The worker answers the last request."""
    request = wire.fits[-1]
    wire.give(RegimeFitted(request.symbol, request.at, FIT))
    return wire


def outlook(wire: Wire) -> RegimeReading | Unknown:
    return wire.engine.account.outlook.regime(wire.now)


def macro(quadrant: Quadrant, at: int = START) -> MacroSeen:
    return MacroSeen(MacroReading(quadrant, 0.1, 0.1, at))


def day_later(wire: Wire, price: float, days: int = 1) -> None:
    """A day of one candle closes: the minutes before it are missing."""
    wire.minute += days * DAY // MINUTE - (wire.minute + 1) % (DAY // MINUTE) - 1
    wire.tick({"BTCUSDT": price})


def test_book_with_a_past_asks_for_one_fit_and_reads_it_at_once() -> None:
    wire = book(past())
    (request,) = wire.fits
    assert (request.symbol, request.at) == ("BTCUSDT", START)
    assert outlook(wire) == Unknown("the first fit is not done")
    fitted(wire)
    reading = outlook(wire)
    assert isinstance(reading, RegimeReading)
    assert (reading.at, reading.fitted_at, reading.level) == (START, START, Level.TURBULENT)
    models = [each for each in wire.journal if isinstance(each, ModelFitted)]
    changes = [each for each in wire.journal if isinstance(each, RegimeChanged)]
    assert models == [ModelFitted("BTCUSDT", START, FIT)]
    assert changes == [RegimeChanged("BTCUSDT", None, Level.TURBULENT)]
    assert wire.engine.snapshot(wire.now).regime == reading


@examples(60, slow=600)
@given(
    st.fixed_dictionaries({key: st.decimals("0.1", "1", places=2) for key in SCALE}),
    st.sampled_from([None, *Level]),
    st.sampled_from([None, *Quadrant]),
    st.decimals("1", "2", places=2),
)
def test_factor_is_the_product_of_both_capped_at_1(
    table: dict[str, Decimal], level: Level | None, quadrant: Quadrant | None, high: Decimal
) -> None:
    table["macro_goldilocks"] = high
    table["regime_normal"] = max(table["regime_normal"], table["regime_turbulent"])
    table["regime_calm"] = max(table["regime_calm"], table["regime_normal"])
    expected = table[f"regime_{level or 'unknown'}"] * table[f"macro_{quadrant or 'unknown'}"]
    found = exposure_scale(ScalePolicy(**table), level or Unknown("?"), quadrant or Unknown("?"))
    assert found == (expected if expected < 1 else 1)


@pytest.mark.parametrize(
    ("with_fit", "quadrant", "factor"),
    [
        (False, None, "0.35"),
        (False, Quadrant.GOLDILOCKS, "0.6"),
        (True, None, "0.42"),
        (True, Quadrant.REFLATION, "0.6"),
        (True, Quadrant.STAGFLATION, "0.3"),
    ],
)
def test_entry_is_held_to_the_level_and_the_quadrant_of_its_time(
    with_fit: bool, quadrant: Quadrant | None, factor: str
) -> None:
    wire = book(past())
    if with_fit:
        fitted(wire)
    if quadrant is not None:
        wire.give(macro(quadrant))
    most = 10_000 * D("0.25") * D(factor) / D("100.2")
    refused = wire.enter(quantity=str(round(most * D("1.01"), 3)))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.POSITION_SHARE
    assert isinstance(wire.enter(quantity=str(round(most * D("0.99"), 3))), Order)


@pytest.mark.parametrize("restarts", [False, True])
def test_fill_in_a_worse_regime_is_cut_to_the_limit_of_that_regime(restarts: bool) -> None:
    wire = book([])
    wire.give(macro(Quadrant.GOLDILOCKS))
    order = wire.enter(quantity="14.9", stop=D(97), limit=D("99.5"))
    assert isinstance(order, Order)
    wire.give(Accepted(order.ref, "v1"))
    wire.give(macro(Quadrant.STAGFLATION))
    if restarts:
        wire.restart()
    wire.fill(order, price="99.5")
    allowed = 10_000 * D("0.25") * D("0.5") * D("0.5")
    incidents = [each.text for each in wire.journal if isinstance(each, Incident)]
    assert any("position.max_share" in text for text in incidents)
    sold = sum(each.quantity for each in wire.sent if each.reduce_only and each.trigger_price is None)
    assert (order.quantity - sold) * D("99.5") <= allowed * D("1.02")
    assert sold > 0


def test_fill_in_the_regime_of_its_order_is_kept() -> None:
    wire = book([])
    wire.give(macro(Quadrant.STAGFLATION))
    order = wire.enter(quantity="6.1", stop=D(97))
    assert isinstance(order, Order)
    wire.fill(order)
    assert not [each for each in wire.journal if isinstance(each, Incident)]


def test_restart_around_a_fit_reads_the_same() -> None:
    one, other = book(past()), book(past())
    other.restart()
    assert other.engine.account.outlook.follower.pending() == one.fits[-1]
    fitted(one)
    fitted(other)
    other.restart()
    assert outlook(other) == outlook(one)
    assert other.engine.account.outlook.follower.pending() is None
    for wire in (one, other):
        day_later(wire, 101.0)
    other.restart()
    assert outlook(other) == outlook(one)
    assert other.journal == one.journal


def test_failed_worker_leaves_the_cautious_factor_and_is_asked_again() -> None:
    wire = book(past())
    request = wire.fits[-1]
    why = "the worker took longer than 120 s"
    wire.give(RegimeFitted(request.symbol, request.at, Unknown(why), failed=True))
    assert outlook(wire) == Unknown(f"the first fit is not done: {why}")
    assert wire.engine.account.outlook.scale(wire.now) == D("0.35")
    assert isinstance(wire.enter(quantity="5"), Order)
    day_later(wire, 100.5)
    assert [each.at for each in wire.fits] == [START, START + DAY]


def test_answer_to_another_request_has_no_effect() -> None:
    wire = fitted(book(past()))
    before = list(wire.journal)
    wire.give(RegimeFitted("BTCUSDT", START, Unknown("again")))
    wire.give(RegimeFitted("BTCUSDT", START - DAY, FIT))
    wire.give(RegimeFitted("ETHUSDT", START, FIT))
    assert wire.journal == before


def test_later_days_never_change_a_reading() -> None:
    readings = []
    for prices in ([101.0, 99.0, 103.0], [101.0, 99.0, 180.0]):
        wire = fitted(book(past()))
        found = []
        for price in prices:
            day_later(wire, price)
            found.append(outlook(wire))
        readings.append(found)
    assert readings[0][:2] == readings[1][:2]
    assert readings[0][2] != readings[1][2]


def test_old_daily_close_makes_the_regime_unknown() -> None:
    wire = fitted(book(past()))
    regime = wire.engine.account.outlook.regime
    assert isinstance(regime(START + 3 * DAY - 1), RegimeReading)
    assert regime(START + 3 * DAY) == Unknown("the last daily close of BTCUSDT is 3 days old")


def test_old_macro_reading_counts_as_unknown() -> None:
    wire = book([])
    wire.give(macro(Quadrant.GOLDILOCKS, START - 62 * DAY))
    found = wire.engine.account.outlook.quadrant(wire.now)
    assert found == Unknown("the newest macro value is 62 days old")


def test_book_without_the_symbol_has_an_unknown_regime() -> None:
    wire = Wire(policy=policies(scale=SCALE), symbols=("ETHUSDT",), days=past())
    assert wire.fits == []
    reading = outlook(wire)
    assert reading == Unknown("this book does not follow BTCUSDT, which scale.regime_symbol names")
    assert wire.engine.account.outlook.scale_reason(wire.now) == "regime unknown 0.5, macro unknown 0.7"


def test_symbol_of_the_regime_is_a_policy_key() -> None:
    days = candles(walk(4, COUNT, block=60), START - COUNT * DAY, "ETHUSDT")
    wire = Wire(policy=policies(scale={**SCALE, "regime_symbol": "ETHUSDT"}), symbols=("ETHUSDT",), days=days)
    assert [each.symbol for each in wire.fits] == ["ETHUSDT"]


def test_history_in_several_frames_is_taken_once() -> None:
    days, wire = past(), Wire(policy=policies(scale=SCALE))
    engine = Engine(wire.engine.config)
    for part in (days[:300], days[200:]):
        engine.step(Frame(START, days=tuple(part), history=True), START)
    effects = engine.step(Frame(START), START)
    assert [each.request for each in effects if isinstance(each, AskFit)] == book(days).fits
