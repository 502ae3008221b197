"""An invalid answer of a decider counts as a HOLD of everything, and the journal stays readable."""

from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action, Comparison, Decision, Leg, WakeCondition
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.runtime.validation import MOST_LEGS, MOST_SIGNALS, validated
from tests.adapters.store.books import open_book
from tests.support.legs import buy
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.stores import MemoryStore

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


class Babbling:
    """Answers the first wake with whatever it was given, and buys at the second."""

    name = "babbling"

    def __init__(self, answer: object, thinking_ms: int = 0) -> None:
        self._answer = answer
        self._thinking_ms = thinking_ms

    def thinking_ms(self, request: DecisionRequest) -> int:
        return self._thinking_ms

    async def decide(self, request: DecisionRequest) -> Decision:
        if request.wake_id > 2:
            return Decision()
        return cast(Decision, self._answer) if request.wake_id == 1 else buy("97")


def leg(**changes: Any) -> Decision:
    """A decision whose one leg would buy, with some of it changed."""
    whole = Leg("BTCUSDT", Action.BUY, size=Decimal("0.1"), stop=Decimal(97))
    return Decision((msgspec.structs.replace(whole, **changes),))


def condition(**changes: Any) -> Decision:
    """A decision with one wake condition, with some of it changed."""
    whole = WakeCondition("BTCUSDT", "price", Comparison.GT, 101.0)
    return Decision(wake_conditions=(msgspec.structs.replace(whole, **changes),))


def endless() -> list[object]:
    """A list that contains itself."""
    nested: list[object] = []
    nested.append(nested)
    return nested


UNSOUND: dict[str, Callable[[], object]] = {
    "a stop beyond all prices": lambda: leg(stop=Decimal("1e30")),
    "a stop beyond all prices, as a float": lambda: leg(stop=1e30),
    "a target of a million digits": lambda: leg(target=Decimal("1e999999")),
    "half a character": lambda: leg(reasoning="to the moon \ud83d"),
    "half a character in a symbol": lambda: leg(symbol="BTC\udc00"),
    "None for a leg": lambda: Decision(cast(Any, (None,))),
    "None for an answer": lambda: None,
    "a text for an answer": lambda: "BUY!",
    "a span beyond all clocks": lambda: condition(expires_s=10**30),
    "a span beyond all calendars": lambda: condition(expires_s=10**12),
    "a next check beyond all calendars": lambda: Decision(next_check_s=-(10**12)),
    "a threshold that is no number": lambda: condition(threshold=float("nan")),
    "a threshold that is endless": lambda: condition(threshold=float("-inf")),
    "a size below all measure": lambda: leg(size=Decimal("1e-999999999")),
    "a size that shouts when it is looked at": lambda: leg(size=Decimal("sNaN")),
    "a stop that shouts when it is looked at": lambda: leg(stop=Decimal("-sNaN12")),
    "a leverage beyond all brokers": lambda: leg(leverage=10**6),
    "a leverage far below": lambda: leg(leverage=-(10**30)),
    "half a leverage": lambda: leg(leverage=2.5),
    "a text for a leverage": lambda: leg(leverage="all in"),
    "too many legs": lambda: Decision(leg().legs * (MOST_LEGS + 1)),
    "too many conditions": lambda: Decision(wake_conditions=(condition().wake_conditions or ()) * 65),
    "too many signals": lambda: leg(signals=("rsi",) * (MOST_SIGNALS + 1)),
    "a novel": lambda: leg(reasoning="x" * 100_000),
    "a symbol of a thousand letters": lambda: leg(symbol="B" * 1_000),
    "a list in a list in a list": endless,
}  # fmt: skip


@pytest.mark.parametrize("thinking_ms", [0, 20 * SECOND])
@pytest.mark.parametrize("answer", UNSOUND.values(), ids=UNSOUND.keys())
async def test_an_invalid_answer_is_a_hold_and_the_next_answer_is_executed(
    answer: Callable[[], object], thinking_ms: int
) -> None:
    run = await Run(ListFeed(path([100.0] * 5)), Babbling(answer(), thinking_ms), policy=WAKES).go()
    first = run.events(events.DecisionMade)[0]
    assert first.decision.cause_kind is CauseKind.ERROR
    assert msgspec.structs.replace(first.decision, cause=None) == Decision()
    assert [fill.ref.leg for fill in run.events(events.OrderFilled)] == [Purpose.ENTRY]
    assert len(run.store.fingerprint) == 64


@pytest.mark.parametrize("answer", UNSOUND.values(), ids=UNSOUND.keys())
async def test_a_run_with_an_invalid_answer_in_its_journal_is_resumed(
    tmp_path: Path, answer: Callable[[], object]
) -> None:
    for minutes in (2, 4):
        with closing(open_book(tmp_path)) as store:
            run = Run(ListFeed(path([100.0] * 4)), Babbling(answer()), store=cast(MemoryStore, store), policy=WAKES)
            await run.go(for_ms=minutes * MINUTE)
            assert run.engine.counters.candles == minutes
            assert store.verify().ok
            decisions = [e.event for e in store.events_after(0) if isinstance(e.event, events.DecisionMade)]
            assert decisions[0].decision.cause_kind is CauseKind.ERROR


@pytest.mark.parametrize("answer", UNSOUND.values(), ids=UNSOUND.keys())
def test_an_invalid_answer_never_reaches_the_engine(answer: Callable[[], object]) -> None:
    with pytest.raises((ValueError, RecursionError)):
        validated(answer())


@pytest.mark.parametrize(
    "answer", [leg(), leg(size=Decimal("NaN")), leg(stop=Decimal("-Infinity")), condition(expires_s=60), Decision()]
)
def test_validation_accepts_values_that_the_engine_itself_refuses(answer: Decision) -> None:
    assert str(validated(answer)) == str(answer)


@pytest.mark.parametrize("price", ["1e15", "-1e15", "1e12", "-1e12", "1e-18", "0.000000000000000001"])
@pytest.mark.parametrize("market", [1e-8, 1e8])
async def test_extreme_but_valid_numbers_in_a_leg_are_refused(price: str, market: float) -> None:
    quotes = [candle(index, market, symbol="TINYUSDT") for index in range(4)]
    for changes in ({"stop": Decimal(price)}, {"target": Decimal(price)}, {"size": Decimal(price)}):
        answer = leg(**({"symbol": "TINYUSDT", "stop": Decimal(f"{market * 0.97:.12f}")} | changes))
        run = await Run(ListFeed(quotes), Babbling(answer), policy=WAKES).go()
        made = run.events(events.DecisionMade)[0]
        assert made.decision.cause is None
        assert len(run.events(events.OrderRefused)) >= 1


PARTLY: dict[str, Callable[[], Decision]] = {
    "half a leverage": lambda: leg(leverage=2.5),
    "a novel": lambda: leg(reasoning="x" * 100_000),
    "a stop beyond all prices": lambda: leg(stop=1e30),
    "half a character": lambda: leg(reasoning="to the moon \ud83d"),
    "no leg at all": lambda: Decision(cast(Any, (None,))),
}


@pytest.mark.parametrize("bad", PARTLY.values(), ids=PARTLY.keys())
async def test_a_valid_leg_is_executed_despite_an_invalid_leg(tmp_path: Path, bad: Callable[[], Decision]) -> None:
    answer = Decision((*bad().legs, *buy("97").legs), next_check_s=10**12)
    fingerprints = []
    for minutes in ((2, 4), (4,)):
        for each in minutes:
            with closing(open_book(tmp_path / str(len(minutes)))) as store:
                run = Run(ListFeed(path([100.0] * 4)), Babbling(answer), store=cast(MemoryStore, store), policy=WAKES)
                await run.go(for_ms=each * MINUTE)
                assert store.verify().ok
                happened = [e.event for e in store.events_after(0)]
                fingerprints.append(store.fingerprint)
        (refused,) = [e.refusal for e in happened if isinstance(e, events.OrderRefused)][:1]
        assert refused.code is RefusalCode.MALFORMED
        assert len([e for e in happened if isinstance(e, events.OrderFilled)]) == 1
    assert fingerprints[1] == fingerprints[2]


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "BTC-USDT", "BTC/USDT:USDT"])
def test_symbols_are_spelt_as_the_engine_spells_them(symbol: str) -> None:
    wished = WakeCondition(symbol, "price", Comparison.GT, 101.0)
    read = validated(Decision((*leg(symbol=symbol).legs,), wake_conditions=(wished,)), ("BTCUSDT", "ETHUSDT"))
    assert (read.legs[0].symbol, (read.wake_conditions or ())[0].symbol) == ("BTCUSDT", "BTCUSDT")


def test_decimals_beyond_the_finest_decimal_place_are_rounded() -> None:
    read = validated(leg(size=Decimal("0.1000000000000000000004"), stop=Decimal("97.00000000000000000001")))
    assert (read.legs[0].size, read.legs[0].stop) == (Decimal("0.1"), Decimal("97"))
