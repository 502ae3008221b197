"""The proving order: one order of the smallest size, its stop and its close, before a mandate is accepted.

It goes the way of every order: the risk officer clears it under the policies and the new mandate, and the venue of the
book sends it. The account must have no position and no order in the symbol. At the end the position is flat, no order
is left, and every fill and the balance are accounted for; otherwise the error says what is left and how to mend it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.core.risk.account import AccountView, Pace
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.risk.prices import smallest
from ocw_mcp.domain.errors import VenueRefused
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Canceled,
    Filled,
    FundingPaid,
    OrderIntent,
    OrderRef,
    OrderType,
    OutcomeUnknown,
    OutsideFill,
    Purpose,
    Rejected,
    Side,
    Transferred,
    VenueReport,
)
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.state import Mode, TradingState

STOP_DISTANCE: Final = Decimal("0.01")
"""The distance of the stop, as a share of the mark price; less if the policies allow less."""
ROOM: Final = Decimal("1.05")
"""How much larger than the smallest notional the order is, so that a falling price does not make it too small."""
PATIENCE_S: Final = 90.0
"""How long (s) each step waits for its reports: an unknown outcome is looked up meanwhile."""
TOLERANCE: Final = Decimal("0.01")
"""The largest difference (quote) between the balance and the sum of the reports: the exchange rounds."""
_ENTRY, _STOP, _EXIT = (OrderRef(1, leg) for leg in (Purpose.ENTRY, Purpose.STOP, Purpose.EXIT))
_OWN: Final = "prove"


class ProvingTerms(NamedTuple):
    """What is proved, and with what."""

    book: str
    """The six characters of the client ids of this proving order; each one has its own."""
    mode: Mode
    instrument: Instrument
    quote: str
    """The asset in which the account is measured, such as USDT."""
    policies: Policies
    mark: Callable[[], Awaitable[Decimal]]
    """Returns the present mark price; on spot the last price."""
    now: Callable[[], int]
    """Returns the exchange's time, ms."""
    say: Callable[[str], None]
    """Gets one line for each step."""


class Proof(NamedTuple):
    """The result of a proving order, in quote currency."""

    quantity: Decimal
    bought: Decimal
    sold: Decimal
    """The average prices."""
    fees: Decimal
    ended_at: int
    """The exchange's time, ms."""


class ProvingOrder:
    """One proving order at one venue."""

    def __init__(self, venue: ExchangeVenue, terms: ProvingTerms, patience_s: float = PATIENCE_S) -> None:
        self._venue, self._terms, self._patience_s = venue, terms, patience_s
        self._officer = RiskOfficer(terms.policies)
        self._fills: dict[str, Filled] = {}
        self._outside: list[OutsideFill] = []
        self._seen: list[AccountSeen] = []
        self._ends: dict[OrderRef, Canceled | Rejected] = {}
        self._accepted: set[OrderRef] = set()
        self._moved = ZERO
        """Funding, deposits and withdrawals during the proving, by their ids."""
        self._moves: set[str] = set()
        self._news = asyncio.Event()
        self._failure: Exception | None = None
        self._stop_price = ZERO

    async def run(self) -> Proof:
        """Open the venue, trade, end flat, and return the proof. The venue is closed at the end.

        Raises VenueRefused, which says what is left if anything is, and MarketUnreachable.
        """
        listening: asyncio.Task[None] | None = None
        try:
            await self._venue.open((), None)
            listening = asyncio.create_task(self._listen())
            return await self._prove()
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            await self._venue.close()

    async def _prove(self) -> Proof:
        symbol, say = self._terms.instrument.symbol, self._terms.say
        await self._until(lambda: bool(self._seen), "the account was not reported")
        first = self._seen[-1]
        self._require_free(first)
        quantity = await self._enter(first)
        try:
            await self._protect(quantity, first)
            if self._spot:
                # A stop on spot locks the quantity that is sold.
                await self._cancel_stop()
            await self._close(quantity, first)
            if not self._spot:
                await self._cancel_stop()
            await self._require_flat()
        except (VenueRefused, TimeoutError) as error:
            raise VenueRefused(f"the proving order failed: {error}; {await self._mend(first)}") from None
        fees = sum((each.fee for each in self._fills.values()), ZERO)
        say(f"accounted for: {len(self._fills)} fills, fees {plain(fees)} {self._terms.quote}; {symbol} is flat")
        return Proof(self._filled(_ENTRY), self._average(_ENTRY), self._average(_EXIT), fees, self._terms.now())

    @property
    def _spot(self) -> bool:
        return self._terms.instrument.product is Product.SPOT

    def _require_free(self, seen: AccountSeen) -> None:
        symbol = self._terms.instrument.symbol
        held = [each for each in seen.positions if each.symbol == symbol]
        orders = [each for each in seen.orders if each.symbol == symbol]
        if held or orders:
            what = "a position" if held else f"{len(orders)} open order(s)"
            raise VenueRefused(
                f"the account has {what} in {symbol}, and the proving order needs a symbol without any; nothing was "
                "sent: close or cancel them, or name another symbol first in --symbols"
            )

    async def _enter(self, seen: AccountSeen) -> Decimal:
        """Buy the smallest quantity, and return what was bought."""
        terms = self._terms
        instrument, mark = terms.instrument, await terms.mark()
        quantity = ceil_to(smallest(instrument, mark) * ROOM, instrument.step)
        distance = min(STOP_DISTANCE, terms.policies.stop.max_distance / 2)
        self._stop_price = floor_to(mark * (ONE - distance), instrument.tick)
        if self._spot:
            # What is left after the fee must still be large enough to be sold at the stop.
            quantity = ceil_to(smallest(instrument, self._stop_price) * ROOM, instrument.step)
        intent = self._intent(Side.BUY, Purpose.ENTRY, quantity, OrderType.MARKET)
        intent = msgspec.structs.replace(intent, protect_at=self._stop_price)
        cleared = self._officer.check_entry(intent, self._view(seen, mark, ZERO), _ENTRY, terms.now())
        if isinstance(cleared, Refusal):
            raise VenueRefused(
                f"the policies refuse the proving order of {plain(quantity)} {instrument.symbol}: {cleared.code}, "
                f"limit {cleared.limit}, actual {cleared.actual}; nothing was sent: change the policies, the mandate "
                "or the symbol"
            )
        await self._venue.submit(cleared, terms.now())
        terms.say(f"sent: buy {plain(quantity)} {instrument.symbol} at about {plain(mark)}")
        try:
            await self._until(
                lambda: self._filled(_ENTRY) >= quantity or _ENTRY in self._ends, "the buy has no outcome"
            )
        except TimeoutError as error:
            raise VenueRefused(f"the proving order failed: {error}; {await self._mend(seen)}") from None
        if not self._filled(_ENTRY):
            end = self._ends[_ENTRY]
            why = end.text if isinstance(end, Rejected) else end.why
            raise VenueRefused(f"the proving order did not fill ({why}); nothing is left: run it again")
        terms.say(f"bought {plain(self._filled(_ENTRY))} at {plain(self._average(_ENTRY))}")
        return self._filled(_ENTRY)

    async def _protect(self, quantity: Decimal, seen: AccountSeen) -> None:
        intent = self._intent(Side.SELL, Purpose.STOP, self._owned, OrderType.STOP_MARKET)
        intent = msgspec.structs.replace(intent, trigger_price=self._stop_price)
        await self._reduce(intent, _STOP, seen)
        await self._until(lambda: _STOP in self._accepted or _STOP in self._ends, "the stop has no outcome")
        if isinstance(end := self._ends.get(_STOP), Rejected):
            raise VenueRefused(f"the exchange rejected the stop ({end.reason}: {end.text})")
        self._terms.say(f"a stop at {plain(self._stop_price)} rests at the exchange")

    async def _close(self, quantity: Decimal, seen: AccountSeen) -> None:
        wanted = floor_to(self._owned, self._terms.instrument.step)
        await self._reduce(self._intent(Side.SELL, Purpose.EXIT, wanted, OrderType.MARKET), _EXIT, seen)
        await self._until(lambda: self._sold >= wanted or _EXIT in self._ends, "the sale has no outcome")
        if self._sold < wanted:
            raise VenueRefused(f"only {plain(self._sold)} of {plain(wanted)} were sold")
        self._terms.say(f"sold {plain(self._sold)} at {plain(self._average(_EXIT))}")

    async def _cancel_stop(self) -> None:
        if _STOP not in self._ends:
            await self._venue.cancel(_STOP, self._terms.now())
        await self._until(lambda: _STOP in self._ends or bool(self._filled(_STOP)), "the stop was not cancelled")
        self._terms.say("the stop is gone")

    async def _require_flat(self) -> None:
        """Wait for the next report of the account, and compare it with what was reported before."""
        known, terms = len(self._seen), self._terms
        await self._until(lambda: len(self._seen) > known, "the account was not reported again")
        last, first, symbol = self._seen[-1], self._seen[0], terms.instrument.symbol
        if any(each.symbol == symbol for each in last.positions):
            raise VenueRefused(f"the exchange still reports a position in {symbol}")
        if any(each.symbol == symbol for each in last.orders):
            raise VenueRefused(f"the exchange still reports an open order in {symbol}")
        if any(each.symbol == symbol for each in self._outside):
            raise VenueRefused(f"another program or person traded {symbol} meanwhile")
        bought, sold = (self._worth(Side.BUY), self._worth(Side.SELL))
        # A fee in another asset, or out of the bought quantity, is not in the quote balance.
        in_quote = [each for each in self._fills.values() if each.fee_asset in ("", terms.quote) and not each.base_fee]
        fees = sum((each.fee for each in in_quote), ZERO)
        expected = _total(first, terms.quote) + sold - bought - fees + self._moved
        if abs(_total(last, terms.quote) - expected) > TOLERANCE:
            raise VenueRefused(
                f"the balance is {plain(_total(last, terms.quote))} {terms.quote}, and the reports add up to "
                f"{plain(expected)}: a report is missing"
            )

    async def _mend(self, seen: AccountSeen) -> str:
        """Cancel and close what a failed proving order left; return what is left in one clause."""
        symbol = self._terms.instrument.symbol
        for ref in (_ENTRY, _STOP):
            if ref not in self._ends and (ref is _ENTRY or ref in self._accepted):
                await self._venue.cancel(ref, self._terms.now())
        wanted = floor_to(self._owned, self._terms.instrument.step)
        if wanted > ZERO:
            again = OrderRef(1, Purpose.EXIT, 1)
            await self._reduce(self._intent(Side.SELL, Purpose.EXIT, wanted, OrderType.MARKET), again, seen)
        known = len(self._seen)
        try:
            await self._until(lambda: self._owned < self._terms.instrument.step, "the rest was not sold")
            await self._until(lambda: len(self._seen) > known, "the account was not reported")
        except (TimeoutError, VenueRefused):
            pass
        last = self._seen[-1]
        left = [f"{plain(each.quantity)} {each.symbol}" for each in last.positions if each.symbol == symbol]
        left += [f"the order {each.client_id}" for each in last.orders if each.symbol == symbol]
        if self._owned >= self._terms.instrument.step and not left:
            left = [f"about {plain(self._owned)} {symbol}"]
        if not left:
            return "nothing is left: the position is flat, and no order is open"
        return (
            f"left at the exchange: {', '.join(left)}; close and cancel it in the exchange's app, and look at the "
            f"account there before you run this again"
        )

    async def _reduce(self, intent: OrderIntent, ref: OrderRef, seen: AccountSeen) -> None:
        mark, now = await self._terms.mark(), self._terms.now()
        cleared = self._officer.clear_reduction(intent, self._view(seen, mark, self._owned), ref, now)
        if isinstance(cleared, Refusal):
            raise VenueRefused(f"the risk check refuses the {intent.wanted} ({cleared.code})")
        await self._venue.submit(cleared, now)

    def _intent(self, side: Side, purpose: Purpose, quantity: Decimal, kind: OrderType) -> OrderIntent:
        return OrderIntent("", _OWN, self._terms.instrument.symbol, side, kind, purpose, quantity)

    def _view(self, seen: AccountSeen, mark: Decimal, held: Decimal) -> AccountView:
        """Return the account for the risk check: it has no other position in the symbol, and begins a day."""
        equity = _total(seen, self._terms.quote)
        free = next((each.free for each in seen.balances if each.asset == self._terms.quote), ZERO)
        quiet = Pace(0, 0, ZERO, ZERO, None, 0, 0)
        return AccountView(
            version=0,
            now=self._terms.now(),
            mode=self._terms.mode,
            agent=_OWN,
            state=TradingState.ACTIVE,
            product=self._terms.instrument.product,
            instrument=self._terms.instrument,
            equity=equity,
            gross=held * mark,
            quantity=held,
            symbol_notional=held * mark,
            price=mark,
            price_age_ms=0,
            price_age_limit_ms=1,
            daily_loss_reached=False,
            daily_loss=ZERO,
            day_opening=equity,
            correlated_long=None,
            correlated_short=None,
            other_symbols=0,
            pace=quiet,
            free_margin=free,
            symbol_quantity=held,
        )

    # Reports

    async def _listen(self) -> None:
        try:
            async for report in self._venue.reports():
                self._take(report)
                self._news.set()
        except Exception as error:
            self._failure = error
            self._news.set()

    def _take(self, report: VenueReport) -> None:
        match report:
            case Accepted():
                self._accepted.add(report.ref)
            case Filled():
                self._fills[report.fill_id] = report
            case Canceled() | Rejected():
                self._ends[report.ref] = report
            case OutcomeUnknown():
                self._terms.say(f"the outcome of {report.ref} is unknown, and is looked up: {report.why}")
            case OutsideFill():
                self._outside.append(report)
            case AccountSeen():
                self._seen.append(report)
            case FundingPaid():
                self._move(report.transaction_id or f"{report.symbol} {report.at}", report.amount)
            case Transferred():
                self._move(report.transfer_id, report.amount)

    def _move(self, name: str, amount: Decimal) -> None:
        if name not in self._moves:
            self._moves.add(name)
            self._moved += amount

    async def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        """Wait for reports until a condition holds. Raises TimeoutError, and VenueRefused if the reports end."""
        try:
            async with asyncio.timeout(self._patience_s):
                while not reached():
                    if self._failure is not None:
                        raise VenueRefused(f"the reports of the exchange ended: {self._failure}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"{otherwise} in {self._patience_s:.0f} s") from None

    def _of(self, ref: OrderRef) -> list[Filled]:
        return [each for each in self._fills.values() if (each.ref.n, each.ref.leg) == (ref.n, ref.leg)]

    def _filled(self, ref: OrderRef) -> Decimal:
        return sum((each.quantity for each in self._of(ref)), ZERO)

    def _average(self, ref: OrderRef) -> Decimal:
        worth = sum((each.quantity * each.price for each in self._of(ref)), ZERO)
        return worth / self._filled(ref) if self._filled(ref) else ZERO

    @property
    def _sold(self) -> Decimal:
        return self._filled(_EXIT) + self._filled(_STOP)

    @property
    def _owned(self) -> Decimal:
        """What was bought and not sold yet, less a fee in the base asset."""
        return self._filled(_ENTRY) - sum((each.base_fee for each in self._of(_ENTRY)), ZERO) - self._sold

    def _worth(self, side: Side) -> Decimal:
        legs = (_ENTRY,) if side is Side.BUY else (_EXIT, _STOP)
        return sum((each.quantity * each.price for leg in legs for each in self._of(leg)), ZERO)


def _total(seen: AccountSeen, asset: str) -> Decimal:
    return next((each.total for each in seen.balances if each.asset == asset), ZERO)
