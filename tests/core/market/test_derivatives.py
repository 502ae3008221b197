"""Derivatives: how each reading is computed, when it is known, and how the composite is formed."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.core.market.composite import WEIGHTS, composite, composite_parts
from ocw_mcp.core.market.derivatives import ROWS_KEPT, STALE_AFTER, Derivatives, DerivativesState
from ocw_mcp.domain.extremes import EXTREMES, extreme_readings
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.metrics import DERIVATIVES
from ocw_mcp.domain.snapshot import DerivativesView
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.examples import examples

STEP = 5 * MINUTE
NOW = 20_000 * DAY
FULL = ROWS_KEPT


def row(steps_ago: int = 0, **changes: Any) -> Metrics:
    plain = Metrics(
        "BTCUSDT",
        NOW - steps_ago * STEP,
        open_interest=1_000.0,
        open_interest_value=100_000.0,
        top_positions_ratio=1.5 + (steps_ago % 2) / 100,
        taker_ratio=1.0,
    )
    return msgspec.structs.replace(plain, **changes)


def reported(*rows: Metrics, funding: Funding | None = None) -> Derivatives:
    derivatives = Derivatives()
    for each in rows:
        derivatives.take(each)
    if funding:
        derivatives.settle(funding)
    return derivatives


def a_day(**last: Any) -> list[Metrics]:
    return [row(ago) for ago in range(FULL - 1, 0, -1)] + [row(**last)]


def reading(derivatives: Derivatives, name: str, now: int = NOW) -> Any:
    return derivatives.values(now)[name]


def is_unknown(value: Any, clause: str) -> bool:
    return isinstance(value, Unknown) and clause in value.reason


def test_derivatives_readings_have_the_names_of_metrics() -> None:
    assert {*Derivatives().values(NOW), "liquidations_1h"} == set(DERIVATIVES)
    assert {*DERIVATIVES, "parts", "extremes", "as_of"} == set(DerivativesView.__struct_fields__)


def test_derivatives_readings_are_unknown_before_the_first_row() -> None:
    assert all(isinstance(value, Unknown) for value in Derivatives().values(NOW).values())


def test_funding_is_shown_per_8h_for_every_interval() -> None:
    assert reading(reported(funding=Funding("BTCUSDT", NOW, 0.0001, 4)), "funding_8h") == pytest.approx(0.0002)


def test_funding_rate_older_than_two_intervals_is_unknown() -> None:
    derivatives = reported(funding=Funding("BTCUSDT", NOW - 16 * HOUR, 0.0001, 8))
    assert reading(derivatives, "funding_8h") == 0.0001
    assert is_unknown(reading(derivatives, "funding_8h", NOW + 1), "16 h old")


def test_open_interest_change_compares_with_one_day_before() -> None:
    assert reading(reported(*a_day(open_interest=1_100.0)), "open_interest_change_24h") == pytest.approx(0.1)
    assert is_unknown(reading(reported(*a_day()[2:][4:]), "open_interest_change_24h"), "from 1d ago")


def test_24h_change_may_begin_up_to_15_minutes_late() -> None:
    rows = a_day(open_interest=1_100.0)
    assert reading(reported(*rows[3:]), "open_interest_change_24h") == pytest.approx(0.1)
    assert isinstance(reading(reported(*rows[4:]), "open_interest_change_24h"), Unknown)


def test_taker_ratio_is_the_geometric_mean_of_an_hour() -> None:
    ratios = [row(ago, taker_ratio=2.0 if ago % 2 else 0.5) for ago in range(11, -1, -1)]
    assert reading(reported(row(12, taker_ratio=50.0), *ratios), "taker_ratio_1h") == pytest.approx(1.0)
    assert is_unknown(reading(reported(*ratios[-5:]), "taker_ratio_1h"), "has 5")


def test_long_short_z_compares_with_earlier_ratios_only() -> None:
    earlier = [row(ago) for ago in range(100, 0, -1)]
    z = reading(reported(*earlier, row(top_positions_ratio=1.6)), "long_short_z")
    ratios = [each.top_positions_ratio or 0 for each in earlier]
    mean = sum(ratios) / 100
    deviation = math.sqrt(sum((each - mean) ** 2 for each in ratios) / 99)
    assert z == pytest.approx((1.6 - mean) / deviation)
    assert is_unknown(reading(reported(*earlier[-47:], row()), "long_short_z"), "has 47")


def test_long_short_z_of_a_constant_ratio_is_unknown() -> None:
    still = [row(ago, top_positions_ratio=1.5) for ago in range(100, -1, -1)]
    assert is_unknown(reading(reported(*still), "long_short_z"), "has not changed")


def test_empty_ratios_are_unknown_and_open_interest_is_known() -> None:
    bare = [msgspec.structs.replace(each, top_positions_ratio=None, taker_ratio=None) for each in a_day()]
    values = reported(*bare).values(NOW)
    assert values["open_interest_change_24h"] == 0
    assert all(isinstance(values[name], Unknown) for name in ("taker_ratio_1h", "long_short", "long_short_z"))


def test_metrics_are_unknown_after_three_missing_rows() -> None:
    derivatives = reported(*a_day())
    assert reading(derivatives, "long_short", NOW + STALE_AFTER) == 1.5
    late = derivatives.values(NOW + STALE_AFTER + 1)
    assert all(is_unknown(late[name], "15 min old") for name in late if name not in ("funding_8h", "composite"))


def test_row_or_funding_rate_not_later_than_the_last_is_ignored() -> None:
    derivatives = reported(*a_day(), funding=Funding("BTCUSDT", NOW, 0.0001, 8))
    before = derivatives.values(NOW)
    derivatives.take(row(1, open_interest=5.0))
    derivatives.take(row(0, open_interest=5.0))
    derivatives.settle(Funding("BTCUSDT", NOW, 0.9, 8))
    assert derivatives.values(NOW) == before


@examples(20, slow=100)
@given(
    names=st.permutations(sorted({*DERIVATIVES} - {"liquidations_1h"})),
    missing=st.sets(st.integers(0, FULL - 1), max_size=5),
    late=st.sampled_from([0, STALE_AFTER + 1]),
)
def test_one_reading_is_the_same_as_among_all(names: list[str], missing: set[int], late: int) -> None:
    rows = [each for place, each in enumerate(a_day(top_positions_ratio=1.7)) if place not in missing]
    funding = Funding("BTCUSDT", NOW, 0.0001, 8)
    single, together = reported(*rows, funding=funding), reported(*rows, funding=funding).values(NOW + late)
    assert {name: single.value(name, NOW + late) for name in names} == together


def test_one_day_of_rows_is_kept_and_restored() -> None:
    derivatives = reported(*(row(ago) for ago in range(5 * FULL, -1, -1)), funding=Funding("BTCUSDT", NOW, 0.0001, 8))
    state = derivatives.state()
    assert len(state.rows) == FULL
    again = Derivatives()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state)))
    assert again.values(NOW) == derivatives.values(NOW)


def premium(at: int, share: float, **changes: Any) -> Metrics:
    return Metrics("BTCUSDT", at, perp_price=100.0 * (1 + share), index_price=100.0, **changes)


def test_basis_is_the_mean_premium_of_an_hour_per_year() -> None:
    hour = [row(ago, perp_price=100.0 + ago, index_price=100.0) for ago in range(11, -1, -1)]
    mean = sum(ago / 100 for ago in range(12)) / 12
    older = row(12, perp_price=900.0, index_price=100.0)
    assert reading(reported(older, *hour), "basis") == pytest.approx(mean * 3 * 365)
    assert is_unknown(reading(reported(*hour[:5]), "basis", NOW - 7 * STEP), "has 5")
    assert is_unknown(reading(reported(row()), "basis"), "no index price")


def test_basis_counts_one_premium_of_each_five_minutes() -> None:
    rows = [premium(NOW - ago * STEP, 0.001) for ago in range(11, -1, -1)]
    derivatives = reported(*rows)
    before = reading(derivatives, "basis")
    for second in range(1, 240, 60):
        derivatives.take(premium(NOW + second * 1000, 0.013, is_interim=True))
    # The last of the four minutes replaces the others.
    assert before == pytest.approx(0.001 * 1095)
    assert reading(derivatives, "basis", NOW + 4 * MINUTE) == pytest.approx((12 * 0.001 + 0.013) / 13 * 1095)


def test_basis_is_unknown_if_the_last_premium_is_old() -> None:
    rows = [premium(NOW - ago * STEP, 0.001) for ago in range(11, -1, -1)]
    assert is_unknown(reading(reported(*rows), "basis", NOW + STALE_AFTER + 1), "15 min old")


def test_interim_open_interest_is_compared_with_a_day_before() -> None:
    derivatives = reported(*a_day())
    at = NOW + 90_000
    derivatives.take(Metrics("BTCUSDT", at, 1_200.0, 132_000.0, is_interim=True))
    assert reading(derivatives, "open_interest_change_24h", at) == pytest.approx(0.2)
    assert derivatives.parts(at)["open_interest"] == pytest.approx(0.1 * math.tanh(2))
    again = Derivatives()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(derivatives.state()), type=DerivativesState))
    assert again.values(at) == derivatives.values(at)
    # The row of the next five minutes counts instead.
    derivatives.take(row(-1, open_interest=1_100.0))
    assert reading(derivatives, "open_interest_change_24h", NOW + STEP) == pytest.approx(0.1)


@examples(20, slow=100)
@given(st.permutations(range(60)), st.integers(0, 2**60 - 1))
def test_rows_and_columns_may_come_in_any_order(order: list[int], split: int) -> None:
    rows = [row(ago, top_positions_ratio=1.5 + ago % 7 / 100) for ago in range(59, -1, -1)]
    late = Derivatives()
    parts = []
    for place in order:
        if split >> place & 1:
            parts.append(msgspec.structs.replace(rows[place], top_positions_ratio=None, open_interest=None))
            parts.append(
                Metrics("BTCUSDT", rows[place].at, 1_000.0, top_positions_ratio=rows[place].top_positions_ratio)
            )
        else:
            parts.append(rows[place])
    for each in parts:
        late.take(each)
        late.take(each)
    assert late.values(NOW) == reported(*rows).values(NOW)
    assert late.state() == reported(*rows).state()


def test_readings_are_extreme_from_the_documented_sizes() -> None:
    sizes = {
        "funding_8h": (0.0005, -0.0005),
        "open_interest_change_24h": (0.1, -0.1),
        "taker_ratio_1h": (1.1501, 0.8499),
        "long_short_z": (1.5, -1.5),
        "liquidations_1h": (5e6,),
        "basis": (0.3, -0.3),
    }
    assert sizes.keys() == EXTREMES.keys()
    for name, values in sizes.items():
        for value in values:
            neutral = EXTREMES[name].neutral
            assert extreme_readings({name: value}) == (name,)
            assert extreme_readings({name: neutral + (value - neutral) * 0.99}) == ()
    assert extreme_readings({"basis": Unknown("none"), "composite": 9.0}) == ()


def components(**known: float) -> dict[str, Any]:
    names = ("funding_8h", "taker_ratio_1h", "long_short_z", "open_interest_change_24h", "price_change_24h")
    return {name: known.get(name, Unknown("not reported")) for name in names}


def joined(readings: dict[str, Any]) -> Any:
    return composite(composite_parts(readings))


def test_high_funding_is_bearish_and_a_high_taker_ratio_bullish() -> None:
    extreme = components(
        funding_8h=0.0005, taker_ratio_1h=1.15, long_short_z=1.5, open_interest_change_24h=0.1, price_change_24h=0.02
    )
    one = math.tanh(1)
    assert joined(extreme) == pytest.approx(one * (-0.35 + 0.30 - 0.25 + 0.10))


def test_rising_open_interest_favours_the_direction_of_the_price() -> None:
    known = {"funding_8h": 0.0, "taker_ratio_1h": 1.0, "open_interest_change_24h": 0.1}
    up, down, still = (joined(components(**known, price_change_24h=moved)) for moved in (0.02, -0.02, 0.0))
    assert up == pytest.approx(0.1 * math.tanh(1))
    assert down == pytest.approx(-0.1 * math.tanh(1))
    assert still == 0


def test_composite_of_too_few_known_components_is_unknown() -> None:
    half = joined(components(funding_8h=-0.0005, taker_ratio_1h=1.0))
    assert half == pytest.approx(0.35 * math.tanh(1))
    assert joined(components(funding_8h=-0.0005)) == Unknown(
        "too little is known of derivatives: no taker flow, long short, open interest"
    )


@examples(20, slow=100)
@given(
    st.fixed_dictionaries(
        {
            name: st.floats(-1e6, 1e6) | st.just(Unknown("not reported"))
            for name in (
                "funding_8h",
                "taker_ratio_1h",
                "long_short_z",
                "open_interest_change_24h",
                "price_change_24h",
            )
        }
    )
)
def test_composite_is_between_minus_one_and_one(readings: dict[str, Any]) -> None:
    value = joined(readings)
    assert isinstance(value, Unknown) or -1 <= value <= 1
    assert sum(WEIGHTS.values()) == pytest.approx(1)
