"""The proving order of a mandate ends flat with every report accounted for, or says what is left."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.venues.binance.unknowns import ABSENT_AFTER_S, LONGEST_PAUSE_S
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.proving import Proof, ProvingOrder, ProvingTerms
from ocw_mcp.app.proving_reports import SETTLE_S
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Balance,
    Canceled,
    Filled,
    Order,
    OrderRef,
    OrderSeen,
    OutcomeUnknown,
    OutsideCause,
    OutsideFill,
    PositionSeen,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    VenueReport,
)
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import ExchangeVenue, KnownOrder
from ocw_mcp.domain.state import Mode
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.accounts import ETH
from tests.support.runs import policies

D = Decimal
MARK = D(1_000)
NOW = 1_767_225_600_000
FEE = D("0.0005")
SPOT = msgspec.structs.replace(ETH, product=Product.SPOT)


class Scripted:
    """An account with one symbol, which fills at the mark price; `faults` replace what it does with a leg."""

    name = "scripted"

    def __init__(self, faults: Mapping[str, str] = MappingProxyType({}), instrument: Instrument = ETH) -> None:
        self.instrument_ = instrument
        self.faults = faults
        self.cash = D(1_000)
        self.held = D(0)
        self.resting: dict[OrderRef, Order] = {}
        self.submitted: list[Order] = []
        self.closed = False
        self.said: asyncio.Queue[VenueReport] = asyncio.Queue()

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        assert (list(orders), since) == ([], None)
        if "open" in self.faults:
            raise MarketUnreachable(self.faults["open"])
        if "held" in self.faults:
            self.held = D(self.faults["held"])
        self.see()

    async def close(self) -> None:
        self.closed = True

    def set_instruments(self, instruments: Sequence[Instrument]) -> None: ...

    def instrument(self, symbol: str, price: float) -> Instrument:
        return self.instrument_

    async def reports(self) -> AsyncIterator[VenueReport]:
        while True:
            try:
                async with asyncio.timeout(30):
                    yield await self.said.get()
            except TimeoutError:
                self.see()

    def see(self) -> None:
        total = self.cash + D(self.faults.get("drift", "0")) * len(self.submitted)
        balances: tuple[Balance, ...] = (Balance("USDT", total, total),)
        if self.instrument_.product is Product.SPOT:
            positions: tuple[PositionSeen, ...] = ()
            balances += (Balance("ETH", self.held, self.held),)
        else:
            positions = (PositionSeen("ETHUSDT", self.held, MARK),) if self.held else ()
        orders = tuple(
            OrderSeen("7", ref.client_id("prove1"), ref, "ETHUSDT", Side.SELL, "STOP", D(1), D(0), True)
            for ref in self.resting
        )
        self.said.put_nowait(AccountSeen(NOW, balances, positions, orders))

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        order = cleared.redeem(now)
        self.submitted.append(order)
        fault = self.faults.get(order.ref.leg.name.lower(), "")
        if fault == "rejected" and not order.ref.revision:
            self.said.put_nowait(Rejected(order.ref, RejectReason.FILTER, "no such price"))
        elif fault == "unfilled":
            self.said.put_nowait(Canceled(order.ref, "expired"))
        elif fault == "lost":
            self.said.put_nowait(OutcomeUnknown(order.ref, "no answer"))
            self.trade(order)
        elif fault == "mute" and not order.ref.revision:
            pass
        elif fault == "late":
            self.said.put_nowait(OutcomeUnknown(order.ref, "no answer"))
            asyncio.get_running_loop().call_later(100, self.trade, order)
        elif fault == "absent" and not order.ref.revision:
            self.said.put_nowait(OutcomeUnknown(order.ref, "no answer"))
            said = Rejected(order.ref, RejectReason.NEVER_ARRIVED, "nothing shows it")
            asyncio.get_running_loop().call_later(ABSENT_AFTER_S + 2 * LONGEST_PAUSE_S, self.said.put_nowait, said)
        elif fault == "unreachable":
            raise MarketUnreachable("the exchange does not answer")
        elif fault == "ended":
            self.said.put_nowait(Accepted(order.ref, "7"))
            self.said.put_nowait(Canceled(order.ref, "the exchange ended it"))
        else:
            self.trade(order)

    def trade(self, order: Order) -> None:
        self.said.put_nowait(Accepted(order.ref, "7"))
        if order.ref.leg is Purpose.STOP:
            self.resting[order.ref] = order
            return
        for part, share in (("a", 2), ("b", 1)):
            quantity = (order.quantity / 3 * share).quantize(D("0.001"))
            quantity = quantity if part == "a" else order.quantity - (order.quantity / 3 * 2).quantize(D("0.001"))
            worth, fee = quantity * MARK, quantity * MARK * FEE
            spot_buy = self.instrument_.product is Product.SPOT and order.side is Side.BUY
            self.held += order.side.sign * quantity - (quantity * FEE if spot_buy else 0)
            self.cash -= order.side.sign * worth + (0 if spot_buy else fee)
            fill = Filled(order.ref, f"{order.ref}{part}", quantity, MARK, fee, NOW)
            fill = msgspec.structs.replace(fill, base_fee=quantity * FEE) if spot_buy else fill
            self.said.put_nowait(fill)
            self.said.put_nowait(fill)  # every report may come twice

    async def cancel(self, ref: OrderRef, now: int) -> None:
        if self.resting.pop(ref, None) is not None:
            self.said.put_nowait(Canceled(ref, "asked for"))

    def withdraw(self, ref: OrderRef) -> None: ...

    def others_trade(self) -> None:
        fill = OutsideFill("x", "ETHUSDT", Side.BUY, D(1), MARK, D(0), NOW, OutsideCause.OTHER_TRADER)
        self.said.put_nowait(fill)


def proven(
    venue: Scripted,
    limited: Policies | None = None,
    during: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Proof | str, list[str]]:
    """Run a proving order, and return the proof or the text of the error, and the lines."""
    lines: list[str] = []

    async def mark() -> D:
        during()
        return MARK

    def heard(line: str) -> None:
        lines.append(line)
        say(line)

    # The mark price of the script never moves, so that each amount is known.
    used = limited or load_policies(None).policies
    terms = ProvingTerms("prove1", Mode.DEMO, venue.instrument_, "USDT", used, mark, lambda: NOW, heard)
    checked: ExchangeVenue = venue
    try:
        result: Proof | str = run_in_virtual_time(ProvingOrder(checked, terms).run())
    except (VenueRefused, MarketUnreachable) as error:
        result = str(error)
    except asyncio.CancelledError:
        result = "cancelled"
    assert venue.closed
    return result, lines


def cancel_at(start: str, line: str) -> None:
    """Cancel the proving order when it says a line."""
    task = asyncio.current_task()
    if line.startswith(start) and task is not None:
        task.cancel()


def test_proving_order_buys_the_least_protects_it_and_ends_flat() -> None:
    venue = Scripted()
    proof, lines = proven(venue)
    assert isinstance(proof, Proof), proof
    assert (proof.quantity, proof.bought, proof.sold) == (D("0.021"), MARK, MARK)
    assert proof.fees == D("0.021") * MARK * FEE * 2
    assert (venue.held, len(venue.resting)) == (D(0), 0)
    assert [each.ref.leg for each in venue.submitted] == [Purpose.ENTRY, Purpose.STOP, Purpose.EXIT]
    assert [each.reduce_only for each in venue.submitted] == [False, True, True]
    assert venue.submitted[1].trigger_price == D("990.00")
    assert len(lines) == 6


def test_proving_order_on_spot_cancels_the_stop_before_it_sells() -> None:
    venue = Scripted(instrument=SPOT)
    proof, lines = proven(venue)
    assert isinstance(proof, Proof), proof
    assert venue.held < ETH.step
    assert lines.index("the stop is gone") < next(at for at, line in enumerate(lines) if line.startswith("sold"))


def test_unknown_outcome_that_is_found_later_is_accounted_for() -> None:
    proof, lines = proven(Scripted({"entry": "lost"}))
    assert isinstance(proof, Proof), proof
    assert any("unknown, and is looked up" in line for line in lines)


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"stop": "rejected"}, "the exchange rejected the stop (FILTER: no such price)"),
        ({"stop": "absent"}, "the stop has no outcome in 90 s"),
        ({"stop": "ended"}, "the exchange ended the stop (the exchange ended it)"),
        ({"exit": "rejected"}, "only 0 of 0.021 were sold"),
        ({"exit": "mute"}, "the sale has no outcome in 90 s"),
        ({"drift": "-5"}, "a report is missing"),
    ],
    ids=str,
)
def test_failed_proving_order_is_closed_and_no_proof(faults: dict[str, str], says: str) -> None:
    venue = Scripted(faults)
    found, _ = proven(venue)
    assert isinstance(found, str)
    assert says in found
    assert "nothing is left" in found
    assert (venue.held, len(venue.resting)) == (D(0), 0)


def test_what_a_failed_proving_order_leaves_is_named() -> None:
    venue = Scripted({"exit": "unfilled"})
    found, _ = proven(venue)
    left = "left at the exchange: 0.021 ETHUSDT, the order ocw-prove1-1-s-0; close and cancel it in the exchange's app"
    assert left in str(found)
    assert len(venue.resting) == 1, "the position has no stop"


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"held": "0.5"}, "the account has a position in ETHUSDT"),
        ({"open": "no answer"}, "no answer"),
        ({"entry": "rejected"}, "did not fill (FILTER: no such price); nothing is left"),
        ({"entry": "unfilled"}, "did not fill (expired); nothing is left"),
        ({"entry": "absent"}, "did not fill (NEVER_ARRIVED: nothing shows it); nothing is left"),
    ],
    ids=str,
)
def test_proving_order_that_cannot_begin_leaves_nothing(faults: dict[str, str], says: str) -> None:
    venue = Scripted(faults)
    found, _ = proven(venue)
    assert says in str(found)
    assert len(venue.submitted) <= 1


def test_policies_that_refuse_the_proving_order_are_named() -> None:
    limited: Any = policies(order={"max_notional": 10})
    venue = Scripted()
    found, _ = proven(venue, limited)
    assert "the policies refuse the proving order of 0.021 ETHUSDT: ORDER_NOTIONAL" in str(found)
    assert venue.submitted == []


def test_trade_of_somebody_else_during_the_proving_is_no_proof() -> None:
    venue = Scripted()
    found, _ = proven(venue, during=venue.others_trade)
    assert "another program or person traded ETHUSDT meanwhile" in str(found)


def test_proving_order_waits_as_long_as_an_order_may_be_looked_up() -> None:
    assert SETTLE_S > ABSENT_AFTER_S + 2 * LONGEST_PAUSE_S


def test_unreachable_price_after_the_buy_does_not_stop_the_proving() -> None:
    asked: list[int] = []

    def once() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise MarketUnreachable("no answer")

    proof, _ = proven(Scripted(), during=once)
    assert isinstance(proof, Proof), proof


@pytest.mark.parametrize("product", [ETH, SPOT], ids=["um", "spot"])
@pytest.mark.parametrize("line", ["sent", "bought", "a stop at", "sold", "the stop is gone"])
def test_cancelled_proving_order_first_sells_what_it_bought(product: Instrument, line: str) -> None:
    venue = Scripted(instrument=product)
    result, lines = proven(venue, say=partial(cancel_at, line))
    assert result == "cancelled"
    assert (venue.held < ETH.step, len(venue.resting)) == (True, 0)
    assert lines[-1].startswith("the proving order failed: it was interrupted; nothing is left")


def test_second_cancellation_does_not_end_the_closing() -> None:
    def twice(line: str) -> None:
        cancel_at("bought", line)
        cancel_at("interrupted", line)

    venue = Scripted()
    result, _ = proven(venue, say=twice)
    assert (result, venue.held) == ("cancelled", D(0))


def test_error_of_the_exchange_after_the_buy_is_mended() -> None:
    venue = Scripted({"stop": "unreachable"})
    found, _ = proven(venue)
    assert "the proving order failed: the exchange does not answer; not known: what became of the stop" in str(found)
    assert venue.held == D(0)


def test_error_while_the_rest_is_sold_does_not_replace_the_first() -> None:
    found, _ = proven(Scripted({"stop": "rejected", "exit": "unreachable"}))
    assert "the exchange rejected the stop (FILTER: no such price); the closing failed: the exchange" in str(found)
    assert "left at the exchange: 0.021 ETHUSDT" in str(found)


def test_proving_order_on_spot_refuses_coins_that_the_account_has() -> None:
    venue = Scripted({"held": "0.5"}, SPOT)
    found, _ = proven(venue)
    assert "the account has 0.5 ETH, and the proving order needs a symbol without any; nothing was sent" in str(found)
    assert venue.submitted == []


def test_exit_of_unknown_outcome_on_spot_is_not_sent_again() -> None:
    venue = Scripted({"exit": "mute"}, SPOT)
    found, _ = proven(venue)
    assert [each.ref.leg for each in venue.submitted] == [Purpose.ENTRY, Purpose.STOP, Purpose.EXIT]
    assert "left at the exchange: 0.0229885 ETH; close" in str(found)
    assert "not known: what became of the sale of 0.022 ETHUSDT (ocw-prove1-1-x-0)" in str(found)


def test_exit_on_spot_that_never_arrived_is_sent_again() -> None:
    venue = Scripted({"exit": "absent"}, SPOT)
    found, _ = proven(venue)
    assert "nothing is left" in str(found)
    assert venue.held < ETH.step


def test_buy_that_shows_up_after_100_s_is_proved() -> None:
    proof, _ = proven(Scripted({"entry": "late"}))
    assert isinstance(proof, Proof), proof


def test_buy_without_an_outcome_is_reported_as_not_known() -> None:
    found, _ = proven(Scripted({"entry": "mute"}))
    assert "the buy has no outcome in 270 s; not known: what became of the buy of 0.021 ETHUSDT" in str(found)
    assert "look for it in the exchange's app" in str(found)
    assert "nothing is left" not in str(found)


def test_stop_that_the_exchange_ended_is_not_said_to_rest() -> None:
    _, lines = proven(Scripted({"stop": "ended"}))
    assert not any("rests at the exchange" in line for line in lines)
