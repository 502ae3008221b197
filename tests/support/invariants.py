"""Invariants that are checked during a run, after every event or frame."""

from decimal import Decimal

from msgspec.structs import replace

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Canceled, Purpose, Rejected
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.protection import LONGEST_PAUSE_MS, protection_timer, retry_timer
from tests.support.runs import Run


def never_naked(run: Run) -> Run:
    """Check after every event that each position is protected, has a deadline, or is being closed; return the run.

    Beyond the deadline an exit is under way, except in four cases. The venue rejected the last exit, or its outcome is
    unknown: then the next attempt has a time. The deadline passed while no process ran: then its timer fires at once.
    A restarted book has not read its account yet: until then nothing can be sent.
    """
    engine = run.engine
    step = engine.step
    failed: set[str] = set()
    """The symbols of unprotected positions of which an exit failed."""
    found_overdue: dict[str, int] = {}
    """The times (ms) of the first events after the deadlines."""

    def checked(event, now):  # type: ignore[no-untyped-def]
        effects = step(event, now)
        if isinstance(event, Rejected | Canceled) and event.ref.leg is Purpose.EXIT:
            order = engine.orders.get(event.ref)
            if order is not None:
                failed.add(order.order.symbol)
        for symbol in engine.account.ledger.positions:
            protection = engine.guard.protections[symbol]
            if protection.protected:
                assert any(engine.orders.live(symbol, Purpose.STOP)), f"{symbol} has no stop"
                failed.discard(symbol)
                found_overdue.pop(symbol, None)
                continue
            assert protection.deadline is not None, symbol
            if engine.manager.exit_under_way(symbol):
                continue
            timer = engine.timers.get(protection_timer(symbol))
            if now <= protection.deadline:
                assert timer == protection.deadline
                continue
            if run.config.on_exchange and not engine.account.exchange.read:
                # A restarted book sends nothing before it has read its account.
                continue
            if timer == protection.deadline and now <= found_overdue.setdefault(symbol, now) + SECOND:
                continue
            unknown = engine.manager.exit_unknown(symbol)
            assert unknown or symbol in failed, f"{symbol} is past its deadline without an exit"
            again = min((each for each in (timer, engine.timers.get(retry_timer(symbol))) if each), default=None)
            assert again is not None, f"{symbol} is past its deadline, and nothing will close it"
            longest = run.config.policies.stop.deadline_s * SECOND if unknown else LONGEST_PAUSE_MS
            assert again <= now + longest, f"{symbol} is past its deadline, and its exit waits too long"
        return effects

    engine.step = checked  # type: ignore[method-assign]
    return run


def within_limits(run: Run) -> Run:
    """Check after every event that positions, reservations and new entries are within the limits; return the run."""
    engine, limits = run.engine, run.config.policies
    step = engine.step

    def checked(event, now):  # type: ignore[no-untyped-def]
        before = {order.ref for order in engine.orders.live()}
        effects = step(event, now)
        for order in engine.orders.live():
            if order.ref not in before and not order.order.reduce_only:
                view = engine.manager.view(order.order.symbol, now)
                assert view is not None
                assert view.gross <= view.equity * limits.exposure.max_gross
                assert view.symbol_notional <= view.equity * limits.position.max_share
                assert view.free_margin >= view.equity * limits.margin.min_free
        return effects

    engine.step = checked  # type: ignore[method-assign]
    return run


def same_books(run: Run) -> Run:
    """Check after every frame that book and venue have the same money, positions and orders; return the run."""
    engine, venue = run.engine, run.venue
    take = run.simulation.take_frame

    async def compared(frame) -> None:  # type: ignore[no-untyped-def]
        await take(frame)
        ours, theirs = engine.account.ledger, venue.account.ledger
        # A quantity too small to be sold is dust in the book, but an ordinary balance at the venue.
        held = {s: d.quantity for s, d in ours.dust.items()} | {s: p.quantity for s, p in ours.positions.items()}
        assert held == {s: p.quantity for s, p in theirs.positions.items()}
        if run.config.product is Product.SPOT:
            # Both round a part of a cost to twelve digits.
            assert abs(ours.free() - theirs.free()) < Decimal("1e-9")
        else:
            assert ours.wallet == theirs.wallet
        for order in engine.orders.live():
            assert not order.order.reduce_only or ours.quantity(order.order.symbol), (
                f"{order.ref} outlived its position"
            )
        resting = {order.ref: order for order in venue.orders}
        assert resting.keys() == {order.ref for order in engine.orders.live()}
        for symbol, position in ours.positions.items():
            if engine.guard.protections[symbol].protected:
                stops = [o for o in resting.values() if o.symbol == symbol and o.ref.leg is Purpose.STOP]
                if run.config.product is Product.SPOT:
                    # A quantity that an exit is selling cannot be covered by a stop, too.
                    selling = engine.orders.live(symbol, Purpose.EXIT)
                    position = replace(position, quantity=position.quantity - sum(each.remaining for each in selling))
                step = venue.account.instruments.filters[symbol].step
                assert any(stop.quantity > abs(position.quantity) - step for stop in stops), (
                    f"the venue has no {symbol} stop"
                )

    run.simulation.take_frame = compared  # type: ignore[method-assign]
    return run


def watched(run: Run) -> Run:
    """Check all of these invariants; return the run."""
    return same_books(within_limits(never_naked(run)))
