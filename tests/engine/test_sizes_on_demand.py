"""The sizes of a snapshot are computed when they are read, and are those of the time at which it was taken."""

import pickle
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded

import msgspec
import pytest

from ocw_mcp.core.risk.officer import RiskOfficer
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.snapshot import DecisionRequest, Feasible, SizesOnDemand, SymbolView, encode_sizes
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import ListFeed, path
from tests.support.random_books import SYMBOLS, Trader
from tests.support.runs import Run, policies
from tests.support.views import RISING, view

MINUTES = 60
D = Decimal
FOUND = Feasible(D("0.5"), D("0.25"), D("0.001"))


class Comparing(Trader):
    """Trades at random, and keeps the sizes that the risk officer computes at each wake beside the snapshot's."""

    run: Run

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.kept: list[tuple[SizesOnDemand, Feasible]] = []

    async def decide(self, request: DecisionRequest) -> Decision:
        manager = self.run.engine.manager
        for symbol, seen in request.snapshot.symbols.items():
            account = manager.view(symbol, request.snapshot.at)
            if isinstance(seen.sizes, SizesOnDemand):
                assert account is not None
                self.kept.append((seen.sizes, manager.officer.feasible(symbol, account)))
            else:
                assert account is None or any(manager.orders.live(symbol))
        return await super().decide(request)


@pytest.mark.parametrize("seed", range(3))
async def test_sizes_read_at_the_end_are_those_of_their_wake(seed: int) -> None:
    draw, candles = Random(f"market {seed}"), []
    for symbol, price in SYMBOLS.items():
        closes = [price]
        while len(closes) < MINUTES:
            closes.append(round(closes[-1] * (1 + draw.gauss(0, 0.006)), 1))
        candles += path(closes, symbol)
    decider = Comparing(seed)
    every_minute = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
    decider.run = Run(ListFeed(candles), decider, policy=every_minute)
    await decider.run.go()
    assert len(decider.kept) > MINUTES
    assert len({sizes.read() for sizes, _ in decider.kept}) > MINUTES // 2
    for sizes, at_the_wake in decider.kept:
        assert sizes.read() == at_the_wake


async def test_sizes_are_computed_when_read_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, compute = [], RiskOfficer.feasible

    def counted(officer: RiskOfficer, symbol: str, account: object) -> Feasible:
        computed.append(symbol)
        return compute(officer, symbol, account)  # type: ignore[arg-type]

    monkeypatch.setattr(RiskOfficer, "feasible", counted)
    decider = Scripted({1: buy("97", size="0.1")})
    run = await Run(ListFeed(path([100.0, 100.0])), decider).go()
    seen = run.engine.snapshot(run.engine.now)
    assert not computed
    assert seen.symbols["BTCUSDT"].feasible == seen.symbols["BTCUSDT"].feasible
    assert computed == ["BTCUSDT"]


def test_encoded_and_pickled_sizes_are_those_computed_at_once() -> None:
    later, now = view(RISING, sizes=SizesOnDemand(lambda: FOUND)), view(RISING, sizes=FOUND)
    encoded = msgspec.msgpack.encode(later, enc_hook=encode_sizes)
    assert encoded == msgspec.msgpack.encode(now)
    assert msgspec.msgpack.decode(encoded, type=SymbolView) == now == later
    assert pickle.loads(pickle.dumps(later)) == now
    assert (repr(later), hash(later.sizes)) == (repr(now), hash(FOUND))
    assert later != view(RISING, sizes=msgspec.structs.replace(FOUND, min=D(1)))


def test_an_encoder_without_the_hook_refuses_sizes_on_demand() -> None:
    with pytest.raises(TypeError, match="SizesOnDemand"):
        msgspec.msgpack.encode(view(RISING, sizes=SizesOnDemand(lambda: FOUND)))
    with pytest.raises(TypeError, match="object cannot be encoded"):
        encode_sizes(object())
