"""The table of the exchange's errors: what each code, status and text means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.venues.binance.errors import CODES, DEFINITE_5XX, TEXTS, Outcome, Verdict, classify
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import RejectReason, VenueNoticeKind

R = RejectReason
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN
HALT, REDUCING = VenueNoticeKind.HALT, VenueNoticeKind.ONLY_REDUCTIONS
DOCUMENTED: dict[tuple[int, ...], Verdict] = {
    (-1000, -1001, -1006, -1007): Verdict(UNKNOWN),
    (-1003,): Verdict(Outcome.BANNED, R.RATE_LIMITED),
    (-1008,): Verdict(REFUSED, R.OVERLOADED),
    (-1015,): Verdict(Outcome.TOO_MANY_ORDERS, R.RATE_LIMITED),
    (-1021, -5028): Verdict(Outcome.CLOCK, R.CLOCK),
    (-2011, -2013): Verdict(Outcome.NOT_FOUND),
    (-4116, -20132): Verdict(Outcome.ALREADY_THERE),
    (-4046, -4059, -4171): Verdict(Outcome.UNCHANGED),
    (-1002, -1022, -2008, -2014, -2015, -2017, -4088): Verdict(REFUSED, R.NOT_AUTHORISED, HALT),
    (-2018,): Verdict(REFUSED, R.INSUFFICIENT_BALANCE),
    (-2019,): Verdict(REFUSED, R.INSUFFICIENT_MARGIN),
    (-1013, -1111): Verdict(REFUSED, R.FILTER),
    (-4001, -4002, -4003, -4004, -4005, -4006, -4007, -4013, -4014): Verdict(REFUSED, R.FILTER),
    (-4016, -4023, -4024, -4029, -4030, -4131, -4183, -4184, -4210, -4211): Verdict(REFUSED, R.FILTER),
    (-2021, -4142): Verdict(REFUSED, R.WOULD_TRIGGER_IMMEDIATELY),
    (-5022,): Verdict(REFUSED, R.WOULD_TAKE),
    (-2022, -2024): Verdict(REFUSED, R.REDUCE_ONLY),
    (-4509,): Verdict(REFUSED, R.NO_POSITION),
    (-4118,): Verdict(REFUSED, R.BLOCKED_BY_ORDERS),
    (-4130,): Verdict(REFUSED, R.STOP_EXISTS),
    (-4164,): Verdict(REFUSED, R.MIN_NOTIONAL),
    (-2025,): Verdict(REFUSED, R.TOO_MANY_ORDERS),
    (-4045,): Verdict(REFUSED, R.TOO_MANY_STOPS),
    (-2027,): Verdict(REFUSED, R.POSITION_LIMIT),
    (-2028, -4028, -4047, -4048, -4161): Verdict(REFUSED, R.WRONG_SETTINGS),
    (-4061,): Verdict(REFUSED, R.WRONG_SETTINGS, HALT),
    (-2023, -4087, -4192, -4400, -4401): Verdict(REFUSED, R.ONLY_REDUCTIONS, REDUCING),
    (-1121, -4108, -4140, -4141, -4402): Verdict(REFUSED, R.NOT_TRADING),
    (-1102, -1106, -2010, -5021): Verdict(REFUSED, R.OTHER),
    (-4120,): Verdict(REFUSED, R.OTHER, HALT),
}
TEXT = st.text("Aa.;{<", max_size=8) | st.sampled_from(["Unknown error", "Service", "Filter failure: NOTIONAL"])
ROWS = [(code, verdict) for codes, verdict in DOCUMENTED.items() for code in codes]


@pytest.mark.parametrize(("code", "verdict"), ROWS)
def test_code_has_its_documented_meaning(code: int, verdict: Verdict) -> None:
    assert classify(400, code, "") == verdict


def test_every_row_of_the_table_is_documented_here() -> None:
    assert {code for code, _ in ROWS} == set(CODES)


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (-2010, "Order would trigger immediately.", Verdict(REFUSED, R.WOULD_TRIGGER_IMMEDIATELY)),
        (-2010, "Order would immediately match and take.", Verdict(REFUSED, R.WOULD_TAKE)),
        (
            -2010,
            "Account has insufficient balance for requested action.",
            Verdict(REFUSED, R.INSUFFICIENT_BALANCE),
        ),
        (-2010, "Duplicate order sent.", Verdict(Outcome.ALREADY_THERE)),
        (
            -2010,
            "The relationship of the prices for the orders is not correct.",
            Verdict(REFUSED, R.WOULD_TRIGGER_IMMEDIATELY),
        ),
        (-2010, "Market is closed.", Verdict(REFUSED, R.NOT_TRADING)),
        (-2010, "This symbol is not permitted for this account.", Verdict(REFUSED, R.NOT_AUTHORISED, HALT)),
        (-2010, "Something new.", Verdict(REFUSED, R.OTHER)),
        (-1013, "Filter failure: NOTIONAL", Verdict(REFUSED, R.MIN_NOTIONAL)),
        (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS", Verdict(REFUSED, R.TOO_MANY_STOPS)),
        (-1013, "Filter failure: MAX_NUM_ORDERS", Verdict(REFUSED, R.TOO_MANY_ORDERS)),
        (-1013, "Filter failure: MAX_POSITION", Verdict(REFUSED, R.POSITION_LIMIT)),
        (-1013, "Market is closed.", Verdict(REFUSED, R.NOT_TRADING)),
        (-1013, "Filter failure: PRICE_FILTER", Verdict(REFUSED, R.FILTER)),
    ],
)
def test_text_of_a_general_code_names_the_reason(code: int, text: str, verdict: Verdict) -> None:
    assert classify(400, code, text, Product.SPOT) == verdict


def test_every_text_of_the_table_is_found_in_a_longer_text() -> None:
    found = [classify(400, code, f"A {part.upper()}.") for code, parts in TEXTS.items() for part, _ in parts]
    assert found == [verdict for parts in TEXTS.values() for _, verdict in parts]


@pytest.mark.parametrize(
    ("status", "code", "text", "verdict"),
    [
        (403, None, "", Verdict(REFUSED, R.NOT_AUTHORISED, HALT)),
        (451, None, "", Verdict(REFUSED, R.NOT_AUTHORISED, HALT)),
        (451, 0, "Service unavailable from a restricted location", Verdict(REFUSED, R.NOT_AUTHORISED, HALT)),
        (418, None, "", Verdict(Outcome.BANNED, R.RATE_LIMITED)),
        (429, None, "", Verdict(Outcome.BANNED, R.RATE_LIMITED)),
        (429, -1003, "Too many requests.", Verdict(Outcome.BANNED, R.RATE_LIMITED)),
        (429, -1015, "Too many new orders.", Verdict(Outcome.TOO_MANY_ORDERS, R.RATE_LIMITED)),
        (408, -1007, "Timeout waiting for response from backend server.", Verdict(UNKNOWN)),
        (408, None, "", Verdict(UNKNOWN)),
        (404, None, "", Verdict(UNKNOWN)),
        (302, None, "", Verdict(UNKNOWN)),
        (503, -1000, "Unknown error, please check your request or try again later.", Verdict(UNKNOWN)),
        (503, -1000, "Service Unavailable.", Verdict(REFUSED, R.OVERLOADED)),
        (
            503,
            -1001,
            "Internal error; unable to process your request. Please try again.",
            Verdict(REFUSED, R.OVERLOADED),
        ),
        (503, -1008, "Request throttled by system-level protection.", Verdict(REFUSED, R.OVERLOADED)),
        (503, None, "Service Unavailable.", Verdict(UNKNOWN)),
        (502, None, "<html>", Verdict(UNKNOWN)),
    ],
)
def test_status_decides_without_a_code_and_above_499(
    status: int, code: int | None, text: str, verdict: Verdict
) -> None:
    assert classify(status, code, text) == verdict


@pytest.mark.parametrize("text", ["Service Unavailable.", "Internal error; unable to process your request."])
def test_every_error_of_the_server_is_unknown_on_spot(text: str) -> None:
    assert classify(503, -1000, text, Product.SPOT) == Verdict(UNKNOWN)
    assert classify(503, -1008, text, Product.SPOT) == Verdict(UNKNOWN)
    assert classify(400, -1008, text, Product.SPOT) == Verdict(UNKNOWN)


@settings(max_examples=40)
@given(
    st.integers(400, 499).filter(lambda status: status not in (403, 408, 418, 429, 451)),
    st.integers(-30_000, 30_000).filter(lambda code: code not in CODES),
    TEXT,
)
def test_unlisted_code_of_a_client_error_is_a_refusal(status: int, code: int, text: str) -> None:
    assert classify(status, code, text) == Verdict(REFUSED, R.OTHER)


@settings(max_examples=40)
@given(
    st.integers(500, 599),
    st.one_of(st.none(), st.sampled_from(sorted(CODES)), st.integers(-30_000, 0)).filter(lambda code: code != -1008),
    TEXT.filter(lambda text: not text.lower().startswith(DEFINITE_5XX)),
    st.sampled_from(list(Product)),
)
def test_error_of_the_server_is_unknown_whatever_it_says(
    status: int, code: int | None, text: str, product: Product
) -> None:
    assert classify(status, code, text, product) == Verdict(UNKNOWN)
