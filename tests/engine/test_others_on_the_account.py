"""Positions and orders of others on the account, by the policy of [adopt]."""

from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Canceled,
    OutsideCause,
    OutsideFill,
    Purpose,
    Side,
)
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.engine.protection import protection_timer
from ocw_mcp.engine.summary import summary
from tests.support.account_at_exchange import (
    AccountAtExchange,
    begun,
    code,
    entered,
    exchange_wire,
    incidents,
    live_policy,
    read,
)

D = Decimal
CODE = RefusalCode
BOTH = pytest.mark.parametrize("product", [Product.UM, Product.SPOT])


@pytest.mark.requirement("X01")
def test_a_position_that_a_person_closed_is_closed_and_not_opened_again() -> None:
    wire, account = begun(policy=live_policy(pace={"reentry_s": 600}))
    stop = entered(wire, account)
    account.trade(D(-10), D(101), D("0.5"))
    wire.give(OutsideFill("a1", "BTCUSDT", Side.SELL, D(10), D(101), D("0.5"), wire.now, OutsideCause.OTHER_TRADER))
    account.orders.clear()
    assert (wire.held(), wire.stands()) == (D(0), [])
    wire.give(Canceled(stop.ref, "asked for"))
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert len(incidents(wire)) == 1
    assert wire.engine.account.ledger.equity() == account.quote
    assert code(wire.enter()) is CODE.REENTRY


def test_an_order_of_others_is_reported_once_and_left() -> None:
    wire, account = begun()
    account.others()
    read(wire, account, 3)
    (text,) = incidents(wire)
    assert "limit buy 1 BTCUSDT" in text
    assert (wire.canceled, wire.foreign) == ([], [])
    assert summary(wire.engine)["exchange"]["orders_of_others"] == 1
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter()) is None


def test_an_order_of_others_is_cancelled_if_the_policy_says_so() -> None:
    wire, account = begun(policy=live_policy(adopt={"orders": "cancel"}))
    account.others()
    read(wire, account)
    assert [each.venue_order_id for each in wire.foreign] == ["7"]


@BOTH
def test_an_ignored_position_is_seen_and_takes_no_entries(product: Product) -> None:
    wire, account = (
        exchange_wire(product, policy=live_policy(adopt={"positions": "ignore"})),
        AccountAtExchange(product),
    )
    account.trade(D(20), D(90))
    read(wire, account, 2)
    wire.tick({"BTCUSDT": 100.0})
    assert (wire.held(), wire.sent) == (D(0), [])
    assert wire.engine.account.ledger.equity() == account.quote
    assert code(wire.enter(quantity="1")) is CODE.ADOPTED
    assert summary(wire.engine)["exchange"]["not_in_the_books"] == {"BTCUSDT": "20"}
    assert len(incidents(wire)) == 1
    account.trade(D(-20), D(90))
    read(wire, account, 4)
    wire.tick({"BTCUSDT": 100.0})
    assert code(wire.enter(quantity="1")) is None


def test_a_found_position_is_closed_if_the_policy_says_so() -> None:
    wire, account = exchange_wire(policy=live_policy(adopt={"positions": "close"})), AccountAtExchange()
    account.trade(D(20), D(90))
    read(wire, account)
    assert wire.last(Purpose.EXIT).quantity == 20
    assert protection_timer("BTCUSDT") in wire.engine.timers


def test_a_position_of_a_symbol_that_is_not_followed_is_reported_and_left() -> None:
    wire, account = exchange_wire(), AccountAtExchange()
    account.trade(D(20), D(90))
    seen = account.seen(wire.now)
    wire.give(msgspec.structs.replace(seen, positions=(msgspec.structs.replace(seen.positions[0], symbol="XUSDT"),)))
    wire.give(OutsideFill("x9", "XUSDT", Side.BUY, D(1), D(90), D(0), wire.now, OutsideCause.OTHER_TRADER))
    assert (wire.sent, wire.engine.positions()) == ([], [])
    (text,) = incidents(wire)
    assert "does not follow" in text


def test_the_margin_of_a_position_that_is_not_in_the_books_cannot_be_used() -> None:
    wire, account = begun(policy=live_policy(adopt={"positions": "ignore"}), symbols=("BTCUSDT", "ETHUSDT"))
    before = wire.engine.manager.view("ETHUSDT", wire.now)
    account.trade(D(20), D(90))
    seen = account.seen(wire.now)
    wire.give(msgspec.structs.replace(seen, positions=(msgspec.structs.replace(seen.positions[0], margin=D(900)),)))
    after = wire.engine.manager.view("ETHUSDT", wire.now)
    assert before is not None
    assert after is not None
    assert before.free_margin - after.free_margin == 900
