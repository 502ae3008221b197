"""The largest entries that pass every limit now: by side, at the distances of the stop at which they change."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec.structs import replace

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.prices import Proposal, propose, smallest, smallest_at
from ocw_mcp.core.risk.sizes import stop_distance_at
from ocw_mcp.core.risk.verdict import UNLIMITED, EntryLimit, ShareText, Verdict
from ocw_mcp.domain.market import Instrument
from ocw_mcp.domain.money import ONE, ZERO, ceil_to, floor_to, plain
from ocw_mcp.domain.orders import OrderIntent, OrderType, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.snapshot import Feasible, SizeStep

FINEST_SHARE: Final = Decimal("0.00001")
"""The precision of a largest size that is a share of equity."""
FINEST_DISTANCE: Final = Decimal("0.0001")
"""The precision of a stop distance at which the largest size changes."""
_APART: Final = Decimal("1.25")
"""The next distance that is shown is at least so many times as large."""

_BY_STOP: Final = tuple(limit for limit in LIMITS if limit.by_stop)

_Verdicts = dict[RefusalCode | None, Verdict]


def feasible_entries(symbol: str, account: AccountView, policies: Policies) -> Feasible:
    """Return the largest entries of both sides, and the smallest one."""
    instrument, equity = account.instrument, account.equity
    half, shared = policies.stop.max_distance / 2, _Verdicts()
    bought = _market_entry(symbol, Side.BUY, account, policies)
    least = smallest(
        instrument, smallest_at(_with_stop(bought, half, account).intent, account, policies.risk.gap_allowance)
    )
    sold = _market_entry(symbol, Side.SELL, account, policies)
    # Against an open position of the other side there are no entries.
    long = _Side(bought, account, policies, shared) if account.quantity >= ZERO else None
    short = _Side(sold, account, policies, shared) if account.quantity <= ZERO else None
    return Feasible(
        long_max=long.at(half).quantity if long else ZERO,
        short_max=short.at(half).quantity if short else ZERO,
        min=least,
        long=long.steps() if long else (),
        short=short.steps() if short else (),
        min_size=ceil_to(least * bought.dearest / equity, FINEST_SHARE) if equity > ZERO else ZERO,
    )


def _market_entry(symbol: str, side: Side, account: AccountView, policies: Policies) -> Proposal:
    """Return a market entry of quantity 0 without a stop."""
    intent = OrderIntent("", "", symbol, side, OrderType.MARKET, Purpose.ENTRY, ZERO)
    return propose(intent, account, policies.order.price_allowance)


def _with_stop(entry: Proposal, distance: Decimal, account: AccountView) -> Proposal:
    """Return the entry with a stop that is this far from the price (a share)."""
    stop = account.price * (ONE - entry.intent.side.sign * distance)
    return replace(entry, intent=replace(entry.intent, protect_at=stop))


class _Largest(NamedTuple):
    """The largest entry with a stop at one distance."""

    entry: Proposal
    """The entry with the stop, at quantity 0."""
    price: Decimal
    """The price (quote) of the smallest entry, as returned by `smallest_at`."""
    verdicts: _Verdicts
    """The verdicts that depend on the stop; empty if no entry passes the others."""
    quantity: Decimal
    """In the base asset."""


class _Side:
    """The entries of one side. The verdicts that do not depend on the stop are taken once.

    `shared` has the verdicts that do not depend on the side either; a missing one is taken and added.
    """

    def __init__(self, entry: Proposal, account: AccountView, policies: Policies, shared: _Verdicts) -> None:
        self._entry = entry
        self._account = account
        self._policies = policies
        self._found: dict[Decimal, _Largest] = {}
        self._first: list[tuple[EntryLimit, Verdict | None]] = []
        """The limits that can be the first to refuse an entry, with the verdicts that do not depend on the stop."""
        room = UNLIMITED
        for limit in LIMITS:
            if limit.by_stop:
                self._first.append((limit, None))
                continue
            verdict = shared.get(limit.code)
            if verdict is None:
                verdict = limit.judge(entry, account, policies)
                if not limit.one_side:
                    shared[limit.code] = verdict
            if verdict.room < room:
                self._first.append((limit, verdict))
                room = verdict.room
                if room <= ZERO:
                    break
        self._room = room
        """The notional (quote) that the limits let pass which do not depend on the stop."""
        self._whole = largest_within(room, entry.dearest, account.instrument, entry.dearest) if room > ZERO else ZERO
        """The largest quantity (base asset) that these limits let pass."""

    def at(self, distance: Decimal) -> _Largest:
        """Return the largest market entry whose stop is this far from the price (a share)."""
        found = self._found.get(distance)
        if found is None:
            found = self._found[distance] = self._largest(distance)
        return found

    def _largest(self, distance: Decimal) -> _Largest:
        account, policies = self._account, self._policies
        entry = _with_stop(self._entry, distance, account)
        price = smallest_at(entry.intent, account, policies.risk.gap_allowance)
        if not self._whole:
            return _Largest(entry, price, {}, ZERO)
        verdicts: _Verdicts = {limit.code: limit.judge(entry, account, policies) for limit in _BY_STOP}
        room = min(self._room, *(each.room for each in verdicts.values()))
        quantity = largest_within(room, entry.dearest, account.instrument, price) if room > ZERO else ZERO
        return _Largest(entry, price, verdicts, quantity)

    def steps(self) -> tuple[SizeStep, ...]:
        """Return the largest entries by stop distance, nearest first, up to one of 0."""
        found: list[SizeStep] = []
        for distance in self._distances(self._policies.stop.max_distance):
            found.append(self._step(distance))
            if not found[-1].size:
                break
        return tuple(found)

    def _distances(self, farthest: Decimal) -> Iterator[Decimal]:
        """Yield the distance up to which the stop costs no size, if there is one, and some up to the farthest."""
        if self._room <= ZERO:
            yield farthest
            return
        nearest = self._turning(farthest)
        if nearest > ZERO:
            yield nearest
        half = farthest / 2
        wanted = (half, farthest) if nearest > ZERO else (half / 2, half, farthest)
        yield from (each for each in wanted if each > nearest * _APART or each == farthest > nearest)

    def _turning(self, farthest: Decimal) -> Decimal:
        """Return the largest distance at which the limits on the stop allow as much as all others; 0 if none does."""
        by_risk = stop_distance_at(self._room, self._entry, self._account, self._policies)
        upper = min(farthest, floor_to(by_risk, FINEST_DISTANCE))
        if upper <= ZERO or self.at(upper).quantity == self._whole:
            return max(ZERO, upper)
        # Another limit on the stop binds before, such as the distance to the liquidation.
        lower = ZERO
        while upper - lower > FINEST_DISTANCE:
            middle = floor_to((lower + upper) / 2, FINEST_DISTANCE)
            if self.at(middle).quantity == self._whole:
                lower = middle
            else:
                upper = middle
        return lower

    def _step(self, distance: Decimal) -> SizeStep:
        """Return the largest entry with a stop at this distance, and the limit that refuses one more step."""
        entry, price, verdicts, quantity = self.at(distance)
        equity, instrument, worst = self._account.equity, self._account.instrument, entry.dearest
        size = floor_to(quantity * worst / equity, FINEST_SHARE) if equity > ZERO else ZERO
        if quantity and below_minimum(floor_to(size * equity / worst, instrument.step), price, instrument):
            # The smallest order is larger than the size after rounding.
            size = ZERO
        more = max(quantity + instrument.step, smallest(instrument, price)) * worst
        for limit, fixed in self._first:
            refusing = fixed or verdicts.get(limit.code) or limit.judge(entry, self._account, self._policies)
            if not refusing.passes(more):
                break
        assert limit.code is not None, "each limit on an entry has a code"
        shown = refusing.limit
        return SizeStep(
            distance=distance,
            size=size,
            quantity=quantity,
            code=limit.code,
            key=limit.keys[0] if limit.keys else "",
            scale=shown.scale if isinstance(shown, ShareText) else ONE,
            why="" if size else f"{shown}, now {refusing.actual}",
        )


def largest_within(room: Decimal, worst: Decimal, instrument: Instrument, price: Decimal) -> Decimal:
    """Return the largest quantity (base asset) whose notional at `worst` is within `room` (quote); 0 if too small."""
    quantity = floor_to(room / worst, instrument.step)
    if quantity * worst > room:
        # The division was rounded up to a whole step.
        quantity -= instrument.step
    return ZERO if below_minimum(quantity, price, instrument) else quantity


def below_minimum(quantity: Decimal, price: Decimal, instrument: Instrument) -> Refusal | None:
    """Return a refusal of a quantity that is too small for the venue at `price` (quote); otherwise None."""
    if quantity < instrument.min_quantity:
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_quantity)} units", f"{plain(quantity)} units")
    if quantity * price < instrument.min_notional:
        notional = round(quantity * price, 2)
        return Refusal(RefusalCode.BELOW_MINIMUM, f"{plain(instrument.min_notional)} quote", f"{plain(notional)} quote")
    return None
