"""The largest entries that pass every limit now: by side, at the distances of the stop at which they change."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.core.risk.prices import Proposal, propose, smallest, smallest_at
from ocw_mcp.core.risk.sizes import stop_distance_at
from ocw_mcp.core.risk.verdict import EntryLimit, ShareText, Verdict
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
_BY_SIDE: Final = tuple(limit for limit in LIMITS if limit.one_side and not limit.by_stop)
_OTHER: Final = tuple(limit for limit in LIMITS if not limit.one_side)

_Verdicts = Mapping[RefusalCode | None, Verdict]


def feasible_entries(symbol: str, account: AccountView, policies: Policies) -> Feasible:
    """Return the largest entries of both sides, and the smallest one."""
    half = policies.stop.max_distance / 2
    long, short = (_Side(symbol, side, account, policies) for side in (Side.BUY, Side.SELL))
    other = _judged(_OTHER, long.at(half), account, policies)
    least = smallest(account.instrument, smallest_at(long.at(half).intent, account, policies.risk.gap_allowance))
    found = {each.side: each.steps(other) for each in (long, short)}
    worst, equity = long.at(half).dearest, account.equity
    return Feasible(
        long_max=ZERO if long.against else long.largest_at(half, other).quantity,
        short_max=ZERO if short.against else short.largest_at(half, other).quantity,
        min=least,
        long=found[Side.BUY],
        short=found[Side.SELL],
        min_size=ceil_to(least * worst / equity, FINEST_SHARE) if equity > ZERO else ZERO,
    )


def _judged(
    limits: tuple[EntryLimit, ...], entry: Proposal, account: AccountView, policies: Policies
) -> dict[RefusalCode | None, Verdict]:
    return {limit.code: limit.judge(entry, account, policies) for limit in limits}


class _Side:
    """The entries of one side. The verdicts that do not depend on the stop are taken once."""

    def __init__(self, symbol: str, side: Side, account: AccountView, policies: Policies) -> None:
        self.side = side
        self.against = account.quantity * side.sign < ZERO
        """Whether a position of the other side is open."""
        self._symbol = symbol
        self._account = account
        self._policies = policies
        self._own: _Verdicts | None = None
        self._found: dict[Decimal, SizeStep] = {}

    def at(self, distance: Decimal) -> Proposal:
        """Return a market entry of quantity 0 whose stop is this far from the price (a share)."""
        stop = self._account.price * (ONE - self.side.sign * distance)
        intent = OrderIntent("", "", self._symbol, self.side, OrderType.MARKET, Purpose.ENTRY, ZERO, protect_at=stop)
        return propose(intent, self._account, self._policies.order.price_allowance)

    def steps(self, other: _Verdicts) -> tuple[SizeStep, ...]:
        """Return the largest entries by stop distance, nearest first, up to one of 0; none against an open position."""
        found: list[SizeStep] = []
        for distance in () if self.against else self._distances(self._policies.stop.max_distance, other):
            found.append(self.largest_at(distance, other))
            if not found[-1].size:
                break
        return tuple(found)

    def _distances(self, farthest: Decimal, other: _Verdicts) -> Iterator[Decimal]:
        """Yield the distance up to which the stop costs no size, if there is one, and some up to the farthest."""
        if self._unstopped(other) <= ZERO:
            yield farthest
            return
        nearest = self._turning(farthest, other)
        if nearest > ZERO:
            yield nearest
        half = farthest / 2
        wanted = (half, farthest) if nearest > ZERO else (half / 2, half, farthest)
        yield from (each for each in wanted if each > nearest * _APART or each == farthest > nearest)

    def _turning(self, farthest: Decimal, other: _Verdicts) -> Decimal:
        """Return the largest distance at which the limits on the stop allow as much as all others; 0 if none does."""
        room, account = self._unstopped(other), self._account
        entry = self.at(farthest)
        whole = largest_within(room, entry.dearest, account.instrument, entry.dearest)
        by_risk = floor_to(stop_distance_at(room, entry, account, self._policies), FINEST_DISTANCE)
        upper = min(farthest, by_risk)
        if upper <= ZERO or self.largest_at(upper, other).quantity == whole:
            return max(ZERO, upper)
        # Another limit on the stop binds before, such as the distance to the liquidation.
        lower = ZERO
        while upper - lower > FINEST_DISTANCE:
            middle = floor_to((lower + upper) / 2, FINEST_DISTANCE)
            if self.largest_at(middle, other).quantity == whole:
                lower = middle
            else:
                upper = middle
        return lower

    def _unstopped(self, other: _Verdicts) -> Decimal:
        """Return the notional (quote) that the limits let pass which do not depend on the stop."""
        return min(each.room for verdicts in (other, self._by_side()) for each in verdicts.values())

    def _by_side(self) -> _Verdicts:
        if self._own is None:
            entry = self.at(self._policies.stop.max_distance)
            self._own = _judged(_BY_SIDE, entry, self._account, self._policies)
        return self._own

    def largest_at(self, distance: Decimal, other: _Verdicts) -> SizeStep:
        """Return the largest entry with a stop at this distance, and the limit that refuses one more step."""
        if distance not in self._found:
            self._found[distance] = self._largest(distance, other)
        return self._found[distance]

    def _largest(self, distance: Decimal, other: _Verdicts) -> SizeStep:
        account, entry, instrument = self._account, self.at(distance), self._account.instrument
        verdicts = {**other, **self._by_side(), **_judged(_BY_STOP, entry, account, self._policies)}
        room, worst = min(each.room for each in verdicts.values()), entry.dearest
        price = smallest_at(entry.intent, account, self._policies.risk.gap_allowance)
        quantity = largest_within(room, worst, instrument, price) if room > ZERO else ZERO
        size = floor_to(quantity * worst / account.equity, FINEST_SHARE) if account.equity > ZERO else ZERO
        if quantity and below_minimum(floor_to(size * account.equity / worst, instrument.step), price, instrument):
            # The smallest order is larger than the size after rounding.
            size = ZERO
        least = smallest(instrument, price)
        more = max(quantity + instrument.step, least) * worst
        limit, refusing = next(
            (limit, verdicts[limit.code]) for limit in LIMITS if not verdicts[limit.code].passes(more)
        )
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
