"""In a whole run: for every limit an entry that passes, and one that what has happened meanwhile keeps from passing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from ocw_mcp.core.risk.limits import LIMITS
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Candle, OrderBook, Product
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Asked, Command
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.step import Engine
from tests.support.accounts import CALM
from tests.support.deciders import Scripted
from tests.support.entries import LIMITED, LONG
from tests.support.legs import add, buy, sell, short
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Commands, Run, policies

D = Decimal
CODE = RefusalCode


class ThenRules(Scripted):
    """An agent in whose place the rules decide from a wake on."""

    def __init__(self, script: dict[int, Decision], since: int) -> None:
        super().__init__(script)
        self._since = since

    @property
    def name(self) -> str:  # type: ignore[override]
        return "rules" if len(self.asked) >= self._since else "scripted"


@dataclass
class Scenario:
    """A market, what is wanted at which wake, and limits of which one is tight."""

    script: dict[int, Decision]
    tables: dict[str, dict[str, Any]]
    closes: list[float] = field(default_factory=lambda: [100.0] * 6)
    books: tuple[OrderBook, ...] = ()
    product: Product = Product.UM
    candles: list[Candle] | None = None
    decider: Callable[[dict[int, Decision]], Scripted] = Scripted

    async def run(self) -> Run:
        both = [*path(self.closes), *path(self.closes, "ETHUSDT")] if self.candles is None else self.candles
        feed = ListFeed(both, books=self.books, product=self.product)
        policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, decision={"deadline_s": 300}, **self.tables)
        return await Run(feed, self.decider(self.script), policy=policy, agent="scripted").go()


@dataclass
class Shown(Scenario):
    """Once the market has ended, somebody attached asks for the same on two symbols, having been shown prices."""

    quoted: tuple[Decimal, Decimal] = (D(100), D(100))

    async def run(self) -> Run:
        run = await super().run()
        for symbol, price in zip(("BTCUSDT", "ETHUSDT"), self.quoted, strict=True):
            leg = Leg(symbol, Action.BUY, size=D("0.1"), stop=D(97))
            at = run.clock.now()
            await run.simulation.shell.take(Asked(LegRequest(symbol, "anna", leg, quoted=price), at))
        return run


def together(*decisions: Decision) -> Decision:
    return Decision(tuple(leg for each in decisions for leg in each.legs))


def on_eth(decision: Decision, **changes: Any) -> Decision:
    return Decision(tuple(replace(leg, symbol="ETHUSDT", **changes) for leg in decision.legs))


def with_leverage(decision: Decision, leverage: int) -> Decision:
    return Decision(tuple(replace(leg, leverage=leverage) for leg in decision.legs))


def book(minute: int, half_spread: float = 0.01, depth: float = 1e6) -> OrderBook:
    at = START + minute * MINUTE
    return OrderBook("BTCUSDT", at, 100 - half_spread, 100 + half_spread, bid_depth=1e6, ask_depth=depth)


TWICE = {1: buy("97", "0.2"), 2: add(size="0.05")}
AGAIN = {1: buy("97"), 2: sell(), 3: buy("97")}
BOTH = {1: together(buy("97", "0.2"), on_eth(buy("97", "0.2")))}
FALLING = [100.0, 100.0, 97.0, 97.0, 97.0, 97.0]
WATCHED = {"above_notional": 500, "modes": [], "answer_s": 900}
ROOMY = {"position": {"max_share": "0.5"}}

SCENARIOS: dict[RefusalCode, Scenario] = {
    CODE.NOT_ACTIVE: Scenario({1: buy("95", "0.25"), 4: add()}, {"drawdown": {"max_share": "0.005"}}, FALLING),
    CODE.SYMBOL_NOT_ALLOWED: Scenario(BOTH, {"symbols": {"allow": ["BTC*"]}}),
    CODE.SIDE_NOT_ALLOWED: Scenario({1: together(buy("97"), on_eth(short("103")))}, {"symbols": {"sides": ["long"]}}),
    CODE.SPOT_CANNOT_SHORT: Scenario({1: together(buy("97"), on_eth(short("103")))}, {}, product=Product.SPOT),
    CODE.FALLBACK: Scenario(
        {1: buy("98"), 3: short("103")},
        {},
        [100.0, 100.0, 97.5, 97.5, 97.5],
        decider=lambda script: ThenRules(script, since=3),
    ),
    CODE.STALE_DATA: Scenario(
        {1: buy("97"), 2: add()},
        {},
        candles=[candle(index, 100.0) for index in (0, 1, 9)],
        decider=lambda script: Scripted(script, lambda wake: 200 * SECOND if wake == 2 else 0),
    ),
    CODE.PRICE_COLLAR: Scenario(
        {1: together(buy("97"), on_eth(buy("93", limit="94")))}, {"price": {"max_deviation": "0.05"}}
    ),
    CODE.PRICE_MOVED: Shown({}, {"price": {"max_move": "0.005"}}, quoted=(D("99.6"), D("99.4"))),
    CODE.SPREAD: Scenario(TWICE, {"book": {"max_spread": "0.002"}}, books=(book(1), book(2, half_spread=0.2))),
    CODE.DAILY_LOSS: Scenario({1: buy("95", "0.25"), 4: add()}, {"daily_loss": {"max_share": "0.005"}}, FALLING),
    CODE.LOSSES_IN_A_ROW: Scenario(AGAIN, {"losses": {"in_a_row": 1, "pause_s": 900}}),
    CODE.ENTRY_RATE: Scenario(TWICE, {"pace": {"entries_per_day": 1}}),
    CODE.REENTRY: Scenario(AGAIN, {"pace": {"reentry_s": 900}}),
    CODE.FEES: Scenario(TWICE, {"pace": {"max_fees": "0.00004"}}),
    CODE.STOP_REQUIRED: Scenario({1: together(buy("97"), on_eth(buy("97"), stop=None))}, {}),
    CODE.LEVERAGE: Scenario({1: with_leverage(buy("97"), 3), 2: with_leverage(add(), 2)}, {}),
    CODE.OPEN_POSITIONS: Scenario(BOTH, {"positions": {"max_open": 1}}),
    CODE.ORDER_NOTIONAL: Scenario(
        {1: together(buy("97", "0.1"), on_eth(buy("97", "0.25")))}, {"order": {"max_notional": 2_000}}
    ),
    CODE.POSITION_SHARE: Scenario(TWICE, {"position": {"max_share": "0.22"}}),
    CODE.GROSS_EXPOSURE: Scenario(BOTH, {"exposure": {"max_gross": "0.3"}}),
    CODE.CORRELATED_EXPOSURE: Scenario(BOTH, {"correlated": {"max_share": "0.3"}}),
    CODE.RISK_PER_TRADE: Scenario(TWICE, {"risk": {"max_share": "0.0067"}}),
    CODE.LIQUIDATION: Scenario(
        {1: with_leverage(buy("96", "0.1"), 16), 4: add()},
        {"stop": {"liquidation_buffer": "0.01", "max_distance": "0.2"}},
        [100.0, 100.0, 103.0, 103.0, 103.0, 103.0],
    ),
    CODE.FREE_MARGIN: Scenario(TWICE, {"margin": {"min_free": "0.89"}}),
    CODE.DEPTH: Scenario(TWICE, {}, books=(book(1), book(2, depth=1.0))),
    CODE.TURNOVER: Scenario(TWICE, {"pace": {"max_turnover": "0.22"}}),
    CODE.MANDATE: Scenario(TWICE, {"mandate": {"amount": 2_200, "symbols": ["*"], "expires": "2030-01-01T00:00:00Z"}}),
    CODE.APPROVAL_REQUIRED: Scenario(
        {1: buy("97", "0.1"), 2: add(size="0.2")},
        {"approval": WATCHED | {"above_notional": 1_500}, **ROOMY},
    ),
}


@pytest.mark.parametrize("code", SCENARIOS, ids=str)
async def test_a_run_brings_an_entry_up_against_each_limit_and_the_one_before_passes(code: RefusalCode) -> None:
    run = await SCENARIOS[code].run()
    intended = [each for each in run.events(events.OrderIntended) if each.intent.purpose is Purpose.ENTRY]
    assert len(intended) == 1
    assert {each.refusal.code for each in run.events(events.OrderRefused)} == {code}
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.state() == run.engine.state()


def test_no_limit_is_without_such_a_run() -> None:
    assert SCENARIOS.keys() == {limit(LONG, CALM, LIMITED, D(1_000)).code for limit in LIMITS}


BOTH_OUT = together(sell(), sell("ETHUSDT"))


async def test_only_so_many_closings_may_be_asked_for_in_a_minute() -> None:
    run = await Scenario({**BOTH, 2: BOTH_OUT, 3: BOTH_OUT}, {"pace": {"reductions_per_minute": 1}}).run()
    codes = [each.refusal.code for each in run.events(events.OrderRefused)]
    assert codes == [CODE.REDUCTION_RATE, CODE.NO_POSITION]
    assert run.engine.account.ledger.positions == {}
    closings = [at for at, each in run.timed(events.OrderIntended) if each.ref.leg is Purpose.EXIT]
    assert closings == [START + 2 * MINUTE, START + 3 * MINUTE]


async def test_stops_and_a_persons_flatten_are_not_held_to_that() -> None:
    box = Commands([])
    feed = ListFeed([*path([100.0] * 6), *path([100.0] * 6, "ETHUSDT")])
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, pace={"reductions_per_minute": 1})
    first = await Run(feed, Scripted(BOTH), policy=policy, commands=box).go(for_ms=3 * MINUTE)
    assert len(first.events(events.PositionProtected)) == 2
    box.put(Command("c1", "flatten", "ann"))
    run = await Run(feed, Scripted({}), policy=policy, commands=box, store=first.store.reopened()).go()
    assert run.engine.account.ledger.positions == {}
    assert run.events(events.OrderRefused) == []
    assert run.engine.account.activity.state().reduced == []


async def test_nothing_that_is_decided_carries_an_approval() -> None:
    leg = Leg("BTCUSDT", Action.BUY, size=D("0.2"), stop=D(97), reasoning="approved by ann", signals=("approval:a-1",))
    run = await Scenario({1: Decision((leg,))}, {"approval": WATCHED}).run()
    (refused,) = run.events(events.OrderRefused)
    assert (refused.refusal.code, refused.intent.approval) == (CODE.APPROVAL_REQUIRED, "")
    assert not {"approval"} & set(Leg.__struct_fields__)


async def test_what_an_agent_closes_itself_or_decides_anew_without_is_its_last_word_no_more() -> None:
    closed = await Scenario({1: buy("98"), 2: sell()}, {}).run()
    assert closed.engine.account.opened == {}
    held = await Scenario({1: buy("98")}, {}).run()
    assert held.engine.account.opened["BTCUSDT"].principal == "scripted"
    stopped = await Scenario({1: buy("98")}, {}, [100.0, 100.0, 97.5, 97.5]).run()
    assert (stopped.engine.account.ledger.positions, stopped.engine.account.opened) == ({}, {})


async def test_a_wish_for_leverage_reaches_the_order_and_the_position() -> None:
    asked: list[DecisionRequest] = []

    class Watches(Scripted):
        async def decide(self, request: DecisionRequest) -> Decision:
            asked.append(request)
            return await super().decide(request)

    run = await Scenario({1: with_leverage(buy("97"), 4)}, {}, decider=Watches).run()
    held = run.engine.account.ledger.positions["BTCUSDT"]
    assert (held.leverage, held.margin) == (4, held.cost / 4)
    view = asked[-1].snapshot.symbol("BTCUSDT")
    assert view is not None
    assert view.position is not None
    assert view.position.leverage == 4
    # The first bracket of BTCUSDT: margin + q p - cost = 0.004 q p.
    expected = held.average_price * D("0.75") / D("0.996")
    assert view.position.liquidation_price == expected.quantize(D("0.1"), rounding="ROUND_FLOOR")
    unsure = await Scenario({1: with_leverage(buy("97"), 0)}, {}).run()
    assert [each.refusal.code for each in unsure.events(events.OrderRefused)] == [CODE.LEVERAGE]
