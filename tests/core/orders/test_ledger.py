"""The positions and the wallet of the account after fills and funding, to the last digit."""

from decimal import Decimal, localcontext

import msgspec
import pytest
from hypothesis import given, settings

from ocw_mcp.core.orders.ledger import Booked, Ledger, Position
from ocw_mcp.domain.orders import Side
from tests.support.dice import Decimals, Dice, dice
from tests.support.examples import examples

START = Decimal(10_000)
BTC = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL

Fill = tuple[str, Side, Decimal, Decimal, Decimal]
"""Symbol, side, quantity, price, fee."""


def book(ledger: Ledger, side: Side, quantity: str, price: str, fee: str = "0", at: int = 5) -> Decimal:
    """Book a fill of BTC, and return the realised profit."""
    return ledger.book(BTC, side, Decimal(quantity), Decimal(price), Decimal(fee), at).realised


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_a_first_fill_opens_a_signed_position_at_its_price(side: Side, sign: int) -> None:
    ledger = Ledger(START)
    booked = ledger.book(BTC, side, Decimal(2), Decimal(100), Decimal("0.1"), at=7)
    position = ledger.positions[BTC]
    assert booked == Booked(realised=Decimal(0), position=Decimal(2 * sign), closed=None, opened=True)
    fee = Decimal("0.1")
    cost = Decimal(200 * sign)
    assert position == Position(
        BTC, Decimal(2 * sign), cost, opened_at=7, fees=fee, highest=100.0, lowest=100.0, crest=100.0, margin=abs(cost)
    )
    assert position.average_price == 100
    assert ledger.equity() == START - Decimal("0.1")
    assert ledger.gross() == 200


def test_an_addition_averages_the_price_and_realises_no_profit() -> None:
    ledger = Ledger(START)
    book(ledger, BUY, "1", "100", at=1)
    assert book(ledger, BUY, "3", "120", at=9) == 0
    assert ledger.positions[BTC].average_price == 115
    assert ledger.positions[BTC].opened_at == 1


@pytest.mark.parametrize(("opening", "closing", "gain"), [(BUY, SELL, 10), (SELL, BUY, -10)])
def test_a_reduction_keeps_the_average_price(opening: Side, closing: Side, gain: int) -> None:
    ledger = Ledger(START)
    book(ledger, opening, "4", "100")
    booked = ledger.book(BTC, closing, Decimal(1), Decimal(110), Decimal(0), 6)
    assert booked == Booked(Decimal(gain), Decimal(3 * opening.sign), closed=None, opened=False)
    assert ledger.positions[BTC].average_price == 100
    assert ledger.wallet == START + gain


def test_a_full_close_returns_the_position_with_its_profit() -> None:
    ledger = Ledger(START)
    book(ledger, BUY, "3", "100", "0.3", at=1)
    book(ledger, SELL, "1", "90", "0.1", at=2)
    booked = ledger.book(BTC, SELL, Decimal(2), Decimal(130), Decimal("0.2"), 3)
    assert BTC not in ledger.positions
    assert booked.position == 0
    assert not booked.opened
    assert booked.closed is not None
    assert booked.closed.opened_at == 1
    assert booked.closed.realised == 50
    assert booked.closed.fees == Decimal("0.6")
    assert ledger.quantity(BTC) == ledger.gross() == 0
    assert ledger.wallet == ledger.equity() == START + 50 - Decimal("0.6")
    assert ledger.fees == Decimal("0.6")


@pytest.mark.parametrize(("opening", "closing"), [(BUY, SELL), (SELL, BUY)])
def test_opposite_fill_larger_than_the_position_reverses_it(opening: Side, closing: Side) -> None:
    ledger = Ledger(START)
    book(ledger, opening, "2", "100", "1", at=1)
    booked = ledger.book(BTC, closing, Decimal(5), Decimal(110), Decimal(1), at=8)
    position = ledger.positions[BTC]
    assert booked.opened
    assert booked.closed is not None
    assert booked.realised == booked.closed.realised == 20 * opening.sign
    cost = Decimal(330 * closing.sign)
    assert position == Position(
        BTC, Decimal(3 * closing.sign), cost, opened_at=8, highest=110.0, lowest=110.0, crest=110.0, margin=abs(cost)
    )
    ledger.mark(BTC, Decimal(110))
    assert ledger.equity() == START + 20 * opening.sign - 2


def test_equity_follows_the_mark_price() -> None:
    ledger = Ledger(START)
    book(ledger, SELL, "2", "100")
    for price, equity in ((90, 10_020), (100, 10_000), (150, 9_900)):
        ledger.mark(BTC, Decimal(price))
        assert ledger.equity() == equity
        assert ledger.gross() == 2 * price


def test_a_new_position_is_not_valued_at_an_old_mark_price() -> None:
    ledger = Ledger(START)
    book(ledger, BUY, "10", "100")
    ledger.mark(BTC, Decimal(100))
    book(ledger, SELL, "10", "100")
    book(ledger, BUY, "10", "300")
    assert ledger.equity() == START
    assert ledger.gross() == 3_000


def test_rounding_of_partial_closes_loses_less_than_1e_20() -> None:
    ledger = Ledger(START)
    book(ledger, BUY, "1", "100")
    book(ledger, BUY, "1", "101")
    book(ledger, BUY, "1", "103")
    realised = sum((book(ledger, SELL, "1", price) for price in ("99", "104", "97")), Decimal(0))
    assert abs(realised + 4) < Decimal("1e-20")
    assert abs(ledger.wallet - START + 4) < Decimal("1e-20")
    assert ledger.positions == {}


MOST = 25
QUANTITIES, PRICES, FEES = Decimals("0.001", "5", 3), Decimals("0.01", "70000", 2), Decimals("0", "20", 6)
FUNDING = Decimals("-9", "9", 8)
COUNTS = (*range(11), 12, 15, 18, 21, MOST)


def fills_of(roll: Dice) -> list[Fill]:
    return [
        (
            roll.pick((BTC, "ETHUSDT")),
            roll.pick((BUY, SELL)),
            roll.pick(QUANTITIES),
            roll.pick(PRICES),
            roll.pick(FEES),
        )
        for _ in range(roll.pick(COUNTS))
    ]


FILLS = dice(1 + 17 * MOST).map(fills_of)
MARKS = dice(10).map(lambda roll: {BTC: roll.pick(PRICES), "ETHUSDT": roll.pick(PRICES)})
FUNDED = dice(1 + 10 * 9).map(
    lambda roll: [(roll.pick(range(MOST + 1)), roll.pick(FUNDING)) for _ in range(roll.pick(range(10)))]
)


def account(fills: list[Fill], marks: dict[str, Decimal]) -> tuple[Decimal, dict[str, Decimal]]:
    """Equity, as the cash flows plus the positions at their mark prices, in 60 digits; and the positions."""
    with localcontext() as context:
        context.prec = 60
        cash, held = START, dict.fromkeys(marks, Decimal(0))
        for symbol, side, quantity, price, fee in fills:
            cash -= side.sign * quantity * price + fee
            held[symbol] += side.sign * quantity
        return cash + sum(held[symbol] * marks[symbol] for symbol in marks), held


def booked(fills: list[Fill], marks: dict[str, Decimal]) -> Ledger:
    ledger = Ledger(START)
    for at, (symbol, side, quantity, price, fee) in enumerate(fills):
        ledger.book(symbol, side, quantity, price, fee, at)
    for symbol, price in marks.items():
        ledger.mark(symbol, price)
    return ledger


@examples(50, slow=200)
@given(FILLS, MARKS)
def test_equity_is_start_plus_cash_flows_plus_positions(fills: list[Fill], marks: dict[str, Decimal]) -> None:
    ledger = booked(fills, marks)
    equity, held = account(fills, marks)
    assert abs(ledger.equity() - equity) < Decimal("1e-17")
    assert {symbol: ledger.quantity(symbol) for symbol in marks} == held
    assert ledger.gross() == sum(abs(quantity) * marks[symbol] for symbol, quantity in held.items())
    assert ledger.fees == sum(fee for *_, fee in fills)


@examples(50, slow=200)
@given(FILLS, MARKS)
def test_after_closing_all_positions_equity_equals_the_wallet(fills: list[Fill], marks: dict[str, Decimal]) -> None:
    ledger = booked(fills, marks)
    closing: list[Fill] = []
    for symbol, position in list(ledger.positions.items()):
        side = SELL if position.quantity > 0 else BUY
        closing.append((symbol, side, abs(position.quantity), marks[symbol], Decimal(1)))
        told = ledger.book(symbol, side, abs(position.quantity), marks[symbol], Decimal(1), 99)
        assert told.closed is not None
        assert not told.opened
    assert ledger.positions == {}
    assert ledger.equity() == ledger.wallet
    assert abs(ledger.wallet - account([*fills, *closing], marks)[0]) < Decimal("1e-17")


@settings(deadline=None, max_examples=100)
@given(FILLS, FILLS, MARKS)
def test_a_restored_ledger_books_like_the_original(
    before: list[Fill], later: list[Fill], marks: dict[str, Decimal]
) -> None:
    through = booked(before, marks)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(through), type=Ledger)
    assert again.equity() == through.equity()
    for at, (symbol, side, quantity, price, fee) in enumerate(later):
        told = [ledger.book(symbol, side, quantity, price, fee, at) for ledger in (through, again)]
        assert told[0] == told[1]
    assert again == through


def test_mfe_and_mae_depend_on_the_side_of_the_position() -> None:
    ledger = Ledger(Decimal(10_000))
    ledger.book("BTCUSDT", Side.BUY, Decimal(1), Decimal(100), Decimal(0), 0)
    ledger.positions["BTCUSDT"].see(95.0, 104.0)
    ledger.positions["BTCUSDT"].see(99.0, 110.0)
    assert ledger.positions["BTCUSDT"].excursions() == pytest.approx((0.10, -0.05))
    ledger.book("ETHUSDT", Side.SELL, Decimal(1), Decimal(100), Decimal(0), 0)
    ledger.positions["ETHUSDT"].see(95.0, 110.0)
    assert ledger.positions["ETHUSDT"].excursions() == pytest.approx((0.05, -0.10))


def test_funding_is_part_of_the_profit_of_a_position() -> None:
    ledger = Ledger(START)
    book(ledger, BUY, "2", "100", "0.1")
    ledger.fund(BTC, Decimal("-0.06"))
    ledger.fund(BTC, Decimal("0.02"))
    closed = ledger.book(BTC, SELL, Decimal(2), Decimal(110), Decimal("0.1"), 9).closed
    assert closed is not None
    assert closed.funding == ledger.funding == Decimal("-0.04")
    assert closed.pnl == 20 - Decimal("0.2") - Decimal("0.04")
    assert ledger.wallet == START + closed.pnl


def test_funding_without_an_open_position_changes_the_wallet() -> None:
    ledger = Ledger(START)
    ledger.fund(BTC, Decimal(-3))
    assert ledger.wallet == START + ledger.funding == START - 3


@settings(deadline=None, max_examples=100)
@given(FILLS, FUNDED, MARKS)
def test_equity_includes_the_funding_between_fills(
    fills: list[Fill], funded: list[tuple[int, Decimal]], marks: dict[str, Decimal]
) -> None:
    ledger = Ledger(START)
    pnl = Decimal(0)
    for at, (symbol, side, quantity, price, fee) in enumerate(fills):
        told = ledger.book(symbol, side, quantity, price, fee, at)
        pnl += told.closed.pnl if told.closed else 0
        for _, amount in [each for each in funded if each[0] == at]:
            ledger.fund(symbol, amount)
            pnl += amount if symbol not in ledger.positions else 0
    for symbol, price in marks.items():
        ledger.mark(symbol, price)
    total = sum((amount for at, amount in funded if at < len(fills)), Decimal(0))
    assert ledger.funding == total
    assert abs(ledger.equity() - account(fills, marks)[0] - total) < Decimal("1e-17")
    assert abs(ledger.wallet - START - pnl - sum(each.pnl for each in ledger.positions.values())) < Decimal("1e-17")


@pytest.mark.parametrize(("side", "leverage"), [(BUY, 1), (BUY, 5), (SELL, 5)])
def test_margin_is_cost_over_leverage_and_freed_in_proportion(side: Side, leverage: int) -> None:
    ledger = Ledger(START)
    ledger.book(BTC, side, Decimal(2), Decimal(100), Decimal(0), 1, leverage=leverage)
    ledger.book(BTC, side, Decimal(2), Decimal(120), Decimal(0), 2, leverage=50)
    assert ledger.positions[BTC].margin == Decimal(440) / leverage, "an addition has the leverage of its position"
    assert ledger.free() == START - Decimal(440) / leverage
    ledger.book(BTC, side.opposite, Decimal(1), Decimal(110), Decimal(0), 3)
    assert ledger.positions[BTC].margin == Decimal(330) / leverage
    ledger.book(BTC, side.opposite, Decimal(3), Decimal(110), Decimal(0), 4)
    assert ledger.free() == ledger.wallet == START


def test_funding_is_paid_out_of_the_margin() -> None:
    ledger = Ledger(START)
    ledger.book(BTC, BUY, Decimal(1), Decimal(100), Decimal(0), 1, leverage=10)
    ledger.fund(BTC, Decimal(-3))
    assert ledger.positions[BTC].margin == 7
    assert ledger.free() == START - 10


def test_a_fee_in_the_base_asset_reduces_quantity_but_not_cost() -> None:
    ours, usual = Ledger(START), Ledger(START)
    ours.book(BTC, BUY, Decimal(2), Decimal(100), Decimal("0.2"), 1, base_fee=Decimal("0.002"))
    usual.book(BTC, BUY, Decimal(2), Decimal(100), Decimal("0.2"), 1)
    assert ours.quantity(BTC) == Decimal("1.998")
    assert ours.equity() == usual.equity() == START - Decimal("0.2")
    assert ours.free() == START - 200, "what was paid is paid"


def test_dust_counts_as_flat_and_joins_the_next_purchase() -> None:
    ledger = Ledger(START)
    ledger.book(BTC, BUY, Decimal("1.0005"), Decimal(100), Decimal(0), 1)
    ledger.book(BTC, SELL, Decimal(1), Decimal(120), Decimal(0), 2)
    closed = ledger.sweep(BTC, Decimal(120))
    assert closed.realised == Decimal("1.0005") * 20
    assert ledger.quantity(BTC) == 0
    assert ledger.equity() == START + closed.realised
    assert ledger.free() == ledger.equity() - Decimal("0.06")
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(ledger), type=Ledger)
    booked = restored.book(BTC, BUY, Decimal(1), Decimal(140), Decimal(0), 3)
    assert booked.opened
    assert booked.position == restored.quantity(BTC) == Decimal("1.0005")
    assert restored.equity() == START + closed.realised + Decimal("0.0005") * 20
    assert restored.free() == START + closed.realised - Decimal("140.06")
