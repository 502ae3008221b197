"""Client order ids, sides and purposes of orders, actions of decisions, and texts of refusals."""

import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import OrderRef, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode


@settings(deadline=None, max_examples=200)
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=6),
    st.integers(1, 10**9),
    st.sampled_from(Purpose),
    st.integers(0, 10**9),
)
def test_client_id_has_book_counter_leg_and_revision(book: str, n: int, leg: Purpose, revision: int) -> None:
    client_id = OrderRef(n, leg, revision).client_id(book)
    assert len(client_id) <= 36
    assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", client_id)
    assert client_id.split("-") == ["ocw", book, str(n), leg.value, str(revision)]


def test_client_ids_of_one_book_are_unique() -> None:
    refs = [OrderRef(n, leg, revision) for n in (1, 11, 111) for leg in Purpose for revision in (0, 1, 11)]
    assert len({ref.client_id("abc123") for ref in refs}) == len(refs)


def test_client_id_has_the_documented_form() -> None:
    assert OrderRef(17, Purpose.STOP, 2).client_id("x7k2m9") == "ocw-x7k2m9-17-s-2"


def test_order_references_sort_by_counter_first() -> None:
    assert sorted([OrderRef(10, Purpose.ENTRY), OrderRef(9, Purpose.EXIT, 3)])[0].n == 9


@pytest.mark.parametrize("side", Side)
def test_the_opposite_side_has_the_opposite_sign(side: Side) -> None:
    assert side.opposite.opposite is side
    assert side.sign + side.opposite.sign == 0


def test_every_order_purpose_except_entry_is_reduce_only() -> None:
    assert [purpose for purpose in Purpose if not purpose.reduces] == [Purpose.ENTRY]


def test_only_buy_short_and_add_increase_a_position() -> None:
    assert {action for action in Action if action.adds_risk} == {Action.BUY, Action.SHORT, Action.ADD}


def test_every_refusal_code_has_its_own_meaning() -> None:
    meanings = [code.meaning for code in RefusalCode]
    assert all(len(meaning.split()) >= 5 for meaning in meanings)
    assert len(set(meanings)) == len(RefusalCode)


def test_refusal_text_has_code_meaning_limit_actual_and_largest() -> None:
    text = str(Refusal(RefusalCode.ORDER_NOTIONAL, limit="5000", actual="7500", largest=Decimal("0.0500")))
    assert text.startswith("ORDER_NOTIONAL: the order is larger than the policy allows for one order.")
    assert text.endswith("limit=5000 actual=7500 largest=0.05")


def test_candle_closes_when_the_next_one_opens() -> None:
    assert Candle("BTCUSDT", 120_000, 60_000, 1.0, 1.0, 1.0, 1.0, 1.0).close_time == 180_000
