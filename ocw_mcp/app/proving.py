"""The proving order: one order of the smallest size, its stop and its close, before a mandate is accepted.

It goes the way of every order: the risk officer clears it under the policies and the new mandate, and the venue of the
book sends it. The account must have no position and no order in the symbol, on spot none of its base asset. At the end
the position is flat, no order is left, and every fill and the balance are accounted for; otherwise what was bought is
sold, and the error says what is left or not known, and how to mend it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final, NamedTuple, NoReturn

import msgspec

from ocw_mcp.app.proving_reports import ENTRY, EXIT, PATIENCE_S, SECOND_EXIT, SETTLE_S, STOP, ProvingReports, total
from ocw_mcp.core.risk.account import AccountView, Pace
from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.core.risk.prices import smallest
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import OcwError, VenueRefused
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import AccountSeen, OrderIntent, OrderRef, OrderType, Purpose, Rejected, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.state import Mode, TradingState

STOP_DISTANCE: Final = Decimal("0.01")
"""The distance of the stop, as a share of the mark price; less if the policies allow less."""
ROOM: Final = Decimal("1.05")
"""How much larger than the smallest notional the order is, so that a falling price does not make it too small."""
MEND_S: Final = SETTLE_S + 30
"""The longest time (s) in which a failed proving order is closed, also after a cancellation."""
TOLERANCE: Final = Decimal("0.01")
"""The largest difference (quote) between the balance and the sum of the reports: the exchange rounds."""
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

    def __init__(self, venue: ExchangeVenue, terms: ProvingTerms) -> None:
        self._venue, self._terms = venue, terms
        self._officer = RiskOfficer(terms.policies)
        self._reports = ProvingReports(venue, terms.now, terms.say)
        self._mark = self._stop_price = ZERO
        """The mark price before the buy, at which reductions are cleared: none waits for a price."""

    async def run(self) -> Proof:
        """Open the venue, trade, end flat, and return the proof. The venue is closed at the end.

        Raises VenueRefused, which says what is left if anything is, and MarketUnreachable before anything is sent. If
        it is cancelled, it sells what it bought before it ends, in at most `MEND_S`.
        """
        listening: asyncio.Task[None] | None = None
        try:
            await self._venue.open((), None)
            listening = asyncio.create_task(self._reports.listen())
            return await self._prove()
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            await self._venue.close()

    async def _prove(self) -> Proof:
        reports = self._reports
        await reports.until(lambda: bool(reports.seen), "the account was not reported")
        self._require_free(reports.seen[-1])
        entry = await self._clear_entry()
        try:
            await self._enter(entry)
            await self._protect()
            if self._spot:
                # A stop on spot locks the quantity that is sold.
                await self._cancel_stop()
            await self._close()
            if not self._spot:
                await self._cancel_stop()
            await self._require_flat()
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(error)
        fees = sum((each.fee for each in reports.fills.values()), ZERO)
        self._terms.say(
            f"accounted for: {len(reports.fills)} fills, fees {plain(fees)} {self._terms.quote}; {self._symbol} is flat"
        )
        return Proof(reports.filled(ENTRY), reports.average(ENTRY), reports.average(EXIT), fees, self._terms.now())

    @property
    def _spot(self) -> bool:
        return self._terms.instrument.product is Product.SPOT

    @property
    def _symbol(self) -> str:
        return self._terms.instrument.symbol

    @property
    def _base(self) -> str:
        return self._symbol.removesuffix(self._terms.quote)

    @property
    def _outcome_s(self) -> float:
        """How long (s) a stop or a sale is awaited: spot has no reduce-only, and no other sale may follow."""
        return SETTLE_S if self._spot else PATIENCE_S

    def _require_free(self, seen: AccountSeen) -> None:
        held = [each for each in seen.positions if each.symbol == self._symbol]
        orders = [each for each in seen.orders if each.symbol == self._symbol]
        coins = total(seen, self._base) if self._spot else ZERO
        if coins >= self._terms.instrument.step:
            what, way = f"{plain(coins)} {self._base}", "sell or move it"
        elif held or orders:
            what = f"a position in {self._symbol}" if held else f"{len(orders)} open order(s) in {self._symbol}"
            way = "close or cancel them"
        else:
            return
        raise VenueRefused(
            f"the account has {what}, and the proving order needs a symbol without any; nothing was sent: {way}, or "
            "name another symbol first in --symbols"
        )

    async def _clear_entry(self) -> ClearedOrder:
        """Return the cleared order that buys the smallest quantity. Raises VenueRefused."""
        terms, seen = self._terms, self._reports.seen[0]
        instrument, mark = terms.instrument, await terms.mark()
        quantity = ceil_to(smallest(instrument, mark) * ROOM, instrument.step)
        distance = min(STOP_DISTANCE, terms.policies.stop.max_distance / 2)
        self._mark, self._stop_price = mark, floor_to(mark * (ONE - distance), instrument.tick)
        if self._spot:
            # What is left after the fee must still be large enough to be sold at the stop.
            quantity = ceil_to(smallest(instrument, self._stop_price) * ROOM, instrument.step)
        intent = self._intent(Side.BUY, Purpose.ENTRY, quantity, OrderType.MARKET)
        intent = msgspec.structs.replace(intent, protect_at=self._stop_price)
        cleared = self._officer.check_entry(intent, self._view(seen, mark, ZERO), ENTRY, terms.now())
        if isinstance(cleared, Refusal):
            raise VenueRefused(
                f"the policies refuse the proving order of {plain(quantity)} {instrument.symbol}: {cleared.code}, "
                f"limit {cleared.limit}, actual {cleared.actual}; nothing was sent: change the policies, the mandate "
                "or the symbol"
            )
        return cleared

    async def _enter(self, entry: ClearedOrder) -> None:
        reports, say = self._reports, self._terms.say
        await reports.submit(entry, self._terms.now())
        say(f"sent: buy {plain(entry.order.quantity)} {self._symbol} at about {plain(self._mark)}")
        await reports.until(lambda: reports.settled(ENTRY), "the buy has no outcome", SETTLE_S)
        if not reports.filled(ENTRY):
            raise VenueRefused(f"it did not fill ({reports.why(ENTRY)})")
        say(f"bought {plain(reports.filled(ENTRY))} at {plain(reports.average(ENTRY))}")

    async def _protect(self) -> None:
        reports = self._reports
        intent = self._intent(Side.SELL, Purpose.STOP, reports.owned, OrderType.STOP_MARKET)
        await self._reduce(msgspec.structs.replace(intent, trigger_price=self._stop_price), STOP)
        await reports.until(
            lambda: STOP in reports.accepted or reports.settled(STOP), "the stop has no outcome", self._outcome_s
        )
        if STOP in reports.ends:
            what = "rejected" if isinstance(reports.ends[STOP], Rejected) else "ended"
            raise VenueRefused(f"the exchange {what} the stop ({reports.why(STOP)})")
        if reports.filled(STOP):
            raise VenueRefused("the stop was executed at once")
        self._terms.say(f"a stop at {plain(self._stop_price)} rests at the exchange")

    async def _close(self) -> None:
        reports, step = self._reports, self._terms.instrument.step
        wanted = floor_to(reports.owned, step)
        await self._reduce(self._intent(Side.SELL, Purpose.EXIT, wanted, OrderType.MARKET), EXIT)
        await reports.until(
            lambda: reports.owned < step or reports.settled(EXIT), "the sale has no outcome", self._outcome_s
        )
        if reports.owned >= step:
            raise VenueRefused(f"only {plain(reports.sold)} of {plain(wanted)} were sold")
        self._terms.say(f"sold {plain(reports.sold)} at {plain(reports.average(EXIT))}")

    async def _cancel_stop(self) -> None:
        reports = self._reports
        await reports.cancel(STOP)
        await reports.until(lambda: STOP in reports.ends or bool(reports.filled(STOP)), "the stop was not cancelled")
        self._terms.say("the stop is gone")

    async def _require_flat(self) -> None:
        """Wait for the next report of the account, and compare it with what was reported before."""
        terms, reports, symbol = self._terms, self._reports, self._symbol
        known = len(reports.seen)
        await reports.until(lambda: len(reports.seen) > known, "the account was not reported again")
        first, last = reports.seen[0], reports.seen[-1]
        if held := self._position(last):
            raise VenueRefused(f"the exchange still reports {held}")
        if any(each.symbol == symbol for each in last.orders):
            raise VenueRefused(f"the exchange still reports an open order in {symbol}")
        if any(each.symbol == symbol for each in reports.outside):
            raise VenueRefused(f"another program or person traded {symbol} meanwhile")
        bought, sold = reports.worth(Side.BUY), reports.worth(Side.SELL)
        # A fee in another asset, or out of the bought quantity, is not in the quote balance.
        in_quote = [
            each for each in reports.fills.values() if each.fee_asset in ("", terms.quote) and not each.base_fee
        ]
        fees = sum((each.fee for each in in_quote), ZERO)
        expected = total(first, terms.quote) + sold - bought - fees + reports.moved
        if abs(total(last, terms.quote) - expected) > TOLERANCE:
            raise VenueRefused(
                f"the balance is {plain(total(last, terms.quote))} {terms.quote}, and the reports add up to "
                f"{plain(expected)}: a report is missing"
            )

    # A failed proving order

    async def _fail(self, error: BaseException) -> NoReturn:
        """Close what was bought, and raise the error with what is left; a cancellation does not end the closing."""
        interrupted = isinstance(error, asyncio.CancelledError)
        if interrupted:
            self._terms.say(f"interrupted: what was bought is sold first, in at most {MEND_S:.0f} s")
        mending = asyncio.create_task(self._mend())
        while not mending.done():
            try:
                await asyncio.wait({mending})
            except asyncio.CancelledError:
                interrupted = True
        if mending.cancelled():
            trouble, fresh = "the closing was interrupted", False
        elif (fault := mending.exception()) is not None:
            trouble, fresh = f"the closing failed: {fault}", False
        else:
            trouble, fresh = mending.result()
        why = "it was interrupted" if isinstance(error, asyncio.CancelledError) else str(error)
        clauses = [f"the proving order failed: {why}", trouble, self._left(fresh)]
        text = "; ".join(each for each in clauses if each)
        if not interrupted and isinstance(error, OcwError | TimeoutError):
            raise VenueRefused(text) from None
        self._terms.say(text)
        raise asyncio.CancelledError if interrupted else error

    async def _mend(self) -> tuple[str, bool]:
        """Cancel and sell what is left. Return what went wrong, and whether the account was reported afterwards."""
        reports, trouble = self._reports, ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MEND_S):
                try:
                    await self._sell_rest()
                except OcwError as error:
                    trouble = f"the closing failed: {error}"
                if list(reports.sent) == [ENTRY] and reports.settled(ENTRY) and not reports.filled(ENTRY):
                    return trouble, True
                return trouble, await reports.account()
        return trouble or f"the closing did not end in {MEND_S:.0f} s", False

    async def _sell_rest(self) -> None:
        reports, step = self._reports, self._terms.instrument.step
        await self._cancel(ENTRY)
        await reports.settle(ENTRY)
        if self._spot:
            # Spot has no reduce-only: a second sale beside one of unknown outcome could sell coins of the owner.
            await self._cancel(STOP)
            await reports.settle(STOP)
            await reports.settle(EXIT)
            if reports.unsettled(STOP, EXIT):
                return
        wanted = floor_to(reports.owned, step)
        if wanted > ZERO:
            await self._reduce(self._intent(Side.SELL, Purpose.EXIT, wanted, OrderType.MARKET), SECOND_EXIT)
            await reports.settle(SECOND_EXIT)
        if reports.owned < step:
            # Otherwise the stop still protects the position. A stop that arrives late would be left.
            await self._cancel(STOP)
            await reports.settle(STOP)

    async def _cancel(self, ref: OrderRef) -> None:
        """Cancel an order if that is possible: the next report of the account shows it otherwise."""
        with contextlib.suppress(OcwError):
            await self._reports.cancel(ref)

    def _left(self, fresh: bool) -> str:
        """Return what is left or not known, and how to mend it; `fresh`: the account was reported after all orders."""
        reports, symbol = self._reports, self._symbol
        last, book = reports.seen[-1], self._terms.book
        orders = [each for each in last.orders if each.symbol == symbol] if fresh else []
        held = self._position(last) if fresh else ""
        if not held and reports.owned >= self._terms.instrument.step:
            held = f"about {plain(reports.owned)} {self._base if self._spot else symbol}"
        left = [held] if held else []
        left += [f"the order {each.client_id}" for each in orders]
        # A reduce-only order at the market does nothing to a flat position.
        flat = fresh and not self._spot and not held and reports.settled(ENTRY)
        names = {Purpose.ENTRY: "buy", Purpose.STOP: "stop", Purpose.EXIT: "sale"}
        unknown = [
            f"the {names[ref.leg]} of {plain(reports.sent[ref].quantity)} {symbol} ({ref.client_id(book)})"
            for ref in reports.unsettled()
            if ref not in {each.ref for each in orders} and not (flat and ref.leg is Purpose.EXIT)
        ]
        clauses = []
        if left:
            clauses.append(f"left at the exchange: {', '.join(left)}; close and cancel it in the exchange's app")
        if unknown:
            clauses.append(
                f"not known: what became of {', '.join(unknown)}; look for it in the exchange's app, among the orders "
                f"and trades of {symbol}, now and in five minutes, cancel what rests, and close what it left"
            )
        if not fresh and not clauses:
            clauses.append(
                "by the reports the position is flat and no order is open, but the exchange did not report the account "
                "again; look at it in the exchange's app"
            )
        if not clauses:
            return "nothing is left: the position is flat, and no order is open"
        return f"{'; '.join(clauses)}, before you run this again"

    def _position(self, last: AccountSeen) -> str:
        """Return what the account has of the symbol, or an empty text if it is flat; on spot beyond what it had."""
        if self._spot:
            coins = total(last, self._base) - total(self._reports.seen[0], self._base)
            return f"{plain(coins)} {self._base}" if coins >= self._terms.instrument.step else ""
        return ", ".join(
            f"{plain(each.quantity)} {each.symbol}" for each in last.positions if each.symbol == self._symbol
        )

    async def _reduce(self, intent: OrderIntent, ref: OrderRef) -> None:
        reports, now = self._reports, self._terms.now()
        view = self._view(reports.seen[0], self._mark, reports.owned)
        cleared = self._officer.clear_reduction(intent, view, ref, now)
        if isinstance(cleared, Refusal):
            raise VenueRefused(f"the risk check refuses the {intent.wanted} ({cleared.code})")
        await reports.submit(cleared, now)

    def _intent(self, side: Side, purpose: Purpose, quantity: Decimal, kind: OrderType) -> OrderIntent:
        return OrderIntent("", _OWN, self._terms.instrument.symbol, side, kind, purpose, quantity)

    def _view(self, seen: AccountSeen, mark: Decimal, held: Decimal) -> AccountView:
        """Return the account for the risk check: it has no other position in the symbol, and begins a day."""
        equity = total(seen, self._terms.quote)
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
