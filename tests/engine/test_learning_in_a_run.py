"""The engine records what its signals said, and learns from what came of it; the journal alone gives the same."""

import math
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.app.learning.outcomes import TimedOutcome, learn
from ocw_mcp.core.signals import GROUPS, SIGNALS, read_all
from ocw_mcp.core.strategy import proposed_stop
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.learning import HORIZONS, OutcomeExclusion, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored, SignalsRecorded
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import HOUR, span_ms
from ocw_mcp.engine.learning import Learning
from ocw_mcp.engine.step import Engine
from ocw_mcp.render.learning_text import claim_lines
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.learned_runs import feed, hourly, left_out, policy, run, scored, script
from tests.support.markets import START, ListFeed
from tests.support.runs import Commands, Run, policies
from tests.support.stores import MemoryStore

D = Decimal


def expected(store: MemoryStore) -> list[tuple[str, int, dict[str, float], float]]:
    """The outcome of each trade by the cash of its fills and funding: cause, direction, signals, result in R."""
    stops, seen, found, held = {}, {}, [], D(0)
    cash = risk = D(0)
    first: SignalsRecorded | None = None
    for stored in store.domain:
        match stored.event:
            case events.OrderIntended(ref, intent):
                stops[ref] = intent.protect_at
            case SignalsRecorded():
                seen[stored.event.ref] = stored.event
            case events.FundingBooked(amount=amount):
                cash += amount
            case events.OrderFilled() as fill:
                signed = fill.quantity * (1 if fill.side == "buy" else -1)
                if not held:
                    first, cash, risk = seen[fill.ref], D(0), D(0)
                if held * signed >= 0:
                    risk += fill.quantity * abs(fill.price - (stops[fill.ref] or D(0)))
                held, cash = held + signed, cash - signed * fill.price - fill.fee
                if not held:
                    assert first is not None
                    found.append((first.regime, first.direction, dict(first.values), float(cash / risk)))
    return found


@again_among_slow
@pytest.mark.parametrize("seed", some(range(12), 2))
async def test_outcomes_agree_with_the_cash_of_fills_and_funding(seed: int) -> None:
    book = await run(seed)
    trades = [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.TRADE]
    oracle = expected(book.store)
    assert len(trades) == len(oracle) >= 4
    for each, (regime, direction, values, net) in zip(trades, oracle, strict=True):
        assert (each.regime, each.direction, each.values) == (regime, direction, values)
        assert each.net == pytest.approx(net, abs=1e-5)


@again_among_slow
@pytest.mark.parametrize("seed", some(range(12), 2))
async def test_posteriors_count_agreements_of_each_signal(seed: int) -> None:
    book = await run(seed)
    counts, hits = Counter[str](), Counter[str]()
    for _, direction, values, net in expected(book.store):
        for name, value in values.items():
            if value and net:
                counts[name] += 1
                hits[name] += (value > 0) == (direction * net > 0)
    learned = book.engine.learning.learned(book.engine.now)
    assert learned.trades == len([each for each in book.events(OutcomeScored) if each.source is OutcomeSource.TRADE])
    for each in learned.signals:
        assert each.evidence == pytest.approx(counts[each.name], rel=0.05, abs=0.01)
    clear = [each for each in learned.signals if counts[each.name] > 2]
    best = max(clear, key=lambda each: hits[each.name] / counts[each.name])
    worst = min(clear, key=lambda each: hits[each.name] / counts[each.name])
    assert hits[best.name] / counts[best.name] == hits[worst.name] / counts[worst.name] or best.mean > worst.mean


async def test_claims_are_shown_apart_from_the_posteriors() -> None:
    book = await run(0)
    learned = book.engine.learning.learned(book.engine.now)
    (claim,) = learned.claims
    assert (claim.name, claim.weight) == ("rsi_1h", 0.5)
    assert claim.trades == learned.trades
    lines = claim_lines(learned.claims)
    assert lines[0].startswith(f"claimed: rsi_1h at weight +0.50 in {claim.trades} trades, right {claim.right} of")
    other, renamed = Engine(book.config).learning, {"claimed": {"rsi_1h": -1.0, "funding": 1.0}}
    other.rebuild((at, msgspec.structs.replace(each, **renamed)) for at, each in scored(book.store))
    assert other.learned(book.engine.now).signals == learned.signals
    assert {each.name: each.weight for each in other.learned(book.engine.now).claims} == renamed["claimed"]


@pytest.mark.parametrize("counterfactuals", [False, True])
async def test_journal_rebuilds_the_learner_exactly(counterfactuals: bool) -> None:
    book = await run(0, counterfactuals=counterfactuals)
    assert {each.source for each in book.events(OutcomeScored)} >= (
        {OutcomeSource.TRADE, OutcomeSource.HOLD, OutcomeSource.EXIT} if counterfactuals else {OutcomeSource.TRADE}
    )
    other = Engine(book.config)
    other.learning.rebuild((each.at, each.event) for each in book.store.domain)
    assert other.learning.state().learner == book.engine.learning.state().learner
    assert other.learning.learned(book.engine.now) == book.engine.learning.learned(book.engine.now)
    shown = learn([TimedOutcome(*each) for each in scored(book.store)], counterfactuals=counterfactuals)
    assert shown.state() == book.engine.learning.learner.state()
    saved = Engine(book.config)
    saved.restore(book.engine.state())
    assert saved.learning.learned(book.engine.now) == book.engine.learning.learned(book.engine.now)


async def test_a_restart_in_the_middle_learns_the_same() -> None:
    whole = await run(0, counterfactuals=True)
    store = MemoryStore()
    for _ in range(2):
        book = Run(feed(0), Scripted(script(0, hourly(0))), policy=policy(counterfactuals=True), store=store)
        await book.go(70 * HOUR if store.last_seq == 0 else None)
    assert store.fingerprint == whole.store.fingerprint
    assert book.engine.learning.state().learner == whole.engine.learning.state().learner


async def test_a_damaged_learner_is_rebuilt_from_the_journal() -> None:
    whole, store = await run(0), MemoryStore()
    await Run(feed(0), Scripted(script(0, hourly(0))), policy=policy(), store=store).go(70 * HOUR)
    saved = store.checkpoint()
    assert saved is not None
    engine = Engine(whole.config)
    state = msgspec.msgpack.decode(saved.engine)
    state["learning"]["learner"] = state["learning"]["learner"][:-1]
    engine.restore(msgspec.msgpack.encode(state))
    assert "damaged" in engine.learning.broken
    engine.learning.rebuild((each.at, each.event) for each in store.domain if each.seq <= saved.seq)
    assert not engine.learning.broken
    state = msgspec.msgpack.decode(saved.engine)
    assert engine.learning.state().learner == state["learning"]["learner"]


async def test_a_trade_that_a_person_closed_is_not_learned_from() -> None:
    entry = Decision((Leg("BTCUSDT", Action.BUY, D("0.1"), D("60")),))
    wide = policy().model_copy(update={"stop": policies(stop={"max_distance": "0.5"}).stop})
    commands = Commands()
    book = Run(ListFeed(hourly(1, 60)), Scripted({40: entry}), policy=wide, commands=commands)
    await book.go(45 * HOUR)
    commands.put(Command("1", Verb.FLATTEN, "ann"))
    again = Run(ListFeed(hourly(1, 60)), Scripted({40: entry}), policy=wide, commands=commands, store=book.store)
    await again.go()
    (scored,) = again.events(OutcomeScored)
    assert scored.excluded is OutcomeExclusion.PERSON
    learned = again.engine.learning.learned(again.engine.now)
    assert (learned.trades, learned.excluded) == (0, {"person": 1})
    assert not any(each.evidence for each in learned.signals)


async def test_a_hold_is_scored_as_the_trade_that_it_left_out() -> None:
    candles, decider, tables = hourly(7), Scripted({}), policy(counterfactuals=True, cost="0.001")
    book = await Run(ListFeed(candles), decider, policy=tables).go()
    views = {each.snapshot.at: each.snapshot.symbols["BTCUSDT"] for each in decider.asked}
    scored = [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.HOLD]
    assert len(scored) >= 2
    for each in scored:
        entered = round((each.began_at - START) / HOUR)
        stop = proposed_stop(views[each.began_at], each.direction, tables)
        assert stop is not None
        results = {name: left_out(candles, entered, each.direction, stop, span_ms(name) // HOUR) for name in HORIZONS}
        assert each.horizons == pytest.approx(results, abs=1e-5)
        mean, cost = sum(each.horizons.values()) / 3, 0.001 * candles[entered - 1].close
        paid = mean > 0 or mean <= -2 * cost / abs(candles[entered - 1].close - stop)
        assert each.net == (pytest.approx(mean, abs=1e-5) if paid else 0)


async def test_votes_of_the_signals_grow_with_the_number_of_trades() -> None:
    book = await run(1)
    snapshot = book.engine.snapshot(book.engine.now)
    assert snapshot.learning is not None
    learned, votes = snapshot.learning.learned, snapshot.learning.votes
    weights = {each.name: each.weight for each in learned.signals}
    assert learned.trades >= 4
    for symbol, seen in snapshot.symbols.items():
        said = [
            math.copysign(weights[name], value * weights[name])
            for name, value in read_all(seen, snapshot).items()
            if value
        ]
        assert said
        grown = learned.trades / (learned.trades + 30)
        assert votes[symbol] == pytest.approx(math.tanh(sum(said) / len(said) / 0.2) * grown, abs=1e-9)


async def test_an_unknown_name_of_a_signal_is_answered() -> None:
    weights = {"rsi_1h": 0.5, "moon_phase": 0.5}
    leg = Leg("BTCUSDT", Action.BUY, D("0.1"), D("60"), signal_weights=weights)
    wide = policy().model_copy(update={"stop": policies(stop={"max_distance": "0.5"}).stop})
    decider = Scripted({40: Decision((leg,))})
    book = await Run(ListFeed(hourly(1, 60)), decider, policy=wide).go()
    (recorded,) = book.events(SignalsRecorded)
    assert recorded.claimed == {"rsi_1h": 0.5}
    assert "moon_phase" in decider.asked[-1].snapshot.undone[0].text


async def test_learning_that_is_off_records_nothing() -> None:
    book = await run(2, mode="off")
    assert book.events(events.PositionClosed)
    assert not [*book.events(SignalsRecorded), *book.events(OutcomeScored)]


async def test_every_signal_of_the_registry_shows_up() -> None:
    book = await run(0)
    learned = book.engine.learning.learned(book.engine.now)
    assert [each.name for each in learned.signals] == list(SIGNALS)
    assert {each.name: each.group for each in learned.signals} == GROUPS
    assert [each.name for each in learned.groups] == list(dict.fromkeys(GROUPS.values()))
    known = set().union(*(each.values for each in book.events(SignalsRecorded)))
    assert known <= SIGNALS.keys()
    assert all(-1 <= value <= 1 for each in book.events(SignalsRecorded) for value in each.values.values())
    assert isinstance(book.engine.learning, Learning)
