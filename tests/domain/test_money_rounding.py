"""Money: exact conversion to and from text, and rounding in a named direction."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.domain.money import ceil_to, exact, floor_to, plain

AMOUNTS = st.decimals(-(10**9), 10**9, places=8, allow_nan=False, allow_infinity=False)
UNITS = st.sampled_from(
    ["0.00000001", "0.00001", "0.001", "0.01", "0.1", "0.25", "1", "5", "10", "1000", "1E-7", "1E+3"]
)

quick = settings(deadline=None, max_examples=200)


@quick
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 12))
def test_text_of_15_digits_survives_conversion_to_float(digits: int, places: int) -> None:
    written = Decimal(digits).scaleb(-places)
    assert exact(float(written)) == written


@pytest.mark.parametrize("text", ["1935.98", "0.1", "65000.0", "0.00001234", "1e-08", "123456789.12345", "1e+22"])
def test_exact_restores_the_decimal_text_of_a_float(text: str) -> None:
    assert exact(float(text)) == Decimal(text)


@quick
@given(AMOUNTS, UNITS)
def test_floor_is_the_largest_multiple_not_above(value: Decimal, unit_text: str) -> None:
    unit = Decimal(unit_text)
    rounded = floor_to(value, unit)
    assert rounded <= value < rounded + unit
    assert rounded % unit == 0


@quick
@given(AMOUNTS, UNITS)
def test_ceiling_is_the_smallest_multiple_not_below(value: Decimal, unit_text: str) -> None:
    unit = Decimal(unit_text)
    rounded = ceil_to(value, unit)
    assert rounded - unit < value <= rounded
    assert rounded % unit == 0


@quick
@given(AMOUNTS, UNITS)
def test_ceiling_is_the_negated_floor_of_the_negated_value(value: Decimal, unit_text: str) -> None:
    unit = Decimal(unit_text)
    assert ceil_to(value, unit) == -floor_to(-value, unit)


@quick
@given(st.integers(-(10**9), 10**9), UNITS)
def test_multiple_of_the_unit_is_not_rounded(times: int, unit_text: str) -> None:
    unit = Decimal(unit_text)
    assert floor_to(times * unit, unit) == ceil_to(times * unit, unit) == times * unit


@quick
@given(AMOUNTS)
def test_plain_text_has_no_exponent_or_trailing_zeros(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("100", "100"),
        ("0.500", "0.5"),
        ("0E-8", "0"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("1E-8", "0.00000001"),
    ],
)
def test_plain_text_of_zero_is_0_and_exponents_are_expanded(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
