"""If a part of a position is sold, stop and target follow, and no report on the sale leads to a second one."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.domain.orders import OrderRef, OutcomeUnknown, Purpose, Rejected
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import buy, sell, short
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore
from tests.support.venues import Flawed, IgnoresLimits

D = Decimal
BTC = "BTCUSDT"
SIZED = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    stop={"max_distance": "0.2"},
)
PRODUCTS = pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
LONG = {1: buy("95", "0.25", target="130")}
"""It is cleared at a quarter of equity, and fills 8 % higher."""


class FailsExits(IgnoresLimits):
    """Rejects or loses the first exits."""

    def __init__(self, product: Product, first: int, *, loses: bool) -> None:
        super().__init__(product)
        self._left = first
        self._loses = loses

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        if cleared.order.ref.leg is not Purpose.EXIT or not self._left:
            return await super().submit(cleared, now)
        self._left -= 1
        ref = cleared.redeem(now).ref
        return self.say(
            OutcomeUnknown(ref, "timeout") if self._loses else Rejected(ref, RejectReason.TOO_MANY_STOPS, "no")
        )


def market(volumes: dict[int, float] | None = None, count: int = 6) -> list[Candle]:
    """A minute at 100, then minutes at 108. A minute with a given volume limits the fills."""
    given = volumes or {}
    return [candle(index, 108.0 if index else 100.0, volume=given.get(index, 1e6)) for index in range(count)]


def run_of(
    candles: list[Candle],
    product: Product = Product.UM,
    *,
    script: dict[int, Decision] | None = None,
    venue: Flawed | None = None,
    commands: Commands | None = None,
    store: MemoryStore | None = None,
) -> Run:
    return Run(
        ListFeed(candles, product=product),
        Scripted(script or LONG),
        policy=SIZED,
        venue=venue or IgnoresLimits(product),
        commands=commands,
        store=store,
    )


def share(run: Run) -> Decimal:
    """The position as a share of equity, at the last price."""
    return abs(run.engine.account.ledger.quantity(BTC)) * 108 / run.engine.account.ledger.equity()


def at_its_limit(run: Run) -> bool:
    """Return whether the position has the largest allowed size, and a stop and a target of that size."""
    held, live = abs(run.engine.account.ledger.quantity(BTC)), list(run.engine.orders.live())
    sizes = {each.purpose: each.remaining for each in live}
    assert len(sizes) == len(live)
    spot = run.config.product is Product.SPOT
    wanted = {Purpose.STOP} if spot else {Purpose.STOP, Purpose.TARGET}
    assert sizes.keys() == wanted
    assert all(held - D("0.001") < size <= held for size in sizes.values())
    return D("0.2485") < share(run) < D("0.2501")


def legs(run: Run) -> str:
    return "".join(fill.ref.leg for fill in run.events(events.OrderFilled))


@PRODUCTS
async def test_ledger_and_trade_result_are_exact_after_a_partial_sale(product: Product) -> None:
    run = await watched(run_of(market(), product, script={**LONG, 4: sell()})).go()
    bought, part, rest = run.events(events.OrderFilled)
    got = bought.quantity - bought.base_fee
    assert part.realised == part.quantity * (part.price - bought.price)
    (closed,) = run.events(events.PositionClosed)
    sold = part.quantity * part.price + rest.quantity * rest.price
    left = (got - part.quantity - rest.quantity) * 108
    fees = bought.fee + part.fee + rest.fee
    assert closed.fees == fees
    cash = sold + left - got * bought.price - fees
    assert abs(closed.pnl - cash) < D("0.000001")
    assert abs(run.engine.account.ledger.equity() - 10_000 - cash) < D("0.000001")


async def test_a_futures_reduction_always_has_a_live_stop() -> None:
    run = watched(run_of(market()))
    await run.go()
    assert at_its_limit(run)
    unprotected, protected = (run.timed(kind) for kind in (events.PositionUnprotected, events.PositionProtected))
    assert [at for at, _ in unprotected] == [protected[0][0]], "only until its first stop was there"
    stops = [each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.STOP]
    assert len(stops) == 1, "it closes the position that is left, whatever it is"


async def test_a_spot_reduction_leaves_no_stop_for_30_seconds_at_most() -> None:
    """The stop of the first part is cancelled for the sale."""
    thin = market({0: 100.0, 1: 1e6})
    run = await watched(run_of(thin, Product.SPOT)).go()
    assert at_its_limit(run)
    opens = [at for at, _ in run.timed(events.PositionUnprotected)]
    ends = [at for at, _ in run.timed(events.PositionProtected)]
    assert len(opens) == len(ends)
    assert all(0 <= end - begin <= 30_000 for begin, end in zip(opens, ends, strict=True))


@PRODUCTS
async def test_a_reduction_filled_in_parts_ends_at_the_size_limit(product: Product) -> None:
    thin = market({1: 5.0, 2: 5.0, 3: 1e6})
    run = await watched(run_of(thin, product)).go()
    assert legs(run) == "exxx"
    assert at_its_limit(run)


@PRODUCTS
async def test_a_reduction_that_the_venue_rejects_is_tried_again(product: Product) -> None:
    run = await watched(run_of(market(), product, venue=FailsExits(product, 1, loses=False))).go()
    assert legs(run) == "ex"
    assert at_its_limit(run)
    assert sum("failed" in each.text for each in run.events(events.Incident)) == 1


async def test_on_futures_a_reduction_of_unknown_outcome_is_sent_again() -> None:
    run = await run_of(market(), venue=FailsExits(Product.UM, 1, loses=True)).go()
    assert legs(run) == "ex"
    assert D("0.2485") < share(run) < D("0.2501")


async def test_spot_sends_no_exit_while_a_reductions_outcome_is_unknown() -> None:
    run = await run_of(market(), Product.SPOT, venue=FailsExits(Product.SPOT, 1, loses=True)).go()
    exits = [each for each in run.events(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert len(exits) == 1
    assert run.engine.guard.protections[BTC].protected


@PRODUCTS
async def test_flatten_during_a_reduction_sells_the_exact_position(product: Product) -> None:
    # Little can trade after the entry, so the reduction is under way for minutes.
    thin = market({1: 5.0, 2: 5.0, 3: 5.0, 4: 5.0}, 9)
    first = await run_of(thin, product).go(3 * MINUTE)
    assert any(first.engine.orders.live(BTC, Purpose.EXIT))
    flatten = Commands([Command("c1", "flatten", "anna")])
    run = await watched(run_of(thin, product, store=first.store.reopened(), commands=flatten)).go()
    fills = run.events(events.OrderFilled)
    assert run.engine.account.ledger.positions == {}
    assert list(run.engine.orders.live()) == []
    bought = sum(each.quantity - each.base_fee for each in fills if each.ref.leg is Purpose.ENTRY)
    sold = sum(each.quantity for each in fills if each.ref.leg is not Purpose.ENTRY)
    assert 0 <= bought - sold < D("0.001")


async def test_a_short_is_reduced_like_a_long() -> None:
    run = await watched(run_of(market(), script={1: short("119", "0.25")})).go()
    assert legs(run) == "ex"
    assert D("0.2485") < share(run) < D("0.2505")
    (stop,) = run.engine.orders.live()
    assert stop.order.quantity == -run.engine.account.ledger.quantity(BTC)


@again_among_slow
@PRODUCTS
async def test_a_run_killed_in_a_reduction_resumes_to_the_same_events(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 2)
    thin = market({1: 5.0, 2: 5.0, 3: 1e6})

    async def go(store: MemoryStore) -> Run:
        return await run_of(thin, product, store=store).go()

    undisturbed = await go(MemoryStore())
    assert legs(undisturbed) == "exxx"
    for moment in some(range(1, undisturbed.store.touches + 1, 5)):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await go(dying)
        resumed = await go(dying.reopened())
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert at_its_limit(resumed)


async def half_sold(product: Product, part: Callable[[Decimal], Decimal]) -> tuple[Run, object]:
    """A run with a position, a part of which is reduced at the end, and the answer to that."""
    run = Run(
        ListFeed([candle(index, 100.0) for index in range(4)], product=product), Scripted({1: buy("95")}), policy=SIZED
    )
    await run.go()
    held, now = run.engine.account.ledger.quantity(BTC), START + 4 * MINUTE
    return run, run.engine.manager.reduce(BTC, part(held), "anna", now)


@PRODUCTS
async def test_a_partial_sale_sends_one_exit_and_keeps_the_engine_active(product: Product) -> None:
    run, answer = await half_sold(product, lambda held: held / 3)
    assert isinstance(answer, OrderRef)
    (exit_,) = run.engine.orders.live(purpose=Purpose.EXIT)
    assert exit_.order.quantity == D("3.326") if product is Product.UM else D("3.32") < exit_.order.quantity < D("3.33")
    assert run.engine.account.trading_state is TradingState.ACTIVE
    another = run.engine.manager.reduce(BTC, D(1), "anna", START + 4 * MINUTE)
    assert isinstance(another, Refusal)
    assert another.code is RefusalCode.EXIT_PENDING


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN", "Infinity"])
async def test_a_reduction_by_an_invalid_quantity_is_refused_as_bad_size(quantity: str) -> None:
    _, answer = await half_sold(Product.UM, lambda _: D(quantity))
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.BAD_SIZE


async def test_a_reduction_that_leaves_too_little_to_sell_closes_all() -> None:
    run, answer = await half_sold(Product.UM, lambda held: held - D("0.001"))
    assert isinstance(answer, OrderRef)
    (exit_,) = run.engine.orders.live(purpose=Purpose.EXIT)
    assert exit_.order.quantity == run.engine.account.ledger.quantity(BTC)
