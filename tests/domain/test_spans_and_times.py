"""Spans and times in whole milliseconds, and their texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.domain.time import DAY, HOUR, MINUTE, iso, next_midnight, span_ms, span_name, utc_day


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("1m", MINUTE), ("15m", 15 * MINUTE), ("4h", 4 * HOUR), ("7d", 7 * DAY), ("2w", 14 * DAY)],
)
def test_span_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert span_ms(text) == ms


@pytest.mark.parametrize("text", ["", "m", "15", "0m", "000h", "1M", "1mo", "-5m", "1.5h", " 5m", "5m ", "5 m", "5m\n"])
def test_invalid_span_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 15m or 24h"):
        span_ms(text)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 999_999), st.sampled_from("smhdw"))
def test_span_name_parses_back_to_the_same_span(count: int, unit: str) -> None:
    ms = span_ms(f"{count}{unit}")
    name = span_name(ms)
    if len(name) <= 7:
        assert span_ms(name) == ms


@pytest.mark.parametrize(
    ("ms", "name"),
    [(MINUTE, "1m"), (60 * MINUTE, "1h"), (24 * HOUR, "1d"), (90_000, "90s"), (4 * HOUR, "4h"), (7, "7ms")],
)
def test_span_name_uses_the_largest_whole_unit(ms: int, name: str) -> None:
    assert span_name(ms) == name


def test_iso_shows_milliseconds_only_if_not_0() -> None:
    assert iso(1_773_014_460_000) == "2026-03-09T00:01:00Z"
    assert iso(1_773_014_460_007) == "2026-03-09T00:01:00.007Z"
    assert iso(0) == "1970-01-01T00:00:00Z"


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 4_102_444_800_000))
def test_iso_keeps_every_millisecond(ms: int) -> None:
    text = iso(ms)
    assert int(text.removesuffix("Z").partition(".")[2] or "0") == ms % 1000
    assert text[17:19] == f"{ms // 1000 % 60:02}"


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 4_000_000_000_000))
def test_next_midnight_begins_the_next_day(ms: int) -> None:
    midnight = next_midnight(ms)
    assert 0 < midnight - ms <= DAY
    assert midnight % DAY == 0
    assert utc_day(midnight) > utc_day(ms) == utc_day(midnight - 1)


def test_midnight_belongs_to_the_day_it_begins() -> None:
    assert utc_day(1_773_014_400_000) == "2026-03-09"
    assert next_midnight(1_773_014_400_000) == 1_773_014_400_000 + DAY
